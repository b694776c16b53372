"""The table of GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nvltop.analysis.verdict import PCIE_LANE, share
from nvltop.model import GpuFrame, Maybe, Missing, known
from nvltop.tui.paint.order import SAME
from nvltop.tui.paint.row import Column, Row, Span, choose, fit, narrow
from nvltop.tui.paint.view import View
from nvltop.units import UNKNOWN, cell, count, memory, percent

NVLINK: Final = (
    Column("gpu", "GPU", 3, 0),
    Column("name", "NAME", 10, 5, left=True),
    Column("util", "UTIL%", 5, 2),
    Column("mem", "MEM", 8, 6),
    Column("power", "PWR", 5, 7),
    Column("temp", "TEMP", 4, 8),
    Column("tx", "TX GB/s", 7, 0),
    Column("rx", "RX GB/s", 7, 0),
    Column("share", "%SPD", 4, 1),
    Column("links", "LINKS", 5, 3),
    Column("errors", "ERR", 4, 4),
)
PCIE: Final = (
    Column("gpu", "GPU", 3, 0),
    Column("name", "NAME", 16, 5, left=True),
    Column("util", "UTIL%", 5, 2),
    Column("mem", "MEM", 8, 6),
    Column("power", "PWR", 5, 7),
    Column("temp", "TEMP", 4, 8),
    Column("pcie_tx", "TX GB/s", 7, 0),
    Column("pcie_rx", "RX GB/s", 7, 0),
    Column("pcie", "PCIE NOW", 8, 1),
    Column("pcie_max", "MAX", 5, 3),
    Column("numa", "NUMA", 4, 4),
)
MIN_SPARK: Final = 6
MAX_SPARK: Final = 120
ROOMY: Final = 100
WIDE: Final = 130
"""From this width on the bus id has a column: `cuda:3` need not be GPU 3."""
BUS: Final = Column("bus", "BUS ID", 16, 9, left=True)


def has_links(gpus: tuple[GpuFrame, ...]) -> bool:
    """Whether any GPU has a link that is up, or may have."""
    return any(not (known(n := g.nvlink.links_up) and n == 0) for g in gpus)


def table(view: View, width: int, height: int, top: int) -> list[Row]:
    """Draw the column title and the GPUs from number `top` on."""
    columns, each, linked = _columns(view, width)
    sparks = each >= MIN_SPARK
    head = " ".join(_head(c, view) for c in columns)
    if sparks:
        scale = "" if linked or each < 14 else " (of 64 GB/s)"
        head += f" {('TX' + scale).ljust(each)} {('RX' + scale).ljust(each)}"
    rows = [fit([(head, "title")], width, "title")]
    for i, g in enumerate(view.gpus[top : top + height - 1], top):
        spans = _cells(g, columns, view)
        if sparks:
            spans += _sparks(g, view, each, linked)
        chosen = "selected" if not view.links_focused else "unfocused"
        rows.append(fit(spans, width, chosen if i == view.gpu else None))
    return rows


def _columns(view: View, width: int) -> tuple[list[Column], int, bool]:
    """Return the columns that fit, the width of each sparkline, and whether they are those of NVLink."""
    linked = has_links(view.gpus)
    columns = [
        replace(c, title=c.title.replace("GB/s", view.unit.name))
        for c in (NVLINK if linked else PCIE)
        if c.key not in view.hidden
    ]
    if width >= ROOMY:
        name = 24 if width >= WIDE else 16
        columns = [replace(c, width=name) if c.key == "name" else c for c in columns]
    if width >= WIDE and BUS.key not in view.hidden:
        columns.append(BUS)
    columns = choose(columns, width)
    used = sum(c.width + 1 for c in columns)
    each = min(MAX_SPARK, (width - used - 1) // 2)
    if each < MIN_SPARK:
        columns = [
            replace(c, width=c.width + max(0, width - used)) if c.key == "name" else c for c in columns
        ]
    return columns, each, linked


def _head(c: Column, view: View) -> str:
    if view.sort == "gpu" or SAME.get(c.key, c.key) != view.sort:
        return c.head()
    mark = view.glyphs.falling if view.falling else view.glyphs.rising
    return c.place(c.title[: c.width - 1] + mark)


def column_at(view: View, x: int, width: int) -> str | None:
    """Return the key of the column whose title is drawn at `x`."""
    at = 0
    for c in _columns(view, width)[0]:
        if at <= x <= at + c.width:
            return SAME.get(c.key, c.key)
        at += c.width + 1
    return None


def _cells(g: GpuFrame, columns: list[Column], view: View) -> list[Span]:
    spans: list[Span] = []
    for c in columns:
        text, role = _cell(c, g, view)
        spans += [(c.place(text), role), (" ", "")]
    return spans


def _cell(c: Column, g: GpuFrame, view: View) -> Span:
    gauges, link = g.gauges, g.nvlink
    none = known(link.links_up) and link.links_up == 0
    old = "dim" if g.stale or g.state != "ok" else ""
    if c.key == "gpu":
        mark, role = view.mark(g.gpu.uuid)
        return f"{g.gpu.index}{mark}", role if g.state == "ok" else "error"
    if c.key == "name":
        if g.state != "ok":
            return g.state.upper(), "error"
        return narrow(short_name(g.gpu.name))[: c.width].rstrip(" -"), ""
    if c.key == "bus":
        return (g.gpu.pci_bus_id if known(g.gpu.pci_bus_id) else UNKNOWN), ""
    if c.key == "mem":
        return memory(gauges.memory_used_bytes, gauges.memory_total_bytes), old
    if c.key == "power":
        return _number(gauges.power_w, "W"), old
    if c.key == "temp":
        return _number(gauges.temperature_c, view.glyphs.degree), old
    if c.key == "util":
        return _number(gauges.util_percent), old
    if c.key == "numa":
        return _number(g.gpu.numa_node), ""
    if c.key == "pcie":
        return f"gen{_text(gauges.pcie_gen)} x{_text(gauges.pcie_width)}", old
    if c.key == "pcie_max":
        return f"{_text(g.gpu.pcie_gen_max)}x{_text(g.gpu.pcie_width_max)}", ""
    if c.key == "pcie_tx":
        return view.unit.number(g.pcie.tx_bytes_per_s), old
    if c.key == "pcie_rx":
        return view.unit.number(g.pcie.rx_bytes_per_s), old
    if link.links_present == 0 or (none and c.key in ("tx", "rx", "share")):
        return "-", "dim"
    if c.key == "tx":
        return view.unit.number(link.tx_bytes_per_s), old
    if c.key == "rx":
        return view.unit.number(link.rx_bytes_per_s), old
    if c.key == "share":
        return percent(share(link)), old
    if c.key == "links":
        up, present = link.links_up, link.links_present
        short = known(up) and known(present) and 0 < up < present
        return f"{_text(up)}/{_text(present)}", "warn" if short else old
    moved = known(link.errors_since_start) and link.errors_since_start > 0
    return count(link.errors_total), "error" if moved else old


def _sparks(g: GpuFrame, view: View, each: int, linked: bool) -> list[Span]:
    if linked:
        ways, scale = ("tx", "rx"), g.nvlink.speed_bytes_per_s
    else:
        ways, scale = ("pcie_tx", "pcie_rx"), PCIE_LANE[5] * 16
    uuid = g.gpu.uuid
    return [
        (view.spark((uuid, None, ways[0]), each, scale), "tx"),
        (" ", ""),
        (view.spark((uuid, None, ways[1]), each, scale), "rx"),
    ]


def short_name(name: Maybe[str]) -> str:
    """Drop the words that every NVIDIA GPU's name starts with."""
    if isinstance(name, Missing):
        return UNKNOWN
    for word in ("NVIDIA ", "GeForce ", "Tesla "):
        name = name.removeprefix(word)
    return name


def _number(value: Maybe[float], unit: str = "") -> str:
    return cell(
        value,
        "" if isinstance(value, Missing) else f"{value:.0f}{unit}",
        1 if isinstance(value, Missing) else 6,
    ).strip()


def _text(value: Maybe[object]) -> str:
    return UNKNOWN if isinstance(value, Missing) else str(value)
