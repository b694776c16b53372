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
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.model import Maybe, Missing
from nvltop.tui.render.row import TextRun
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
BLANK: Final = " "
SAME_CLASS: Final = re.compile(r"(.)\1*")

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


def spark_title(name: str, cells: int, cell_s: float) -> str:
    """Return the title of a sparkline in its width: `TX, 24 s`, or only the name if that does not fit."""
    text = f"{name}, {cells * cell_s:.3g} s"
    return (text if len(text) <= cells else name)[:cells].ljust(cells)


def first_cell(history: RateHistory, shape: SparkShape) -> int:
    """Return the number of the first cell that is drawn, by `RateHistory.cell_at`."""
    step = max(MIN_STEP, shape.cells // MOVES_PER_LINE)
    return (history.cell_at(history.now_s, 2 * shape.half_s) // step + 1) * step - shape.cells


class _Line:
    """A sparkline that can be extended."""

    __slots__ = ("_classes", "_cut", "_heads", "_rows", "done", "first", "runs", "shape")

    def __init__(self, shape: SparkShape, first: int) -> None:
        self.shape = shape
        self.first = first
        """Number of the first cell."""
        self.done = 2 * first
        """Number of the first half that is not drawn yet."""
        self.runs: list[list[TextRun]] = []
        """The lines from top to bottom, padded to the width; empty until the first call of `extend`."""
        self._rows = [""] * shape.rows
        """The drawn cells of each line, from the axis outwards."""
        self._classes = ""
        """Class of each drawn cell: `0` to `2` by its share of the ceiling, blank if nothing is drawn."""
        self._heads: list[list[TextRun]] = [[] for _ in self._rows]
        """Each line as runs, up to cell `_cut` of the line, from the axis outwards."""
        self._cut = 0

    def move(self, first: int) -> None:
        """Remove the cells before cell `first`."""
        gone = first - self.first
        if gone:
            self.first, self._classes = first, self._classes[gone:]
            self._rows = [row[gone:] for row in self._rows]
            self._heads, self._cut = [[] for _ in self._rows], 0

    def is_even(self) -> bool:
        """Return whether all cells look the same, except the newest, which may not be complete."""
        return len(set(self._classes[:-1])) <= 1 and all(len(set(row[:-1])) <= 1 for row in self._rows)

    def extend(self, values: Sequence[float], until: int, roles: Sequence[str]) -> None:
        """Draw the cells of `values`, which start with the cell that contains half `done`."""
        kept = self.done // 2 - self.first
        for row, head in zip(self._rows, self._heads, strict=True):
            _add_runs(head, row, self._classes[:kept], self._cut, roles)
        self._cut = kept
        drawn, classes = _cells(values, self.shape)
        self.done = until
        self._classes = self._classes[:kept] + classes
        self._rows = [
            row[:kept] + "".join([column[i] for column in drawn]) for i, row in enumerate(self._rows)
        ]
        pad = " " * (self.shape.cells - len(self._classes))
        self.runs = []
        for row, head in zip(self._rows, self._heads, strict=True):
            runs = [*head]
            _add_runs(runs, row, self._classes, kept, roles)
            if pad:
                runs.append((pad, ""))
            self.runs.append(runs)
        if not self.shape.down:
            self.runs.reverse()


class _Flat(NamedTuple):
    """A line whose halves all have the same height and class."""

    shape: SparkShape
    level: tuple[int, str]
    """Height and class of each half."""
    read: int
    """Number of the first half that has not been read completely."""
    runs: list[list[TextRun]]


class Sparklines:
    """The sparklines of the screen, by series."""

    def __init__(self) -> None:
        self._lines: dict[tuple[SparkKeys, bool], _Line] = {}
        self._flat: dict[tuple[SparkKeys, bool], _Flat] = {}
        self._history: tuple[RateHistory, int] | None = None

    def draw(
        self, history: RateHistory, keys: SparkKeys, shape: SparkShape, roles: Sequence[str]
    ) -> list[list[TextRun]]:
        """Return the lines of a sparkline from top to bottom, each as wide as `shape.cells`.

        `roles` are those of cells below `HALF_CEILING`, below `NEAR_CEILING`, and above.
        """
        if self._history != (history, history.generation):
            self._lines.clear()
            self._flat.clear()
            self._history = history, history.generation
        half_s = shape.half_s
        read = _halves_read(history, keys, half_s)
        if runs := self._still_flat(history, keys, shape, read):
            return runs
        first = first_cell(history, shape)
        line = self._lines.get((keys, shape.down))
        until = min(read, 2 * (first + shape.cells))
        if line is None or line.shape != shape or not line.first <= first <= line.done // 2:
            line = self._lines[keys, shape.down] = _Line(shape, first)
        elif line.first == first and (line.done >= until) and line.runs:
            return self._flat_now(history, keys, line, read, roles) or line.runs
        else:
            line.move(first)
        start = line.done // 2 * 2
        until = max(until, line.done)
        values = history.cell_means(keys, half_s, until - 1, until - start)
        line.extend(values, until, roles)
        return self._flat_now(history, keys, line, read, roles) or line.runs

    def _still_flat(
        self, history: RateHistory, keys: SparkKeys, shape: SparkShape, read: int
    ) -> list[list[TextRun]] | None:
        """Return a line that was flat, if its new halves are like all others."""
        flat = self._flat.get((keys, shape.down))
        if flat is None:
            return None
        if flat.shape == shape and read - flat.read < 2 * shape.cells and _is_current(history, keys):
            if read <= flat.read:
                return flat.runs
            new = history.cell_means(keys, shape.half_s, read - 1, read - flat.read)
            if all(_level(value, shape) == flat.level for value in new):
                self._flat[keys, shape.down] = _Flat(shape, flat.level, read, flat.runs)
                return flat.runs
        del self._flat[keys, shape.down]
        return None

    def _flat_now(
        self, history: RateHistory, keys: SparkKeys, line: _Line, read: int, roles: Sequence[str]
    ) -> list[list[TextRun]] | None:
        """Return the flat line of the newest halves, if all of the width have the same height and class."""
        shape = line.shape
        if not line.is_even() or not _is_current(history, keys):
            return None
        levels = {_level(v, shape) for v in history.cell_means(keys, shape.half_s, read - 1, 2 * shape.cells)}
        if len(levels) != 1:
            return None
        [(height, kind)] = levels
        if not height:
            return None
        right = height if shape.style.halves else 0
        column = shape.style.column(height, right, shape.rows, shape.down)
        runs = [[(char * shape.cells, roles[int(kind)])] for char in column]
        if not shape.down:
            runs.reverse()
        self._flat[keys, shape.down] = _Flat(shape, (height, kind), read, runs)
        return runs


def _halves_read(history: RateHistory, keys: SparkKeys, half_s: float) -> int:
    """Return the number of the first half of a cell that has not been read completely."""
    until_s = history.read_until_s(keys)
    return history.cell_at(until_s, half_s) if until_s > -math.inf else -(1 << 62)


def _is_current(history: RateHistory, keys: SparkKeys) -> bool:
    """Return whether there is no gap at the end, apart from rates that are still open."""
    return history.now_s - history.read_until_s(keys) <= MAX_OPEN_S


def _cells(values: Sequence[float], shape: SparkShape) -> tuple[list[Sequence[str]], str]:
    """Return the characters of each cell from the axis outwards, and the class of each cell."""
    full = 0.0 if isinstance(shape.full, Missing) else shape.full
    style, rows, down = shape.style, shape.rows, shape.down
    top = style.steps * rows - 1
    drawn: list[Sequence[str]] = []
    classes = ""
    for i in range(0, len(values), 2):
        left = values[i]
        right = values[i + 1] if i + 1 < len(values) else math.nan
        if not style.halves:
            left, right = _mean(left, right), math.nan
        heights = _height(left, full, top), _height(right, full, top)
        drawn.append(style.column(*heights, rows, down))
        # Comparisons with NaN are false.
        higher = right if right > left or left != left else left
        classes += _class(higher, full) if any(heights) else BLANK
    return drawn, classes


def _level(value: float, shape: SparkShape) -> tuple[int, str]:
    """Return the height of a half, and its class."""
    full = 0.0 if isinstance(shape.full, Missing) else shape.full
    height = _height(value, full, shape.style.steps * shape.rows - 1)
    if not height:
        return 0, BLANK
    return height, _class(value, full)


def _class(higher: float, full: float) -> str:
    """Return the class of a cell whose higher half has this value."""
    if full <= 0 or higher < HALF_CEILING * full:
        return "0"
    return "1" if higher < NEAR_CEILING * full else "2"


def _mean(left: float, right: float) -> float:
    """Return the mean of the known values."""
    if left != left:
        return right
    return left if right != right else (left + right) / 2


def _height(value: float, full: float, top: int) -> int:
    """Return the height of a value in steps: 1 for zero, `top` + 1 for `full`, 0 if it cannot be drawn."""
    if value != value:
        return 0
    if value <= 0:
        return 1
    if full <= 0:
        return 0  # without a scale only zero can be drawn
    return top + 1 if value >= full else 1 + int(value / full * top + 0.5)


def _add_runs(runs: list[TextRun], row: str, classes: str, start: int, roles: Sequence[str]) -> None:
    """Add the cells of a line from `start` on to its runs of the same class; blank cells have no role."""
    for found in SAME_CLASS.finditer(classes, start):
        begin, end = found.span()
        role = "" if found[1] == BLANK else roles[int(found[1])]
        if runs and runs[-1][1] == role:
            runs[-1] = runs[-1][0] + row[begin:end], role
        else:
            runs.append((row[begin:end], role))
