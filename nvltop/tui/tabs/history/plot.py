"""A chart as rows: axes and lines drawn by plotext, filled areas by this module; TX is above RX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from nvltop.frozen import frozen
from nvltop.tui.render.row import Cells, Row, TextRun
from nvltop.tui.render.spark_style import BRAILLE, SparkStyle
from nvltop.tui.tabs.history.series import Column

ASCII_FRAME: Final = str.maketrans("┌┐└┘├┤┬┴┼│─╌", "+++++++++|--")
DOTS_PER_ROW: Final = 4
DOTS: Final = {
    False: ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)),
    True: ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)),
}
"""Bits of the dots of a braille cell from the axis outwards, in the left and the right column; downwards
from the axis for True."""
Heights: TypeAlias = "tuple[int, int, int]"
"""Mean, minimum and maximum of a column in dots, or in steps of a `SparkStyle`."""
_Run: TypeAlias = "tuple[Sequence[float], Sequence[float]]"
"""Places and rates of consecutive known values."""
BLANK: Final = " "
ZERO_LINE: Final = "─"
LIMIT_LINE: Final = "╌"
ENVELOPE: Final = "░"
"""Character between mean and maximum where there is no braille."""
BORDER_ROWS: Final = 3
"""Rows of a chart without its area: the frame, and the labels of the time."""
MIN_TICK_ROWS: Final = 4
"""Rows above the axis from which half of the scale has a label."""


@frozen
class Chart:
    """What a chart shows."""

    tx: Sequence[Column]
    rx: Sequence[Column]
    """One column for each value: two for each character in braille, otherwise one."""
    full: float
    """Rate at the ends of the scale, bytes/s."""
    limit: float
    """Rate of the line of the limit, bytes/s; 0 for none."""
    limit_label: str
    rate_labels: tuple[str, str]
    """Labels of half and of the end of the scale."""
    times: Sequence[tuple[float, str]]
    """Share of the width, 0 to 1, and label of each tick of the time."""
    marks: Sequence[tuple[int, str]]
    """Character column and role of each event."""
    cursor: int | None
    """Character column of the cursor."""
    lines: bool
    """Whether plotext draws lines instead of filled areas."""


def area_size(width: int, height: int, label_width: int) -> tuple[int, int]:
    """Return the columns of the area of a chart, and its rows in each direction from the axis."""
    return max(1, width - label_width - 2), max(1, (height - BORDER_ROWS - 1) // 2)


def rows(chart: Chart, style: SparkStyle, ascii_only: bool, width: int, height: int) -> list[Row]:
    """Return the rows of a chart of exactly `width` columns."""
    each = max(1, (height - BORDER_ROWS - 1) // 2)
    label_width = max(len(label) for label in (*chart.rate_labels, "0"))
    frame = _plotext(chart, label_width, width, 2 * each + 1 + BORDER_ROWS, ascii_only)
    left, right = label_width + 1, width - 1
    count = right - left
    filled = None if chart.lines else _filled_rows(chart, style, each, count)
    out: list[Row] = []
    for number, line in enumerate(frame):
        line = line.ljust(width)[:width]
        row = number - 1
        if not 0 <= row <= 2 * each:
            out.append(((_plain(line, ascii_only), "dim"),))
            continue
        if row == each:
            area = _axis(chart, count)
        else:
            role = "tx" if row < each else "rx"
            text = line[left:right]
            area = filled[row] if filled else (text, tuple(role if c != BLANK else "" for c in text))
            area = _with_limit(area, chart, each, row)
        if chart.cursor is not None and 0 <= chart.cursor < count:
            area = _with_text(area, chart.cursor, "│", "bold")
        runs: Row = ((line[:left], "dim"), area, (line[right:], "dim"))
        out.append(tuple([(_plain(text, ascii_only), its) for text, its in runs if text]))
    return out


def _filled_rows(chart: Chart, style: SparkStyle, each: int, count: int) -> list[Cells]:
    """Return the rows of the filled areas from top to bottom, with a blank row in the place of the axis."""
    halves: list[list[Cells]] = []
    for values, role, down in ((chart.tx, "tx", False), (chart.rx, "rx", True)):
        heights = [_heights(column, chart.full, each * style.steps) for column in values]
        if style is BRAILLE:
            pairs = zip(heights[: 2 * count : 2], heights[1 : 2 * count : 2], strict=True)
            columns = [_braille_column(left, right, each, role, down) for left, right in pairs]
        else:
            columns = [_column(mean, high, style, each, role, down) for mean, _, high in heights[:count]]
        texts, roles = ([*zip(*part, strict=True)] for part in zip(*columns, strict=True))
        halves.append([("".join(text), its) for text, its in zip(texts, roles, strict=True)])
    up, below = halves
    return [*reversed(up), ("", ()), *below]


def _plain(text: str, ascii_only: bool) -> str:
    return text.translate(ASCII_FRAME).replace(ENVELOPE, ":") if ascii_only else text


def _plotext(chart: Chart, label_width: int, width: int, height: int, ascii_only: bool) -> Sequence[str]:
    """Return frame, ticks and labels, with lines for the values if they are wanted."""
    labels = tuple(label.rjust(label_width) for label in (*chart.rate_labels, "0"))
    if not chart.lines:
        return _frame(labels, tuple(chart.times), width, height)
    runs: list[_Run] = []
    last = max(1, len(chart.tx) - 1)
    for values, sign in ((chart.tx, 1), (chart.rx, -1)):
        for begin, end in gapless_runs([column.mean for column in values]):
            at = [i / last for i in range(begin, end)]
            runs.append((at, [sign * column.mean / chart.full for column in values[begin:end]]))
    return _draw(labels, chart.times, width, height, runs, "*" if ascii_only else "braille")


@lru_cache(maxsize=64)  # it changes only when the chart moves or its scale changes
def _frame(
    labels: tuple[str, ...], times: tuple[tuple[float, str], ...], width: int, height: int
) -> Sequence[str]:
    return _draw(labels, times, width, height, (), "")


def _draw(
    labels: Sequence[str],
    times: Sequence[tuple[float, str]],
    width: int,
    height: int,
    runs: Sequence[_Run],
    marker: str,
) -> list[str]:
    """Return a figure of plotext; the time goes from 0 to 1, the rate from -1 to 1."""
    # Imported here because it takes a tenth of a second to load and only this tab needs it.
    from plotext import figure, terminal, uncolorize

    # The size is that of the tab, not of the terminal that plotext detects.
    terminal.limit(False, False)
    figure.clear()
    figure.clear.data()
    # Without labels plotext leaves out their row.
    figure.plot_size(width, height if times else height - 1)
    for at, rates in runs:
        run = figure.signal(at, rates, marker=marker)
        run.lines()
        figure.draw(run)
    across, up = figure.ruler(axis=0), figure.ruler(axis=1)
    across.lim(0, 1)
    up.lim(-1, 1)
    half, full, zero = labels
    ticks = [(-1.0, full), (0.0, zero), (1.0, full)]
    if (height - BORDER_ROWS) // 2 >= MIN_TICK_ROWS:
        ticks += [(-0.5, half), (0.5, half)]
    up.ticks([place for place, _ in ticks], [label for _, label in ticks])
    across.ticks([place for place, _ in times], [label for _, label in times])
    drawn: str = uncolorize(str(figure.build()))
    return drawn.splitlines()[:height]


def gapless_runs(values: Sequence[float]) -> list[tuple[int, int]]:
    """Return start and end of each run of known values."""
    runs = []
    begin = None
    for i, value in enumerate([*values, math.nan]):
        if value != value:
            if begin is not None:
                runs.append((begin, i))
            begin = None
        elif begin is None:
            begin = i
    return runs


def _axis(chart: Chart, count: int) -> Cells:
    """Return the axis of rate 0, which is blank where the traffic is unknown, with the marks of events."""
    per_cell = max(1, len(chart.tx) // max(1, count))
    known = [column.mean == column.mean for column in chart.tx]
    known = [a or b.mean == b.mean for a, b in zip(known, chart.rx, strict=True)]
    cells: list[TextRun] = [
        (ZERO_LINE, "dim") if any(known[i * per_cell : (i + 1) * per_cell]) else (BLANK, "")
        for i in range(count)
    ]
    for at, role in chart.marks:
        if 0 <= at < count:
            cells[at] = ("!", role)
    return "".join([text for text, _ in cells]), tuple([role for _, role in cells])


def _column(mean: int, high: int, style: SparkStyle, each: int, role: str, down: bool) -> Cells:
    """Return one column of an area from the axis outwards, without braille."""
    text = "".join(style.column(mean, mean, each, down))
    roles = [role if c != BLANK else "" for c in text]
    for place in range(each):
        if text[place] == BLANK and high > place * style.steps:
            text, roles[place] = f"{text[:place]}{ENVELOPE}{text[place + 1 :]}", "dim"
    return text, tuple(roles)


def _heights(column: Column, full: float, total: int) -> Heights:
    """Return mean, minimum and maximum in dots; a rate above 0 has at least one dot."""
    rate, lowest, highest = column
    if rate != rate or full <= 0:
        return 0, 0, 0
    mean = round(rate / full * total)
    if mean > total:
        mean = total
    least = 1 if not mean and rate > 0 else mean
    # In a column of one reading all three rates are equal.
    if lowest == highest:
        return least, mean, mean
    low, high = min(total, round(lowest / full * total)), min(total, round(highest / full * total))
    return least, low, max(high, mean)


@lru_cache(maxsize=1024)  # bursts have similar heights
def _braille_column(left: Heights, right: Heights, each: int, role: str, down: bool) -> Cells:
    """Return one column of an area in braille, from the axis outwards."""
    cells = [_braille_cell(left, right, place, role, down) for place in range(each)]
    return "".join([text for text, _ in cells]), tuple([its for _, its in cells])


def _braille_cell(left: Heights, right: Heights, place: int, role: str, down: bool) -> TextRun:
    """Return one cell: filled up to the mean with a gap at the minimum, and dotted up to the maximum."""
    bits, solid = 0, False
    for side, (mean, low, high) in enumerate((left, right)):
        for dot in range(DOTS_PER_ROW):
            level = place * DOTS_PER_ROW + dot
            if level < mean:
                solid = True
                is_on = level != low or low == 0 or low >= mean - 1
            else:
                is_on = level < high and (level + side) % 2 == 0
            bits |= DOTS[down][side][dot] if is_on else 0
    if not bits:
        return BLANK, ""
    return chr(0x2800 + bits), role if solid else "dim"


def _with_limit(area: Cells, chart: Chart, each: int, row: int) -> Cells:
    """Return a row with the line of the limit, where nothing else is drawn."""
    if not 0 < chart.limit <= chart.full:
        return area
    place = min(each - 1, math.ceil(chart.limit / chart.full * each) - 1)
    if row not in (each - 1 - place, each + 1 + place):
        return area
    text, roles = area
    roles = tuple([role if c != BLANK else "warn" for c, role in zip(text, roles, strict=True)])
    text = text.replace(BLANK, LIMIT_LINE)
    label = f" {chart.limit_label} "
    if row < each and len(label) < len(text) // 2:
        # At the old end, where it hides the least.
        return _with_text((text, roles), 1, label, "warn")
    return text, roles


def _with_text(area: Cells, at: int, text: str, role: str) -> Cells:
    """Return a row in which a text replaces the cells from column `at` on."""
    (old, roles), end = area, at + len(text)
    return old[:at] + text + old[end:], (*roles[:at], *[role] * len(text), *roles[end:])
