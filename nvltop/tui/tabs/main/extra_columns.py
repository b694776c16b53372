"""Columns of the table of GPUs that are shown only if the user has chosen them in Setup."""

from __future__ import annotations

from typing import Final

from nvltop.formatting import UNKNOWN
from nvltop.model import GpuFrame, Maybe, Missing, known
from nvltop.model.clock_reasons import HW_THERMAL, POWER_BRAKE, SW_POWER_CAP, SW_THERMAL
from nvltop.tui.render.row import Column, TextRun
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main.gpu_cells import GPU_CELLS, GpuCell

EXTRA_COLUMNS: Final = {
    "pcie": (Column("extra_pcie_tx", "PCIe TX", 7, 1), Column("extra_pcie_rx", "PCIe RX", 7, 1)),
    "c2c": (Column("c2c_tx", "C2C TX", 7, 1), Column("c2c_rx", "C2C RX", 7, 1)),
    "clock": (Column("clock", "SM MHz", 6, 1),),
    "limit": (Column("limit", "PWR MAX", 7, 1),),
    "throttling": (Column("throttling", "THROTTLED", 9, 1, left=True),),
}
"""Columns by their names in the settings."""
REASONS: Final = (
    ("heat", HW_THERMAL, "hw_thermal"),
    ("brake", POWER_BRAKE, "power_brake"),
    ("heat", SW_THERMAL, "sw_thermal"),
    ("power", SW_POWER_CAP, "power_cap"),
)
"""Word, bit of `Gauges.event_reasons`, and field of `Throttling` of each reason, the most serious first."""


def choose(names: frozenset[str]) -> list[Column]:
    """Return the chosen columns, in the order of `EXTRA_COLUMNS`."""
    return [column for name, columns in EXTRA_COLUMNS.items() if name in names for column in columns]


def _number(value: Maybe[float], unit: str, old: str) -> TextRun:
    return (UNKNOWN, old) if isinstance(value, Missing) else (f"{value:.0f}{unit}", old)


def _c2c(value: Maybe[float], g: GpuFrame, view: ViewState, old: str) -> TextRun:
    """Return a C2C rate; `-` on boards without C2C links."""
    return ("-", "dim") if g.gpu.c2c.links == 0 else (view.unit.number(value), old)


def _throttling(g: GpuFrame, view: ViewState, old: str) -> TextRun:
    """Return the most serious reason why the clocks are throttled, and its share of the last seconds.

    A reason counts if NVML reports it now, or if its time has risen in the last seconds.
    """
    bits = g.gauges.event_reasons
    shares = [getattr(g.throttling, field) for _, _, field in REASONS]
    if not known(bits) and not any(known(share) for share in shares):
        return UNKNOWN, old
    for (word, bit, _), share in zip(REASONS, shares, strict=True):
        is_risen = known(share) and share > 0
        if is_risen or (known(bits) and bits & bit):
            text = f"{word} {share * 100:.0f}%" if is_risen else word
            return text, old or ("warn" if word == "power" else "error")
    return "no", old


EXTRA_CELLS: Final[dict[str, GpuCell]] = {
    "extra_pcie_tx": GPU_CELLS["pcie_tx"],
    "extra_pcie_rx": GPU_CELLS["pcie_rx"],
    "c2c_tx": lambda g, view, old: _c2c(g.c2c.tx_bytes_per_s, g, view, old),
    "c2c_rx": lambda g, view, old: _c2c(g.c2c.rx_bytes_per_s, g, view, old),
    "clock": lambda g, view, old: _number(g.gauges.sm_clock_mhz, "", old),
    "limit": lambda g, view, old: _number(g.gpu.power_limit_w, "W", old),
    "throttling": _throttling,
}
"""Functions that render the cells of these columns."""
