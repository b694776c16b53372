"""Which GPUs the table lists, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.link_capacity import mean_link_share
from nvltop.analysis.nan import or_nan
from nvltop.model import GpuFrame, Maybe, NicFrame, known
from nvltop.report.nics import nic_kind, nic_name

SORT_COLUMNS: Final = (
    ("gpu", "GPU"),
    ("name", "NAME"),
    ("util", "UTIL%"),
    ("mem", "MEM"),
    ("power", "PWR"),
    ("temp", "TEMP"),
    ("tx", "TX"),
    ("rx", "RX"),
    ("share", "%SPD"),
    ("links", "LINKS"),
    ("errors", "ERR"),
    ("bus", "BUS ID"),
    ("numa", "NUMA"),
)
"""Columns by which the table can be sorted, and their titles in the menu."""
ASCENDING_FIRST: Final = frozenset({"gpu", "name", "links", "bus", "numa"})
"""Columns that are first sorted with the lowest value on top."""
SORT_KEY_OF_COLUMN: Final = {"pcie_tx": "tx", "pcie_rx": "rx", "peak_tx": "tx", "peak_rx": "rx"}
"""Key by which a column is sorted, where it is not the column's own key."""


def filtered_and_sorted(
    gpus: Sequence[GpuFrame], filter_text: str, sort: str, descending: bool
) -> tuple[GpuFrame, ...]:
    """Return the GPUs that match the filter, sorted; GPUs whose value is unknown come last."""
    found = [g for g in gpus if filter_text.lower() in search_text(g)] if filter_text else gpus
    if sort == "gpu" and not descending:
        return tuple(found)
    unread = [g for g in found if not known(_value(g, sort))]
    read = [g for g in found if known(_value(g, sort))]
    read.sort(key=lambda g: _order(_value(g, sort)), reverse=descending)
    return (*read, *unread)


def search_text(g: GpuFrame) -> str:
    """Return the text that search and filter examine: number, name, bus id and UUID, in lower case."""
    parts = (f"gpu {g.gpu.index}", g.gpu.name, g.gpu.pci_bus_id, g.gpu.uuid)
    return " ".join(str(part) for part in parts if known(part)).lower()


def nic_search_text(f: NicFrame) -> str:
    """Return the text that search and filter examine: name, type, state and model of a NIC, in lower case."""
    state = f.port.state if known(f.port.state) else ""
    return " ".join(("nic", nic_name(f), nic_kind(f), state, f.nic.model)).lower()


def _order(value: Maybe[float | str]) -> tuple[float, str]:
    """Return the sort key of a value; a column has either numbers or texts."""
    if isinstance(value, str):
        return 0.0, value
    return or_nan(value), ""


def _value(g: GpuFrame, sort: str) -> Maybe[float | str]:
    gauges, nvlink = g.gauges, g.nvlink
    linked = known(nvlink.links_up) and nvlink.links_up > 0
    values: dict[str, Maybe[float | str]] = {
        "gpu": g.gpu.index,
        "name": g.gpu.name,
        "util": gauges.util_percent,
        "mem": gauges.memory_used_bytes,
        "power": gauges.power_w,
        "temp": gauges.temperature_c,
        "tx": nvlink.mean_tx_bytes_per_s if linked else g.pcie.tx_bytes_per_s,
        "rx": nvlink.mean_rx_bytes_per_s if linked else g.pcie.rx_bytes_per_s,
        "share": mean_link_share(nvlink),
        "links": nvlink.links_up,
        "errors": nvlink.errors_since_start,
        "bus": g.gpu.pci_bus_id,
        "numa": g.gpu.numa_node,
    }
    return values[sort]
