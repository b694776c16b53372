"""Sparklines of the newest traffic, which are extended instead of being drawn again.

A cell shows two readings side by side: it covers a fixed time, which is divided into two halves, and each
half shows the mean rate of its own time. A half is drawn once, when all of its time has been read, and does
not change after that. The newest cells fill in their places; the picture then moves left by several cells at
once, because a line that moves is sent to the terminal as a whole. A line of equal heights moves with each
reading instead, since it looks the same: an idle node costs nothing. Full height is the ceiling, which is
what NCCL reaches. Known values are at least one dot high; unknown ones are blank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.model import Maybe, Missing
from nvltop.tui.render.row import Cells, Row
from nvltop.tui.render.row_changes import MAX_GAP, with_cells
from nvltop.tui.render.spark_style import SparkStyle

MOVES_PER_LINE: Final = 6
"""Number of moves after which every cell of a line is a new one."""
MIN_STEP: Final = 2
"""Number of cells by which a line moves at least."""
HALF_CEILING: Final = 0.5
"""Share of the ceiling from which a cell has the second colour."""
NEAR_CEILING: Final = 0.9
"""Share of the ceiling from which a cell has the third colour."""
MAX_OPEN_S: Final = 5.0
"""Age of the newest known rate, seconds, above which a flat line shows the gap. Rates of idle links are known
only when their counters have not moved for longer than the driver's refresh."""
CLASSES: Final = 3
"""Number of colours of the cells: below `HALF_CEILING`, below `NEAR_CEILING`, and above."""
MAX_GROUPS: Final = 64
"""Number of groups of sparklines that are kept: those of each GPU that was selected, and of other tabs."""
BLANK: Final = " "
NO_CELLS: Final[Cells] = ("", ())

SparkKeys: TypeAlias = tuple[SeriesKey, ...]
"""Series whose sum is drawn."""


