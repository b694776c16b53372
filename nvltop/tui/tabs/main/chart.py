"""The chart of the node's traffic: TX above its axis, RX below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from nvltop.analysis.link_capacity import pcie_speed
from nvltop.analysis.rate_history import FINE_SECONDS
from nvltop.formatting import UNKNOWN
from nvltop.model import GpuFrame, known
from nvltop.tui.render.glyphs import UNICODE, Glyphs
from nvltop.tui.render.row import SEPARATOR, Row, fit, fit_text
from nvltop.tui.render.traffic import has_links
from nvltop.tui.render.view_state import ViewState

SHIFT_CELLS: Final = 8
"""Cells by which the chart moves left at a time, so that most seconds change only its newest cell."""
DOTS_PER_CELL: Final = 4
"""Dots of a braille cell from bottom to top."""
BRAILLE: Final = 0x2800
UP_DOTS: Final = ((0, 0x40, 0x44, 0x46, 0x47), (0, 0x80, 0xA0, 0xB0, 0xB8))
"""Left and right column of a braille cell, filled from the bottom with 0 to 4 dots."""
DOWN_DOTS: Final = ((0, 0x01, 0x03, 0x07, 0x47), (0, 0x08, 0x18, 0x38, 0xB8))
"""Left and right column of a braille cell, filled from the top with 0 to 4 dots."""


def rows(view: ViewState, width: int, height: int) -> list[Row]:
    """Return a title, the bars of TX, and those of RX upside down."""
    gpus = [g for g in view.frame.gpus if g.state == "ok"]
    if linked := has_links(gpus):
        # A GPU without NVLink has no part in this traffic.
        gpus = [g for g in gpus if not (known(up := g.nvlink.links_up) and up == 0)]
    full, name = _full_scale(gpus, linked)
    per_cell = 2 if 2 * width < FINE_SECONDS else 1
    tx, rx = (_series(view, gpus, way if linked else f"pcie_{way}", width, per_cell) for way in ("tx", "rx"))
    down = (height - 1) // 2
    up = height - 1 - down
    title = _title(view, full, name, linked, min(width * per_cell, FINE_SECONDS - 1))
    out = [fit([(fit_text(title, width, view.glyphs), "title")], width, "title")]
    out += [fit([(line, "tx")], width) for line in _lines(tx, full, up, per_cell, view.glyphs, upwards=True)]
    return out + [
        fit([(line, "rx")], width) for line in _lines(rx, full, down, per_cell, view.glyphs, upwards=False)
    ]


def _title(view: ViewState, full: float, name: str, linked: bool, seconds: int) -> str:
    what = "NVLINK" if linked else "PCIE"
    scale = f"full height: {name} {view.unit.text(full)}" if full else f"full height: {UNKNOWN}"
    return SEPARATOR.join((f"{what} TRAFFIC OF THE NODE, TX above RX", scale, f"{seconds} s"))


def _full_scale(gpus: Sequence[GpuFrame], linked: bool) -> tuple[float, str]:
    """Return the rate of a full bar, 0 if unknown, and its name."""
    if not linked:
        return sum(map(pcie_speed, gpus)), "PCIe speed"
    speeds = [(g.nvlink.speed_bytes_per_s, g.nvlink.ceiling) for g in gpus]
    if any(known(ceiling) for _, ceiling in speeds):
        reached = [s * c for s, c in speeds if known(s) and known(c)]
        return sum(reached), "NCCL max"
    return sum(s for s, _ in speeds if known(s)), "speed"


def _series(view: ViewState, gpus: Sequence[GpuFrame], way: str, width: int, per_cell: int) -> list[float]:
    """Return the rates of the visible seconds, oldest first; NaN where unknown, and in the future."""
    history = view.history
    _, sums = history.sum_over([(g.gpu.uuid, None, way) for g in gpus], FINE_SECONDS - 1)
    newest = history.bucket - 1
    last_cell = (newest // per_cell // SHIFT_CELLS + 1) * SHIFT_CELLS - 1
    end = (last_cell + 1) * per_cell
    start = end - width * per_cell
    first = newest + 1 - len(sums)
    # The first second after a gap was read only in part.
    sums = [b if a == a else math.nan for a, b in pairwise([math.nan, *sums])]
    return [sums[s - first] if first <= s <= newest else math.nan for s in range(start, end)]


def _lines(
    values: Sequence[float], full: float, height: int, per_cell: int, glyphs: Glyphs, *, upwards: bool
) -> list[str]:
    """Return the lines of one direction, from top to bottom."""
    total = height * (DOTS_PER_CELL if glyphs is UNICODE else 1)
    filled = [_dots(value, full, total) for value in values]
    lines = []
    for row in range(height):
        base = (height - 1 - row if upwards else row) * (total // max(1, height))
        lines.append(_line(filled, base, per_cell, glyphs, upwards=upwards))
    return lines


def _dots(value: float, full: float, total: int) -> int:
    """Return the dots of a bar: at least one for a known value, so that the axis is drawn."""
    if value != value or full <= 0:
        return 0
    return max(1, min(total, round(value / full * total)))


def _line(filled: Sequence[int], base: int, per_cell: int, glyphs: Glyphs, *, upwards: bool) -> str:
    """Return one line of a chart, whose lowest dot is dot number `base` of the bars."""
    starts = range(0, len(filled), per_cell)
    if glyphs is not UNICODE:
        return "".join("#" if max(filled[i : i + per_cell]) > base else " " for i in starts)
    dots = UP_DOTS if upwards else DOWN_DOTS
    out = []
    for i in starts:
        left = max(0, min(DOTS_PER_CELL, filled[i] - base))
        right = max(0, min(DOTS_PER_CELL, filled[i + per_cell - 1] - base))
        bits = dots[0][left] | dots[1][right]
        out.append(chr(BRAILLE + bits) if bits else " ")
    return "".join(out)
