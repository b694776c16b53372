"""The rows of the tab Errors: counters that are not zero, or what differs from a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from nvltop.analysis.link_states import summarize
from nvltop.comparison.baseline import (
    ABSENT,
    Baseline,
    CountChange,
    FactChange,
    LinkKey,
    count_change,
    fact_changes,
    lost_links,
    port_changes,
)
from nvltop.frozen import frozen
from nvltop.model import NOT_READ, ErrorCount, GpuFrame, Link, Maybe, Missing, NicFrame, known
from nvltop.model.error_kinds import error_kind
from nvltop.report.nics import nic_name, nic_number
from nvltop.report.phrases import remote_name
from nvltop.tui.render.row import displayable
from nvltop.tui.render.view_state import ViewState

FIRST_NIC_SORT_PLACE: Final = 1 << 20
"""What the first NIC sorts as: after all GPUs."""
NIC_TIME: Final = Missing("not reported")
"""Why it is unknown since when a NIC counts."""
NO_LINK: Final = -1
"""Index of a row about a GPU."""
NO_COUNT: Final = ErrorCount(NOT_READ, NOT_READ, NOT_READ, None)


@frozen
class CounterRow:
    """One counter of one link, or of one port of a NIC; or a fact about it that differs from the baseline."""

    owner: str
    """UUID of the GPU, or name of the NIC."""
    sort_place: int
    """Sort value: the number of the GPU, or a larger one for a NIC."""
    label: str
    index: int
    """Index of the link or port."""
    kind: str
    words: str
    error: ErrorCount
    remote: str
    uptime_s: Maybe[float]
    """Seconds since the driver initialised the GPU."""
    link: bool = True
    change: CountChange | None = None
    """Change of the counter since the baseline; None without one."""
    fact: FactChange | None = None
    """A fact instead of a counter."""
    old: bool = False
    """Whether the count is older than expected."""


def counters(view: ViewState) -> list[CounterRow]:
    """Return the counters that are not zero, or were not before they became unreadable.

    With a baseline, those that were not zero in it are returned as well.
    """
    index_of = {g.gpu.uuid: g.gpu.index for g in view.frame.gpus}
    links = [
        _link_row(view, index_of, g, link, kind, error)
        for g in view.gpus
        for link in g.links
        for kind, error in link.errors.items()
        if _counts(view, (g.gpu.uuid, link.index), kind, error)
    ]
    ports = [
        _port_row(view, i, f, kind, error)
        for i, f in enumerate(view.frame.nics)
        for kind, error in f.errors.items()
        if _counts(view, (f.nic.device, f.port.port), kind, error)
    ]
    return [*links, *ports, *(_facts(view, view.baseline) if view.baseline else ())]


def _counts(view: ViewState, key: tuple[str, int], kind: str, error: ErrorCount) -> bool:
    # What cannot be read any more stays in the list: as unknown, with its last count.
    if error.total if known(error.total) else error.last_known:
        return True
    then = view.baseline.links.get(key) if view.baseline else None
    before = then.counts.get(kind, 0) if then else 0
    return known(before) and before > 0


def _link_row(
    view: ViewState, index_of: dict[str, int], g: GpuFrame, link: Link, kind: str, error: ErrorCount
) -> CounterRow:
    return CounterRow(
        owner=g.gpu.uuid,
        sort_place=g.gpu.index,
        label=str(g.gpu.index),
        index=link.index,
        kind=kind,
        words=error_kind(kind).plural,
        error=error,
        remote=displayable(remote_name(link, index_of), view.glyphs),
        uptime_s=g.uptime_s,
        change=_change(view, (g.gpu.uuid, link.index), kind, error, g.uptime_s),
        old=g.stale,
    )


def _port_row(view: ViewState, i: int, f: NicFrame, kind: str, error: ErrorCount) -> CounterRow:
    return CounterRow(
        owner=f.nic.device,
        sort_place=FIRST_NIC_SORT_PLACE + i,
        label=nic_number(view.frame, f),
        index=f.port.port,
        kind=kind,
        words=error_kind(kind).plural,
        error=error,
        remote=displayable(f"NIC {nic_name(f)}", view.glyphs),
        uptime_s=NIC_TIME,
        link=False,
        change=_change(view, (f.nic.device, f.port.port), kind, error, NIC_TIME),
        old=f.stale,
    )


def _change(
    view: ViewState, key: LinkKey, kind: str, error: ErrorCount, uptime_s: Maybe[float]
) -> CountChange | None:
    if view.baseline is None:
        return None
    return count_change(view.baseline, view.frame, key, kind, error, uptime_s)


def _facts(view: ViewState, baseline: Baseline) -> Iterator[CounterRow]:
    """Yield what else differs from the baseline: GPUs and links that came or went, states, speeds, ends."""
    for g in view.gpus:
        inputs = baseline, g.gpu, summarize(g.links), len(view.frame.gpus)
        compute = partial(_listed_facts, view, baseline, g)
        yield from view.cache.parts.get(("facts", g.gpu.uuid), inputs, compute)
    for i, f in enumerate(view.frame.nics):
        for fact in port_changes(baseline, f):
            yield replace(_port_row(view, i, f, fact.what, NO_COUNT), words=fact.what, fact=fact)


def _listed_facts(view: ViewState, baseline: Baseline, g: GpuFrame) -> list[CounterRow]:
    return list(_facts_of_gpu(view, baseline, g))


def _facts_of_gpu(view: ViewState, baseline: Baseline, g: GpuFrame) -> Iterator[CounterRow]:
    index_of = {other.gpu.uuid: other.gpu.index for other in view.frame.gpus}
    if g.gpu.uuid not in baseline.gpus:
        yield _gpu_fact(g, NO_LINK, FactChange("GPU", ABSENT, "present", improved=True))
        return
    for link in g.links:
        for fact in fact_changes(baseline, view.frame, g, link):
            remote = displayable(remote_name(link, index_of), view.glyphs)
            yield _gpu_fact(g, link.index, fact, remote)
    for index in lost_links(baseline, g):
        yield _gpu_fact(g, index, FactChange("link", "present", ABSENT))


def _gpu_fact(g: GpuFrame, index: int, fact: FactChange, remote: str = "") -> CounterRow:
    return CounterRow(
        g.gpu.uuid, g.gpu.index, str(g.gpu.index), index, fact.what, fact.what, NO_COUNT, remote, g.uptime_s,
        fact=fact,
    )  # fmt: skip
