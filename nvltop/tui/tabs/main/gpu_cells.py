"""The cells of the table of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from nvltop.analysis.link_capacity import mean_link_share
from nvltop.formatting import UNKNOWN, memory, partial_count, percent
from nvltop.model import GpuFrame, Maybe, Missing, known
from nvltop.tui.render.load_roles import memory_role, power_role, temperature_role, utilization_role
from nvltop.tui.render.row import TextRun, displayable
from nvltop.tui.render.view_state import ViewState

NO_LINK: Final[TextRun] = ("-", "dim")


def _gpu(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    mark, role = view.finding_mark(g.gpu.uuid)
    return f"{g.gpu.index}{mark}", role if g.state == "ok" else "error"


def _name(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    if g.state != "ok":
        return g.state.upper(), "error"
    return displayable(short_name(g.gpu.name), view.glyphs), ""


def _tx(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    return (view.unit.number(g.nvlink.mean_tx_bytes_per_s), old) if _may_have_traffic(g) else NO_LINK


def _rx(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    return (view.unit.number(g.nvlink.mean_rx_bytes_per_s), old) if _may_have_traffic(g) else NO_LINK


def _share(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    return (percent(mean_link_share(g.nvlink)), old) if _may_have_traffic(g) else NO_LINK


def _peak(value: Maybe[float], g: GpuFrame, view: ViewState, old: str) -> TextRun:
    return (view.unit.number(value), old) if _may_have_traffic(g) else NO_LINK


def _may_have_traffic(g: GpuFrame) -> bool:
    """Return whether the GPU has an active link, or may have one."""
    return g.nvlink.links_present != 0 and g.nvlink.links_up != 0


def _links(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    up, present = g.nvlink.links_up, g.nvlink.links_present
    if present == 0:
        return NO_LINK
    short = known(up) and known(present) and 0 < up < present
    return f"{_text(up)}/{_text(present)}", "warn" if short else old


def _errors(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    link = g.nvlink
    if link.links_present == 0:
        return NO_LINK
    moved = known(link.errors_since_start) and link.errors_since_start > 0
    return partial_count(link.errors_total, link.errors_unread_part is not None), "error" if moved else old


def _memory(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    used, total = g.gauges.memory_used_bytes, g.gauges.memory_total_bytes
    return memory(used, total), old or memory_role(used, total)


def _power(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    power = g.gauges.power_w
    return _number(power, "W"), old or power_role(power, g.gpu.power_limit_w)


def _temperature(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    now = g.gauges.temperature_c
    return _number(now, view.glyphs.degree), old or temperature_role(
        now, g.gpu.slowdown_c, is_slowed_by_heat(g)
    )


def is_slowed_by_heat(g: GpuFrame) -> bool:
    """Return whether the driver lowered the clocks of a GPU in the last seconds because of heat."""
    software, hardware = g.throttling.sw_thermal, g.throttling.hw_thermal
    return (known(software) and software > 0) or (known(hardware) and hardware > 0)


GpuCell: TypeAlias = Callable[[GpuFrame, ViewState, str], TextRun]
GPU_CELLS: Final[dict[str, GpuCell]] = {
    "gpu": _gpu,
    "name": _name,
    "bus": lambda g, view, old: (g.gpu.pci_bus_id if known(g.gpu.pci_bus_id) else UNKNOWN, ""),
    "mem": _memory,
    "power": _power,
    "temp": _temperature,
    "util": lambda g, view, old: (
        _number(g.gauges.util_percent),
        old or utilization_role(g.gauges.util_percent),
    ),
    "numa": lambda g, view, old: (_number(g.gpu.numa_node), ""),
    "pcie": lambda g, view, old: (f"gen{_text(g.gauges.pcie_gen)} x{_text(g.gauges.pcie_width)}", old),
    "pcie_max": lambda g, view, old: (f"{_text(g.gpu.pcie_gen_max)}x{_text(g.gpu.pcie_width_max)}", ""),
    "pcie_tx": lambda g, view, old: (view.unit.number(g.pcie.tx_bytes_per_s), old),
    "pcie_rx": lambda g, view, old: (view.unit.number(g.pcie.rx_bytes_per_s), old),
    "tx": _tx,
    "rx": _rx,
    "share": _share,
    "peak_tx": lambda g, view, old: _peak(g.nvlink.peak_tx_bytes_per_s, g, view, old),
    "peak_rx": lambda g, view, old: _peak(g.nvlink.peak_rx_bytes_per_s, g, view, old),
    "links": _links,
    "errors": _errors,
}
"""Function that renders the cell of each column; its last argument is the role of values that can be old."""


def short_name(name: Maybe[str]) -> str:
    """Return the name of a GPU without the prefix that NVIDIA's names have."""
    if isinstance(name, Missing):
        return UNKNOWN
    for word in ("NVIDIA ", "GeForce ", "Tesla "):
        name = name.removeprefix(word)
    return name


def _number(value: Maybe[float], unit: str = "") -> str:
    return UNKNOWN if isinstance(value, Missing) else f"{value:.0f}{unit}"


def _text(value: Maybe[object]) -> str:
    return UNKNOWN if isinstance(value, Missing) else str(value)
