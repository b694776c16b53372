"""Metrics of each link: traffic and error counters as NVML counts them, so that `rate()` is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nvltop.analysis.health.ber_rates import ber_as_float
from nvltop.export.metric_set import InfoSpec, MetricSet, MetricSpec, Staleness, ValueSpec, gpu_labels
from nvltop.model import GpuFrame, Link, LinkState, Maybe, Missing, Scope
from nvltop.model.error_kinds import INFORMATIVE

TRANSMIT: Final = MetricSpec("link_transmit_bytes", "Bytes out of the GPU through this link.", "counter")
RECEIVE: Final = MetricSpec("link_receive_bytes", "Bytes into the GPU through this link.", "counter")
GPU_TRANSMIT: Final = MetricSpec(
    "nvlink_transmit_bytes",
    "Bytes out of the GPU, where the driver counts all its NVLinks as one.",
    "counter",
)
GPU_RECEIVE: Final = MetricSpec(
    "nvlink_receive_bytes", "Bytes into the GPU, where the driver counts all its NVLinks as one.", "counter"
)
LINK_ERRORS: Final = MetricSpec(
    "link_errors", "Errors by kind, since the driver loaded or the GPU was reset.", "counter"
)
LINK_EVENTS: Final = MetricSpec(
    "link_events",
    "Counts of a link by kind that have no threshold and are not errors in themselves.",
    "counter",
)
LINK_STATE: Final = MetricSpec("link_state", "1 for the state of the link, 0 for all others.")
LINK_STATES: Final = tuple(state.value for state in LinkState)
BER: Final = MetricSpec("link_bit_error_ratio", "Bit error ratio after correction.")


def _active(link: Link) -> Maybe[float]:
    return Missing(link.state_reason) if link.state is LinkState.UNKNOWN else float(link.active)


LINK_VALUES: Final[tuple[ValueSpec[Link], ...]] = (
    ValueSpec(MetricSpec("link_active", "Whether the link is trained: 1 or 0."), _active, "states"),
    ValueSpec(
        MetricSpec("link_speed_bytes_per_second", "What the link can carry in one direction."),
        lambda k: k.speed_bytes_per_s,
        "states",
    ),
)


def add_links(
    metrics: MetricSet,
    gpu: GpuFrame,
    index_of: Mapping[str, int],
    late_s: float,
    not_reading: Missing | None,
) -> None:
    """Add the links of a GPU in a frame that is `late_s` old.

    `index_of` maps UUIDs to GPU numbers, for the remote ends. `not_reading` is the reason why the reading
    process does not read at all, if it does not.
    """
    labels = gpu_labels(gpu)
    staleness = Staleness.of_gpu(gpu, late_s, not_reading)
    counted = {"counter": gpu.nvlink.counter.value} if not isinstance(gpu.nvlink.counter, Missing) else {}
    whole = gpu.nvlink.scope is Scope.GPU
    if whole:
        metrics.add(GPU_TRANSMIT, {**labels, **counted}, staleness.fresh("links", gpu.nvlink.tx_bytes_total))
        metrics.add(GPU_RECEIVE, {**labels, **counted}, staleness.fresh("links", gpu.nvlink.rx_bytes_total))
    info = _remote(index_of)
    for link in gpu.links:
        here = {**labels, "link": str(link.index)}
        state = staleness.fresh("states", link.state)
        metrics.add_info(info, link, here)
        known_state = LinkState.UNKNOWN if isinstance(state, Missing) else state
        metrics.add_state(LINK_STATE, here, LINK_STATES, known_state.value)
        metrics.add_values(LINK_VALUES, link, here, staleness)
        if not whole:
            metrics.add(TRANSMIT, {**here, **counted}, staleness.fresh("links", link.tx_bytes_total))
            metrics.add(RECEIVE, {**here, **counted}, staleness.fresh("links", link.rx_bytes_total))
        for kind, count in link.errors.items():
            metric = LINK_EVENTS if kind in INFORMATIVE else LINK_ERRORS
            metrics.add(metric, {**here, "kind": kind}, staleness.fresh("errors", count.total))
    for index, packed in enumerate(gpu.ber.effective if gpu.ber else ()):
        rate = packed if isinstance(packed, Missing) else ber_as_float(packed)
        metrics.add(BER, {**labels, "link": str(index)}, staleness.fresh("ber", rate))


def _remote(index_of: Mapping[str, int]) -> InfoSpec[Link]:
    return InfoSpec(
        REMOTE,
        lambda k: {
            "remote": k.remote.kind,
            "remote_gpu": index_of.get(k.remote.gpu or ""),
            "remote_pci_bus_id": k.remote.pci_bus_id,
            "remote_link": k.remote.link,
        },
    )


REMOTE: Final = MetricSpec("link", "The remote end of the link.", "info")
