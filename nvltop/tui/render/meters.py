"""Bar meters as in htop: CPU, memory, power, and the node's traffic in each direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.link_capacity import pcie_speed
from nvltop.formatting import UNKNOWN, Unit, gib
from nvltop.frozen import frozen
from nvltop.model import NOT_READ, Frame, Maybe, known, total
from nvltop.report.phrases import counted_gpus, nothing_is_read
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.row import TextRun
from nvltop.tui.render.traffic import has_links, linked
from nvltop.tui.render.view_state import ViewState

MIN_METER_WIDTH: Final = 20
"""Columns below which a meter is left out."""
HEADER_LINES: Final = 4
"""Number of rows of the header."""
FRAME_WIDTH: Final = 6
"""Columns of the caption, the brackets and the blank before the number."""
MIN_NUMBER_WIDTH: Final = 10
"""Columns of the number behind the bar, at its shortest: `2.830 TB/s`."""
NEAR_CEILING: Final = 0.9
"""Share of the ceiling from which traffic is drawn as near its limit."""


@frozen
class BarMeter:
    """One value as a bar."""

    caption: str
    """Text of at most three columns before the bar."""
    share: Maybe[float]
    """Filled part of the bar, 0…1; a missing value leaves the bar empty."""
    text: str
    role: str
    tick: Maybe[float] = NOT_READ
    """Position of the ceiling on the bar, 0…1."""
    old: bool = False
    """Whether the value is the last one that was read, and not that of now; the tab row has its age."""


def number_width(shown: Sequence[BarMeter]) -> int:
    """Return the columns of the widest number of several meters, so that their bars have the same length."""
    return max([MIN_NUMBER_WIDTH, *(len(meter.text) for meter in shown)])


def bar_length(width: int, number: int) -> int:
    """Return the columns of the bar of a meter of `width` columns with its number; 0 if it does not fit."""
    return max(0, width - FRAME_WIDTH - number) if width >= MIN_METER_WIDTH else 0


def bar(meter: BarMeter, width: int, glyphs: Glyphs, number: int = MIN_NUMBER_WIDTH) -> list[TextRun]:
    """Return `CPU[|||||     ¦  ]      38.2%`: a bar with a tick at the ceiling, and the number behind it."""
    inner = bar_length(width, number)
    if not inner:
        return []
    filled = 0
    if known(meter.share) and meter.share > 0:
        filled = max(1, round(min(meter.share, 1.0) * inner))
    line = ("|" * filled).ljust(inner)
    tick = min(inner - 1, round(meter.tick * inner)) if known(meter.tick) else inner
    if tick < inner:
        drawn = [*_bar_part(line, 0, tick, filled, meter), (glyphs.tick, "warn")]
        drawn += _bar_part(line, tick + 1, inner, filled, meter)
    else:
        drawn = _bar_part(line, 0, inner, filled, meter)
    edges: list[TextRun] = [(f"{meter.caption:3}", "caption"), ("[", "bracket")]
    text = " " + meter.text[:number].rjust(number)
    return [*edges, *drawn, ("]", "bracket"), (text, "dim" if meter.old else "")]


def _bar_part(line: str, start: int, end: int, filled: int, meter: BarMeter) -> list[TextRun]:
    """Return a part of a bar: the filled columns in the meter's role, the others as shadow."""
    middle = max(start, min(filled, end))
    return [(line[start:middle], "dim" if meter.old else meter.role), (line[middle:end], "shadow")]


def meters(view: ViewState) -> list[BarMeter]:
    """Return the configured meters, from top to bottom."""
    frame, unit = view.frame, view.unit
    makers = {
        "cpu": lambda: _cpu(frame),
        "memory": lambda: _memory(frame),
        "tx": lambda: _traffic("TX", frame, unit, has_links(frame.gpus)),
        "rx": lambda: _traffic("RX", frame, unit, has_links(frame.gpus)),
        "pcie-tx": lambda: _traffic("TX", frame, unit, False),
        "pcie-rx": lambda: _traffic("RX", frame, unit, False),
        "power": lambda: _power(frame),
    }
    return [makers[name]() for name in view.meters[:HEADER_LINES]]


def _cpu(frame: Frame) -> BarMeter:
    cpu, old = frame.host.cpu_percent, nothing_is_read(frame)
    text = f"{cpu:.1f}%" if known(cpu) else UNKNOWN
    return BarMeter("CPU", cpu / 100 if known(cpu) else cpu, text, "cpu", old=old)


def _memory(frame: Frame) -> BarMeter:
    used, total = frame.host.memory_used_bytes, frame.host.memory_total_bytes
    share = used / total if known(used) and known(total) and total else NOT_READ
    old = nothing_is_read(frame)
    return BarMeter("Mem", share, f"{gib(used)}/{gib(total)}", "memory", old=old)


def _power(frame: Frame) -> BarMeter:
    """Return the meter of the power of all GPUs, relative to the sum of their limits."""
    counted, old = counted_gpus(frame.gpus)
    now, limit = _total([g.gauges.power_w for g in counted]), _total([g.gpu.power_limit_w for g in counted])
    share = now / limit if known(now) and known(limit) and limit else NOT_READ
    text = f"{now / 1e3:.2f} kW" + "+?" * (len(counted) < len(frame.gpus)) if known(now) else UNKNOWN
    return BarMeter("Pwr", share, text, "power", old=old)


def _traffic(caption: str, frame: Frame, unit: Unit, nvlink: bool) -> BarMeter:
    """Return the meter of the node's traffic in one direction, relative to the speed of its active links.

    Without `nvlink`, or without an active link, it shows PCIe.
    """
    out = caption == "TX"
    answering, old = counted_gpus(frame.gpus)
    is_part = len(answering) < len(frame.gpus)
    links = [g.nvlink for g in linked(answering)]
    tick: Maybe[float] = NOT_READ
    speeds: list[Maybe[float]]
    if nvlink and links:
        prefix, tick = "", links[0].ceiling
        is_part = is_part or any(g.links and not known(g.nvlink.links_up) for g in answering)
        rates = [n.mean_tx_bytes_per_s if out else n.mean_rx_bytes_per_s for n in links]
        speeds = [n.speed_bytes_per_s for n in links]
    else:
        prefix = "PCIe "
        rates = [g.pcie.tx_bytes_per_s if out else g.pcie.rx_bytes_per_s for g in answering]
        speeds = [pcie_speed(g) or NOT_READ for g in answering]
    moved, speed = _total(rates), _total(speeds)
    share = moved / speed if known(moved) and known(speed) and speed else NOT_READ
    near = known(share) and known(tick) and share >= NEAR_CEILING * tick
    role = "warn" if near else caption.lower()
    text = prefix + unit.text(moved) + "+?" * (is_part and known(moved))
    return BarMeter(caption, share, text, role, tick, old)


def _total(values: list[Maybe[float]]) -> Maybe[float]:
    return total(values) if values else NOT_READ
