"""The PromQL text of each named query; the only place that knows the names of nvltop's metrics.

A query with several values joins them with `or`; the label `nvltop_value` says which one a sample is. Values
of a node are aggregated by the labels in `NODE_LABELS`, so that a query returns the same number of samples
for each node whatever its number of GPUs.

A rate is used only if its counter is in the last scrape (`rate(x[1m]) and x`), and if its node was scraped
already a window ago: Prometheus itself would still return a rate for a counter that has ended since, and too
low a rate for one that has just begun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from nvltop.fleet import dcgm
from nvltop.fleet.select import Matcher, quoted
from nvltop.fleet.source import Query

NODE_LABELS: Final = ("cluster", "job", "instance", "Hostname", "hostname")
"""Labels that identify a node: of the scrape, of Thanos and Mimir, and both spellings of dcgm-exporter."""
VALUE_LABEL: Final = "nvltop_value"
PRESENCE: Final = "nvltop_gpus"
"""Metric that each scrape of nvltop has exactly once."""
EVENT_LOOKBACK_S: Final = 3600
"""How far back findings and Xids are listed, seconds."""
EVENT_STEP_S: Final = 15
"""Distance of the moments at which past findings are sought, seconds."""
MAX_COUNTERS: Final = 300
"""Number of error counters that are queried, those that rose most first."""
ERROR_WINDOWS_S: Final = (3600, 600, 60, 5)
"""Windows for error counts: the longest for which Prometheus has data is used for all nodes."""
RECORDED: Final = "nvltop:node_nvlink_transmit_bytes:rate1m"
"""Series of the recording rules that shows that they are evaluated."""
RECORDED_RX: Final = "nvltop:node_nvlink_receive_bytes:rate1m"
RECORDED_GPUS: Final = "nvltop:node_nvlink_gpus_read:count1m"
RECORDED_ERRORS: Final = "nvltop:link_errors:increase1h"
RECORDED_COUNTED: Final = "nvltop:node_gpus_counted:count1h"
RECORDED_WINDOW_S: Final = 60.0

NODE: Final = ", ".join(NODE_LABELS)
GPU: Final = f"{NODE}, gpu, UUID"
LINK: Final = f"{GPU}, link"

Select: TypeAlias = "Callable[[str], str]"
"""Returns the selector of a metric with all matchers."""
Texts: TypeAlias = "Mapping[str, str]"


def duration(seconds: float) -> str:
    """Return seconds as a duration of PromQL."""
    whole = max(1, round(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def joined(parts: Texts) -> str:
    """Return one query for several values; each sample has the name of its value as a label."""
    return " or ".join(
        f'label_replace({text}, "{VALUE_LABEL}", "{name}", "", "")' for name, text in parts.items()
    )


def promql(query: Query, select: tuple[Matcher, ...] = ()) -> str:
    """Return the text of a query, with the matchers of the user on every metric."""

    def sel(metric: str) -> str:
        # The metric of a node's presence has no label of a GPU.
        where = [m for m in query.where if metric != PRESENCE or m.label != "gpu"]
        if "|" in metric:
            where, metric = [Matcher("__name__", "=~", metric), *where], ""
        matchers = ",".join(map(str, (*select, *where)))
        return f"{metric}{{{matchers}}}" if matchers else metric

    return _TEXTS[query.name](query, sel)


def metrics(select: tuple[Matcher, ...]) -> str:
    """Return the query for the names of the metrics that there are."""
    # The recorded series have no other labels.
    recorded = (RECORDED,) if all(matcher.label in NODE_LABELS for matcher in select) else ()
    names = "|".join((PRESENCE, *recorded, *dcgm.METRICS))
    matchers = ",".join([f"__name__=~{quoted(names)}", *map(str, select)])
    return f"count by (__name__) ({{{matchers}}})"


def rate(metric: str, window_s: float, sel: Select) -> str:
    """Return the rate of a counter that is in the last scrape."""
    # The comparison drops NaN, which would make the sum of all others unknown.
    return f"(rate({sel(metric)}[{duration(window_s)}]) >= 0 and {sel(metric)})"


def gpu_rate(direction: str, window_s: float, sel: Select) -> str:
    """Return the rate of each GPU, from its links or from the counter of the GPU."""
    links, whole = (
        rate(f"nvltop_link_{direction}_bytes_total", window_s, sel),
        rate(f"nvltop_nvlink_{direction}_bytes_total", window_s, sel),
    )
    return f"(sum by ({GPU}) ({links}) or sum by ({GPU}) ({whole}))"


def gpus_read(direction: str, window_s: float, sel: Select) -> str:
    """Return the GPUs whose rate is complete: each active link has one."""
    links, whole = (
        rate(f"nvltop_link_{direction}_bytes_total", window_s, sel),
        rate(f"nvltop_nvlink_{direction}_bytes_total", window_s, sel),
    )
    active = f"max by ({GPU}) ({sel('nvltop_nvlink_links_active')})"
    return f"((count by ({GPU}) ({links}) >= {active}) or max by ({GPU}) ({whole}))"


def risen(window_s: float, sel: Select) -> str:
    """Return the error counters that rose, and by how much; after a reset, what they have counted since.

    Few series are left, so that the server need not match all of them twice.
    """
    now = sel("nvltop_link_errors_total")
    before = f"{now} offset {duration(window_s)}"
    return f"({now} - {before} > 0 or {now} < {before})"


def gpus_counted(window_s: float, sel: Select) -> str:
    """Return the number of GPUs of each node whose error counters are known now and a window ago."""
    now = sel("nvltop_link_errors_total")
    before = f"{now} offset {duration(window_s)}"
    return f"count by ({NODE}) (count by ({GPU}) ({now}) and count by ({GPU}) ({before}))"


def node_rates(window_s: float, sel: Select) -> dict[str, str]:
    """Return the sums of a node's rates, and the number of GPUs that are completely in them."""
    both = f"({gpus_read('transmit', window_s, sel)} and {gpus_read('receive', window_s, sel)})"
    return {
        "tx": f"sum by ({NODE}) ({gpu_rate('transmit', window_s, sel)})",
        "rx": f"sum by ({NODE}) ({gpu_rate('receive', window_s, sel)})",
        "rated": f"count by ({NODE}) ({both})",
    }