class SparkShape(NamedTuple):
    """What a sparkline looks like, and which time it covers."""

    cells: int
    """Width in columns."""
    half_s: float
    """Time that half of a cell covers, seconds."""
    full: Maybe[float]
    """Rate at full height in bytes/s."""
    style: SparkStyle
    rows: int = 1
    """Height in lines."""
    down: bool = False
    """Whether the axis is at the top."""

    def seconds(self) -> float:
        """Return the time that the cells cover together."""
        return 2 * self.half_s * self.cells

    def step(self) -> int:
        """Return the number of cells by which the line moves."""
        return max(MIN_STEP, self.cells // MOVES_PER_LINE)


def spark_title(name: str, cells: int, cell_s: float) -> str:
    """Return the title of a sparkline in its width: `TX, 24 s`, or only the name if that does not fit."""
    text = f"{name}, {cells * cell_s:.3g} s"
    return (text if len(text) <= cells else name)[:cells].ljust(cells)


def first_cell(history: RateHistory, shape: SparkShape) -> int:
    """Return the number of the first cell that is drawn, by `RateHistory.cell_at`."""
    step = shape.step()
    return (history.cell_at(history.now_s, 2 * shape.half_s) // step + 1) * step - shape.cells


class _Group:
    """Sparklines of one shape that are extended together.

    A line is two runs in each row: the cells that stay until it moves, which nothing compares or sends, and
    those that fill in. Each property has a list for all lines, which is quicker than an object for each.
    """

    def __init__(self, each: Sequence[SparkKeys], pen: _Pen) -> None:
        self.each, self.pen = each, pen
        self.place = {keys: i for i, keys in enumerate(each)}
        """Position of each line."""
        self.first = 0
        """Number of the first cell."""
        self._read: list[int] = []
        """Number of the first half of each line that is not drawn yet; empty if nothing is drawn."""
        self._old: list[list[Cells]] = []
        """Each row from the axis outwards: the cells of each line that stay until it moves."""
        self._new: list[list[Cells]] = []
        """The cells behind them, which fill in."""
        self._newest: list[float] = []
        """Value of the newest half of each line."""
        self._level: list[int] = []
        """Its level."""
        self._equal: list[int] = []
        """Number of the newest halves that have this level, one after the other."""
        self._rows: list[list[Row]] = []
        """The rows of each line from top to bottom."""
        self._flat: dict[int, list[Row]] = {}
        """The rows of a line whose halves all have one level, by that level."""

    def extend(self, history: RateHistory, first: int, read: Sequence[int]) -> None:
        """Draw the halves of each line up to the one in `read`, and remove the cells before `first`."""
        if first == self.first and read == self._read:
            return
        spans = zip(self._read, read, strict=False)
        if not self._read or first < self.first or any(a != b and a // 2 < first for a, b in spans):
            self._begin(first, read)
        parts: dict[tuple[int, int], list[int]] = {}
        for i, span in enumerate(zip(self._read, map(max, self._read, read), strict=True)):
            parts.setdefault(span, []).append(i)
        for (begun, until), lines in parts.items():
            self._extend(history, lines, begun, until, first)
        self.first, self._read = first, list(map(max, self._read, read))
        # There are no empty runs.
        runs = zip(self._old, self._new, strict=True) if self.pen.split else zip(self._new)
        rows = [list(zip(*its, strict=True)) for its in runs]
        self._rows = list(map(list, zip(*(rows if self.pen.shape.down else rows[::-1]), strict=True)))

    def _begin(self, first: int, read: Sequence[int]) -> None:
        """Begin all lines again, so early that they can be flat at once."""
        count, shape = len(read), self.pen.shape
        # Lines that have not been read for longer have a gap at their end, and show nothing.
        oldest = 2 * first - int(MAX_OPEN_S / shape.half_s) - 2
        seen = [half for half in read if half >= oldest]
        self._rows = []
        self.first = min([first, *(half // 2 - shape.cells for half in seen)])
        self._read = [2 * self.first if half >= oldest else half for half in read]
        self._old, self._new = ([[NO_CELLS] * count for _ in range(shape.rows)] for _ in "ab")
        self._newest = [math.nan] * count
        self._level, self._equal = [0] * count, [0] * count

    def _extend(self, history: RateHistory, lines: Sequence[int], begun: int, until: int, first: int) -> None:
        """Draw the halves from `begun` up to `until` of lines that are drawn up to `begun`."""
        pen, shape = self.pen, self.pen.shape
        begun = max(begun, 2 * self.first)
        until = max(begun, until)
        each = history.cell_means_each([self.each[i] for i in lines], shape.half_s, until - 1, until - begun)
        gone, kept, is_open = first - self.first, begun // 2 - self.first, begun % 2
        pad = min(shape.cells, shape.cells + first - (until + 1) // 2)
        blanks, low, skipped, split = BLANK * pad, (pen.roles[0],) * pad, max(0, gone - kept), pen.split
        only_new = self._rows and not gone and kept >= split and until - begun < MAX_GAP
        for i, values in zip(lines, each, strict=True):
            if is_open:
                values = (self._newest[i], *values)
            levels = pen.levels(values)
            cells, roles = pen.cells(values, levels)
            for old, new, text in zip(self._old, self._new, cells, strict=True):
                if only_new:
                    # What is behind is blank already.
                    new[i] = with_cells(new[i], kept - split, text, roles)
                    continue
                before = (old[i][0] + new[i][0])[gone:kept] + text[skipped:] + blanks
                its = (*(*old[i][1], *new[i][1])[gone:kept], *roles[skipped:], *low)
                old[i], new[i] = (before[:split], its[:split]), (before[split:], its[split:])
            for level in levels[is_open:]:
                self._equal[i] = self._equal[i] + 1 if level == self._level[i] else 1
                self._level[i] = level
            if values:
                self._newest[i] = values[-1]

    def rows(self, current: Sequence[bool]) -> Sequence[list[Row]]:
        """Return the rows of each line; `current` is whether it has no gap at its end."""
        width = 2 * self.pen.shape.cells
        if max(self._equal, default=0) < width:
            return self._rows
        state = zip(self._rows, self._equal, self._level, current, strict=True)
        return [
            self._flat_rows(level) if equal >= width and level and is_current else rows
            for rows, equal, level, is_current in state
        ]

    def _flat_rows(self, level: int) -> list[Row]:
        rows = self._flat.get(level)
        if rows is None:
            shape, height = self.pen.shape, level // CLASSES
            column = shape.style.column(height, height if shape.style.halves else 0, shape.rows, shape.down)
            widths = list(filter(None, (self.pen.split, shape.cells - self.pen.split)))
            role = self.pen.roles[level % CLASSES]
            rows = [tuple([(char * width, (role,) * width) for width in widths]) for char in column]
            self._flat[level] = rows = rows if shape.down else rows[::-1]
        return rows


class Sparklines:
    """The sparklines of the screen."""

    def __init__(self) -> None:
        self._groups: dict[tuple[frozenset[SparkKeys], bool], _Group] = {}
        """The sparklines that were drawn together, those that were last drawn at the end."""
        self._history: RateHistory | None = None
        self._generation = 0
        """The `generation` of that history that the lines were drawn from."""

    def draw(
        self, history: RateHistory, keys: SparkKeys, shape: SparkShape, roles: Sequence[str]
    ) -> list[Row]:
        """Return the rows of a sparkline from top to bottom, each as wide as `shape.cells`.

        `roles` are those of cells below `HALF_CEILING`, below `NEAR_CEILING`, and above.
        """
        return self.draw_each(history, (keys,), shape, roles)[0]

    def draw_each(
        self, history: RateHistory, each: Sequence[SparkKeys], shape: SparkShape, roles: Sequence[str]
    ) -> Sequence[list[Row]]:
        """Return the rows of several sparklines, as `draw` does; quick for the same ones, in any order."""
        if self._history is not history or self._generation != history.generation:
            self._groups.clear()
            self._history, self._generation = history, history.generation
        name = frozenset(each), shape.down
        group = self._groups.pop(name, None)
        if group is None or group.pen.shape != shape:
            group = _Group(each, _Pen(shape, roles))
        self._groups[name] = group
        if len(self._groups) > MAX_GROUPS:
            del self._groups[next(iter(self._groups))]
        first = first_cell(history, shape)
        ends_s = [history.read_until_s(keys) for keys in group.each]
        half = {end_s: _halves_read(history, end_s, shape, first) for end_s in set(ends_s)}
        group.extend(history, first, [half[end_s] for end_s in ends_s])
        # Rates that are still open make no gap.
        rows = group.rows([history.now_s - end_s <= MAX_OPEN_S for end_s in ends_s])
        return rows if group.each == each else [rows[group.place[keys]] for keys in each]


def _halves_read(history: RateHistory, until_s: float, shape: SparkShape, first: int) -> int:
    """Return the number of the first half of a cell that is not over at `until_s`, or has no cell."""
    if until_s == -math.inf:
        return -(1 << 62)
    return min(history.cell_at(until_s, shape.half_s), 2 * (first + shape.cells))


class _Pen:
    """Draws the cells of sparklines of one shape; most links of a GPU carry alike, and get the same cells."""

    def __init__(self, shape: SparkShape, roles: Sequence[str]) -> None:
        self.shape, self.roles = shape, roles
        self.split = max(0, shape.cells - shape.step())
        """Number of cells that stay until the line moves."""
        self._full = 0.0 if isinstance(shape.full, Missing) else shape.full
        self._drawn: dict[tuple[int, ...], tuple[Sequence[str], tuple[str, ...]]] = {}

    def levels(self, values: Iterable[float]) -> tuple[int, ...]:
        """Return the level of each value, which is its height x `CLASSES` + its class.

        The height is in steps: 1 for zero, one more than there are steps for the full height, 0 if the value
        cannot be drawn. The class is 0 to 2, by the share of the ceiling.
        """
        full, top = self._full, self.shape.style.steps * self.shape.rows - 1
        half, near = HALF_CEILING * full, NEAR_CEILING * full
        levels = []
        for value in values:
            if 0 < value < full:
                kind = 0 if value < half else 1 if value < near else 2
                level = (1 + int(value / full * top + 0.5)) * CLASSES + kind
            elif value <= 0:
                level = CLASSES
            elif value >= full > 0:
                level = (top + 1) * CLASSES + 2
            else:
                level = 0  # unknown; and without a scale only zero can be drawn
            levels.append(level)
        return tuple(levels)

    def cells(
        self, values: Sequence[float], levels: tuple[int, ...]
    ) -> tuple[Sequence[str], tuple[str, ...]]:
        """Return the cells of each line, from the axis outwards, and the role of each cell in all lines.

        `levels` are those of the `values` of the halves. A blank cell has the role of a low one, so that a
        line which stays blank there is not sent again.
        """
        drawn = self._drawn.get(levels)
        if drawn is None:
            drawn = self._draw(values, levels)
            if self.shape.style.halves:
                self._drawn[levels] = drawn
        return drawn

    def _draw(self, values: Sequence[float], levels: Sequence[int]) -> tuple[Sequence[str], tuple[str, ...]]:
        _, _, _, style, rows, down = self.shape
        columns: list[Sequence[str]] = []
        its = []
        for i in range(0, len(levels), 2):
            left, right = levels[i], levels[i + 1] if i + 1 < len(levels) else 0
            if not style.halves:
                [left], right = self.levels([_mean(*values[i : i + 2])]), 0
            its.append(self.roles[max(left % CLASSES, right % CLASSES)])
            columns.append(style.column(left // CLASSES, right // CLASSES, rows, down))
        return [*map("".join, zip(*columns, strict=True))] or [""] * rows, tuple(its)


def _mean(left: float, right: float = math.nan) -> float:
    """Return the mean of the known values."""
    if left != left:
        return right
    return left if right != right else (left + right) / 2
