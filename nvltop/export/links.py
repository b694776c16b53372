"""What is exported of each link: traffic and errors as NVML counts them, so that `rate()` is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nvltop.analysis.errors import INFORMATIVE
from nvltop.analysis.health.ber import ratio
from nvltop.export.metric_set import Fresh, Info, Metric, Sheet, Value, gpu_labels
from nvltop.model import GpuFrame, Link, LinkState, Maybe, Missing, Scope

TRANSMIT: Final = Metric("link_transmit_bytes", "Bytes out of the GPU through this link.", "counter")
RECEIVE: Final = Metric("link_receive_bytes", "Bytes into the GPU through this link.", "counter")
GPU_TRANSMIT: Final = Metric(
    "nvlink_transmit_bytes",
    "Bytes out of the GPU, where the driver counts all its NVLinks as one.",
    "counter",
)
GPU_RECEIVE: Final = Metric(
    "nvlink_receive_bytes", "Bytes into the GPU, where the driver counts all its NVLinks as one.", "counter"
)
ERRORS: Final = Metric(
    "link_errors", "Errors by kind, since the driver loaded or the GPU was reset.", "counter"
)
EVENTS: Final = Metric(
    "link_events", "Counts of a link by kind that have no threshold and are no errors as such.", "counter"
)
STATE: Final = Metric("link_state", "1 for the state of the link, 0 for all others.")
STATES: Final = tuple(state.value for state in LinkState)
BER: Final = Metric("link_bit_error_ratio", "Bits lost after correction.")


def _active(link: Link) -> Maybe[float]:
    return Missing(link.state_reason) if link.state is LinkState.UNKNOWN else float(link.active)


VALUES: Final[tuple[Value[Link], ...]] = (
    Value(Metric("link_active", "Whether the link is trained: 1 or 0."), _active, "states"),
    Value(
        Metric("link_speed_bytes_per_second", "What the link can carry in one direction."),
        lambda k: k.speed_bytes_per_s,
        "states",
    ),
)


def add_links(sheet: Sheet, gpu: GpuFrame, index_of: Mapping[str, int], late_s: float) -> None:
    """Add all links of a GPU; `index_of` names the GPUs at other ends, the frame is `late_s` old."""
    labels, fresh = gpu_labels(gpu), Fresh.gpu(gpu, late_s)
    counted = {"counter": gpu.nvlink.counter.value} if not isinstance(gpu.nvlink.counter, Missing) else {}
    whole = gpu.nvlink.scope is Scope.GPU
    if whole:
        sheet.add(GPU_TRANSMIT, {**labels, **counted}, fresh.of("links", gpu.nvlink.tx_bytes_total))
        sheet.add(GPU_RECEIVE, {**labels, **counted}, fresh.of("links", gpu.nvlink.rx_bytes_total))
    info = _remote(index_of)
    for link in gpu.links:
        here = {**labels, "link": str(link.index)}
        state = fresh.of("states", link.state)
        sheet.add_info(info, link, here)
        told = LinkState.UNKNOWN if isinstance(state, Missing) else state
        sheet.add_state(STATE, here, STATES, told.value)
        sheet.add_values(VALUES, link, here, fresh)
        if not whole:
            sheet.add(TRANSMIT, {**here, **counted}, fresh.of("links", link.tx_bytes_total))
            sheet.add(RECEIVE, {**here, **counted}, fresh.of("links", link.rx_bytes_total))
        for kind, count in link.errors.items():
            metric = EVENTS if kind in INFORMATIVE else ERRORS
            sheet.add(metric, {**here, "kind": kind}, fresh.of("errors", count.total))
    for index, packed in enumerate(gpu.ber.effective if gpu.ber else ()):
        rate = packed if isinstance(packed, Missing) else ratio(packed)
        sheet.add(BER, {**labels, "link": str(index)}, fresh.of("ber", rate))


def _remote(index_of: Mapping[str, int]) -> Info[Link]:
    return Info(
        REMOTE,
        lambda k: {
            "remote": k.remote.kind,
            "remote_gpu": index_of.get(k.remote.gpu or ""),
            "remote_pci_bus_id": k.remote.pci_bus_id,
            "remote_link": k.remote.link,
        },
    )


REMOTE: Final = Metric("link", "What stands at the other end of the link.", "info")