def _rates(query: Query, sel: Select) -> dict[str, str]:
    if not query.recorded:
        return node_rates(query.window_s, sel)
    return {
        "tx": f"sum by ({NODE}) ({sel(RECORDED)})",
        "rx": f"sum by ({NODE}) ({sel(RECORDED_RX)})",
        "rated": f"sum by ({NODE}) ({sel(RECORDED_GPUS)})",
    }


def _nodes(query: Query, sel: Select) -> str:
    def total(metric: str) -> str:
        return f"sum by ({NODE}) ({sel(metric)})"

    age = f"time() - timestamp({sel('nvltop_frame_age_seconds')}) + {sel('nvltop_frame_age_seconds')}"
    return joined(
        {
            "scraped": f"max by ({NODE}) (timestamp({sel(PRESENCE)}))",
            "gpus": total(PRESENCE),
            "age": f"max by ({NODE}) ({age})",
            "driver": f"min by ({NODE}) ({sel('nvltop_driver_up')})",
            "links": total("nvltop_nvlink_links"),
            "linkless": f"count by ({NODE}) ({sel('nvltop_nvlink_links')} == 0)",
            "links_up": total("nvltop_nvlink_links_active"),
            "links_read": f"count by ({NODE}) ({sel('nvltop_nvlink_links_active')})",
            "limit": f"{total('nvltop_nvlink_speed_bytes_per_second')}"
            f" * max by ({NODE}) ({sel('nvltop_nvlink_ceiling_ratio')})",
            "step": f"max by ({NODE}) ({sel('nvltop_job_step_seconds')})",
            "begun": begun(query.window_s, sel),
            "verdict": f"max by ({NODE}, verdict) ({sel('nvltop_verdict')} == 1)",
            **_rates(query, sel),
        }
    )


def _events(query: Query, sel: Select) -> str:
    return joined(
        {
            "finding": f"timestamp({sel('nvltop_finding')})",
            "began": sel("nvltop_finding_began_timestamp_seconds"),
            "xid": sel("nvltop_last_xid"),
            "xid_time": sel("nvltop_last_xid_timestamp_seconds"),
        }
    )


def _past(query: Query, sel: Select) -> str:
    span = f"[{duration(EVENT_LOOKBACK_S)}:{duration(EVENT_STEP_S)}]"
    finding = f"timestamp({sel('nvltop_finding')})"
    began = f"min_over_time({sel('nvltop_finding_began_timestamp_seconds')}[{duration(EVENT_LOOKBACK_S)}])"
    first, last = f"min_over_time({finding}{span})", f"max_over_time({finding}{span})"
    return joined({"first": first, "last": last, "began": began})


def _xids(query: Query, sel: Select) -> str:
    return joined({"xid": sel("nvltop_last_xid"), "xid_time": sel("nvltop_last_xid_timestamp_seconds")})


def _seen(query: Query, sel: Select) -> str:
    return seen(query.metric or PRESENCE, sel)


def seen(metric: str, sel: Select) -> str:
    """Return the Unix times at which each node was seen first and last in 24 h, to a minute; 0 if unknown.

    In the last ten minutes they are known to five seconds.
    """
    stamp = f"timestamp({sel(metric)})"
    near, far = f"max_over_time({stamp}[10m:5s])", f"max_over_time({stamp}[1d:1m])"
    ever = f"0 * max by ({NODE}) (last_over_time({sel(metric)}[1d]))"
    last = f"max by ({NODE}) ({near} or {far} or {ever})"
    first = {
        name: f"min by ({NODE}) (min_over_time({stamp}{span}))"
        for name, span in (("first", "[1d:1m]"), ("first_near", "[10m:5s]"))
    }
    return joined({"last": last, **first})


def _fabric(query: Query, sel: Select) -> str:
    by = f"{NODE}, cluster_uuid, clique_id"
    return joined(
        {
            "now": f"count by ({by}) ({sel('nvltop_fabric_info')})",
            "before": f"count by ({by}) (last_over_time({sel('nvltop_fabric_info')}[1d]))",
            "tray": f"count by ({NODE}, tray) (last_over_time({sel('nvltop_gpu_info')}[1d]))",
            "gpus": f"max by ({NODE}) (last_over_time({sel(PRESENCE)}[1d]))",
        }
    )


def _windows(query: Query, sel: Select) -> str:
    return joined({duration(s): f"count({sel(PRESENCE)} offset {duration(s)})" for s in ERROR_WINDOWS_S})


def _errors(query: Query, sel: Select) -> str:
    if query.recorded and query.errors_window_s == ERROR_WINDOWS_S[0]:
        rose, counted = sel(RECORDED_ERRORS), f"sum by ({NODE}) ({sel(RECORDED_COUNTED)})"
    else:
        rose, counted = risen(query.errors_window_s, sel), gpus_counted(query.errors_window_s, sel)
    return joined({"kind": f"topk({MAX_COUNTERS}, sum by ({LINK}, kind) ({rose}))", "counted": counted})


def _node_errors(query: Query, sel: Select) -> str:
    return joined({"node": f"sum by ({NODE}) ({risen(query.errors_window_s, sel)})"})


def begun(window_s: float, sel: Select) -> str:
    """Return the nodes that were scraped already a window ago."""
    return f"max by ({NODE}) ({sel(PRESENCE)} offset {duration(window_s)})"


def _history(query: Query, sel: Select) -> str:
    """Return the sums of the nodes at the moments at which every GPU with links is in them."""
    rates = _rates(query, sel)
    gpus = f"sum by ({NODE}) ({sel(PRESENCE)})"
    linkless = f"(count by ({NODE}) ({sel('nvltop_nvlink_links')} == 0) or 0 * {gpus})"
    complete = f"({rates['rated']} >= {gpus} - {linkless} and {begun(query.window_s, sel)})"
    return joined({direction: f"({rates[direction]} and {complete})" for direction in ("tx", "rx")})


def _risen_or_0(by: str, query: Query, sel: Select) -> str:
    """Return how much the error counters of each GPU or link rose; 0 only where they are known twice."""
    now = sel("nvltop_link_errors_total")
    before = f"{now} offset {duration(query.errors_window_s)}"
    both = f"(count by ({by}) ({now}) and count by ({by}) ({before}))"
    return f"(sum by ({by}) ({risen(query.errors_window_s, sel)}) or 0 * {both})"


def _gpus(query: Query, sel: Select) -> str:
    def by_gpu(text: str) -> str:
        return f"max by ({GPU}) ({text})"

    since = f"and on ({NODE}) {begun(query.window_s, sel)}"
    rates = {
        key: f"({gpu_rate(name, query.window_s, sel)} and {gpus_read(name, query.window_s, sel)} {since})"
        for key, name in (("tx", "transmit"), ("rx", "receive"))
    }
    return joined(
        {
            **rates,
            "state": f"max by ({GPU}, state) ({sel('nvltop_gpu_state')} == 1)",
            "links": by_gpu(sel("nvltop_nvlink_links")),
            "links_up": by_gpu(sel("nvltop_nvlink_links_active")),
            "speed": by_gpu(sel("nvltop_nvlink_speed_bytes_per_second")),
            "errors": _risen_or_0(GPU, query, sel),
            "power": by_gpu(sel("nvltop_gpu_power_watts")),
            "temperature": by_gpu(sel("nvltop_gpu_temperature_celsius")),
            "uptime": by_gpu(sel("nvltop_gpu_uptime_seconds")),
            "xid": by_gpu(sel("nvltop_last_xid")),
        }
    )


def _gpu_history(query: Query, sel: Select) -> str:
    since = f"and on ({NODE}) {begun(query.window_s, sel)}"
    return joined(
        {
            key: f"({gpu_rate(name, query.window_s, sel)} {since})"
            for key, name in (("tx", "transmit"), ("rx", "receive"))
        }
    )


def _link_rates(query: Query, sel: Select) -> dict[str, str]:
    since = f"and on ({NODE}) {begun(query.window_s, sel)}"
    return {
        key: f"(max by ({LINK}) ({rate(f'nvltop_link_{name}_bytes_total', query.window_s, sel)}) {since})"
        for key, name in (("tx", "transmit"), ("rx", "receive"))
    }


def _links(query: Query, sel: Select) -> str:
    return joined(
        {
            **_link_rates(query, sel),
            "state": f"max by ({LINK}, state) ({sel('nvltop_link_state')} == 1)",
            "speed": f"max by ({LINK}) ({sel('nvltop_link_speed_bytes_per_second')})",
            "errors": _risen_or_0(LINK, query, sel),
            "lifetime": f"sum by ({LINK}) ({sel('nvltop_link_errors_total')})",
            "ber": f"max by ({LINK}) ({sel('nvltop_link_bit_error_ratio')})",
        }
    )


_TEXTS: Final[Mapping[str, Callable[[Query, Select], str]]] = {
    "nodes": _nodes,
    "events": _events,
    "past": _past,
    "xids": _xids,
    "seen": _seen,
    "scrapes": lambda query, sel: f"{sel(query.metric or PRESENCE)}[5m]",
    "fabric": _fabric,
    "windows": _windows,
    "errors": _errors,
    "node_errors": _node_errors,
    "history": _history,
    "gpus": _gpus,
    "gpu_history": _gpu_history,
    "links": _links,
    "link_history": lambda query, sel: joined(_link_rates(query, sel)),
    "dcgm_nodes": lambda query, sel: joined(dcgm.nodes(NODE, GPU, sel)),
    "dcgm_gpus": lambda query, sel: joined(dcgm.gpus(GPU, sel)),
    "dcgm_history": lambda query, sel: joined(dcgm.history(NODE, GPU, sel)),
    "dcgm_gpu_history": lambda query, sel: joined(dcgm.gpu_history(GPU, sel)),
}
