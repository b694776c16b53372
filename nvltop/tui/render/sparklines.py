"""Sparklines of the newest traffic, which are extended instead of being drawn again.

A cell shows two readings side by side: it covers a fixed time, which is divided into two halves, and each
half shows the mean rate of its own time. A cell is drawn once, when all of its time has been read, and does
not change after that. The newest cells fill in their places; the picture then moves left by several cells at
once, because a line that moves is sent to the terminal as a whole. A line of equal heights moves with each
cell instead, since it looks the same: an idle node costs nothing. Full height is the ceiling, which is
what NCCL reaches. Known values are at least one dot high; unknown ones are blank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.rate_history import RateHistory, SeriesBlock, SeriesKey
from nvltop.model import Maybe, Missing
from nvltop.tui.render.row import BLANK as GAP
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
BLANK: Final = " "

WAYS: Final = ("tx", "rx")
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

    def with_full(self, full: Maybe[float]) -> SparkShape:
        """Return this shape with another rate at full height, bytes/s."""
        return self._replace(full=full)


Series: TypeAlias = Sequence[tuple[SparkKeys, SparkShape]]
"""Sparklines that are drawn together."""


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

    __slots__ = ("_newest", "_runs", "done", "first", "flat", "is_even", "lines", "shape")

    def __init__(self, shape: SparkShape, first: int) -> None:
        self.shape = shape
        self.first = first
        """Number of the first cell."""
        self.done = first
        """Number of the first cell that is not drawn yet."""
        self.lines: list[Row] = []
        """The lines from top to bottom, padded to the width; empty until the first call of `extend`."""
        self.flat: _Flat | None = None
        """What is shown while all halves are equal; None while they are not."""
        self._newest = math.nan
        """Value of the newest half that is drawn."""
        self.is_even = True
        """Whether all halves look the same."""
        self._runs: Sequence[Cells] = [("", ())] * shape.rows
        """Each line from the axis outwards; all have the same roles."""

    def extend(self, first: int, values: Sequence[float], until: int, roles: Sequence[str]) -> None:
        """Draw the cells of `values` from cell `done` up to `until`, and remove those before `first`."""
        shape, gone, kept = self.shape, first - self.first, self.done - self.first
        columns, its = _cells(values, shape, roles)
        stays = not gone and bool(self.lines) and len(its) <= MAX_GAP
        texts = columns[0] if len(columns) == 1 else _joined(columns, shape.rows)
        if stays and shape.rows == 1:
            run = with_cells(self._runs[0], kept, texts[0], its)
            self._runs, self.lines = (run,), [(run,)]
        elif not stays:
            pad = shape.cells + first - until
            all_roles = (*self._runs[0][1][gone:kept], *its, *[roles[0]] * pad)
            self._runs = [
                (old[gone:kept] + text + BLANK * pad, all_roles)
                for (old, _), text in zip(self._runs, texts, strict=True)
            ]
            self.lines = _lines(self._runs, shape)
            self.is_even = True
        else:
            # What is behind is blank already.
            self._runs = [
                with_cells(run, kept, text, its) for run, text in zip(self._runs, texts, strict=True)
            ]
            self.lines = _lines(self._runs, shape)
        self.first, self.done = first, until
        if values:
            self._newest = values[-1]
        self.is_even = self.is_even and self._looks_even()

    def _looks_even(self) -> bool:
        shape, count = self.shape, self.done - self.first
        if count < 2:
            return True
        text, roles = self._runs[0]
        if text[0] != text[count - 1] or roles[:count].count(roles[0]) < count:
            return False
        height, _ = _level(self._newest, shape)
        column = shape.style.column(height, height if shape.style.halves else 0, shape.rows, shape.down)
        return all(
            text.count(char, 0, count) == count for (text, _), char in zip(self._runs, column, strict=True)
        )


def _lines(runs: Sequence[Cells], shape: SparkShape) -> list[Row]:
    """Return lines from top to bottom; `runs` are from the axis outwards."""
    return list(zip(runs if shape.down else reversed(runs)))


class _Flat(NamedTuple):
    """A line whose halves all have the same height and class."""

    level: tuple[int, int]
    """Height and class of each half."""
    read: int
    """Number of the first cell that has not been read completely."""
    lines: list[Row]


class Sparklines:
    """The sparklines of the screen, by series."""

    def __init__(self) -> None:
        self._lines: dict[tuple[SparkKeys, bool], _Line] = {}
        self._history: RateHistory | None = None
        self._generation = 0
        """The `generation` of that history that the lines were drawn from."""

    def draw(
        self, history: RateHistory, keys: SparkKeys, shape: SparkShape, roles: Sequence[str]
    ) -> list[Row]:
        """Return the lines of a sparkline from top to bottom, each as wide as `shape.cells`.

        `roles` are those of cells below `HALF_CEILING`, below `NEAR_CEILING`, and above.
        """
        return self.draw_each(history, [(keys, shape)], roles)[0]

    def draw_each(
        self, history: RateHistory, sparklines: Iterable[tuple[SparkKeys, SparkShape]], roles: Sequence[str]
    ) -> list[list[Row]]:
        """Return the lines of several sparklines, as `draw` does; quick if they have the same shape."""
        if self._history is not history or self._generation != history.generation:
            self._lines.clear()
            self._history, self._generation = history, history.generation
        drawn = []
        last: SparkShape | None = None
        first, read, read_s = 0, 0, math.nan
        for keys, shape in sparklines:
            until_s = history.read_until_s(keys)
            if shape is not last:
                last, read_s = shape, math.nan
                first = first_cell(history, shape)
            if until_s != read_s:
                read_s, read = until_s, _cells_read(history, until_s, 2 * shape.half_s)
            drawn.append(self._draw(history, keys, shape, roles, first, read))
        return drawn

    def _draw(
        self,
        history: RateHistory,
        keys: SparkKeys,
        shape: SparkShape,
        roles: Sequence[str],
        first: int,
        read: int,
    ) -> list[Row]:
        """Return the lines of a sparkline whose cells before `read` have been read, from cell `first` on."""
        line = self._lines.get((keys, shape.down))
        if line and line.flat and (lines := self._still_flat(history, keys, shape, line, read)):
            return lines
        until = min(read, first + shape.cells)
        if line is None or line.shape != shape or not line.first <= first <= line.done:
            line = self._lines[keys, shape.down] = _Line(shape, first)
        elif line.first == first and line.done >= until and line.lines:
            return self._flat_now(history, keys, line, read, roles) or line.lines
        until = max(until, line.done)
        values = history.cell_means(keys, shape.half_s, 2 * until - 1, 2 * (until - line.done))
        line.extend(first, values, until, roles)
        return self._flat_now(history, keys, line, read, roles) or line.lines

    def line(self, keys: SparkKeys, shape: SparkShape) -> _Line | None:
        """Return what was drawn of a sparkline, unless that has another shape or is flat."""
        line = self._lines.get((keys, shape.down))
        return line if line and line.shape == shape and not line.is_even else None

    def _still_flat(
        self, history: RateHistory, keys: SparkKeys, shape: SparkShape, line: _Line, read: int
    ) -> list[Row] | None:
        """Return a line that was flat, if its new cells are like all others."""
        flat, line.flat = line.flat, None
        if flat is None or line.shape != shape or not _is_current(history, keys):
            return None
        new = read - flat.read
        if new > 0:
            if new >= shape.cells:
                return None
            values = history.cell_means(keys, shape.half_s, 2 * read - 1, 2 * new)
            if any(_level(value, shape) != flat.level for value in values):
                return None
            flat = _Flat(flat.level, read, flat.lines)
        line.flat = flat
        return flat.lines

    def _flat_now(
        self, history: RateHistory, keys: SparkKeys, line: _Line, read: int, roles: Sequence[str]
    ) -> list[Row] | None:
        """Return the flat line of the newest cells, if all of the width have the same height and class."""
        if not line.is_even or not _is_current(history, keys):
            return None
        shape = line.shape
        values = history.cell_means(keys, shape.half_s, 2 * read - 1, 2 * shape.cells)
        levels = {_level(value, shape) for value in values}
        if len(levels) != 1:
            return None
        [(height, kind)] = levels
        if not height:
            return None
        right = height if shape.style.halves else 0
        column = shape.style.column(height, right, shape.rows, shape.down)
        texts = [char * shape.cells for char in column]
        its = (roles[kind],) * shape.cells
        lines = _lines([(text, its) for text in texts], shape)
        line.flat = _Flat((height, kind), read, lines)
        return lines


class _Band(NamedTuple):
    """The sparklines of a table that are read together."""

    source: SeriesBlock
    columns: list[int]
    """Column of each in that source."""
    lines: list[tuple[_Line, Sequence[str]]]
    """Each, and the roles of its cells."""


class SparkPairs:
    """The sparklines of a table: TX of each row, then RX, which are drawn again when a cell was read."""

    def __init__(
        self, sparklines: Sparklines, series: Mapping[str, Series], roles: Mapping[str, Sequence[str]]
    ) -> None:
        """Initialize; `series` are those of `tx` and of `rx`, and `roles` as for `Sparklines.draw`."""
        self._sparklines, self._series, self._roles = sparklines, series, roles
        self._shape = next((shape for _, shape in series[WAYS[0]]), None)
        self._history: RateHistory | None = None
        self._generation = self._first = 0
        self._sources: Sequence[SeriesBlock] = ()
        self._read: Sequence[tuple[int, bool]] = ()
        """For each source, the first cell that is not read, and whether there is no gap at its end."""
        self._lines: Sequence[Sequence[_Line | None]] = ()
        """Those of TX and of RX; None where one is flat."""
        self._bands: Sequence[_Band] = ()
        """All lines, by source; empty if one of them cannot just be extended."""
        self._rows: list[Row] = []

    def rows(self, history: RateHistory) -> list[Row]:
        """Return the rows; the same list as long as they are the same."""
        shape = self._shape
        if shape is None:
            return self._rows
        if self._history is not history or self._generation != history.generation:
            self._history, self._generation, self._read = history, history.generation, ()
            places = [history.place(key) for way in WAYS for (key,), _ in self._series[way]]
            self._sources = list({id(place[0]): place[0] for place in places if place}.values())
        cell_s, oldest_s = 2 * shape.half_s, history.now_s - MAX_OPEN_S
        first = first_cell(history, shape)
        read = [(history.cell_at(its.end_s, cell_s), its.end_s >= oldest_s) for its in self._sources]
        if read != self._read or first != self._first:
            before, self._read = self._read, read
            if first != self._first or not self._extend(history, shape, before):
                self._draw(history)
            self._first = first
        return self._rows

    def _draw(self, history: RateHistory) -> None:
        """Draw all cells."""
        draw = self._sparklines.draw_each
        tx, rx = (draw(history, self._series[way], self._roles[way]) for way in WAYS)
        self._rows = [(*line, GAP, *other) for (line,), (other,) in zip(tx, rx, strict=True)]
        self._lines = [[self._sparklines.line(*one) for one in self._series[way]] for way in WAYS]
        self._bands = self._find_bands(history) if all(map(all, self._lines)) else ()

    def _find_bands(self, history: RateHistory) -> Sequence[_Band]:
        bands = {id(source): _Band(source, [], []) for source in self._sources}
        for way, lines in zip(WAYS, self._lines, strict=True):
            for ((key,), _), line in zip(self._series[way], lines, strict=True):
                place = history.place(key)
                if line is None or place is None:
                    return ()
                band = bands[id(place[0])]
                band.columns.append(place[1])
                band.lines.append((line, self._roles[way]))
        return list(bands.values())

    def _extend(self, history: RateHistory, shape: SparkShape, before: Sequence[tuple[int, bool]]) -> bool:
        """Draw only the cells that were read since `before`; return whether that is all there is to do."""
        if not self._bands or len(before) != len(self._bands):
            return False
        for band, (done, _), (until, _) in zip(self._bands, before, self._read, strict=True):
            if not done <= until <= self._first + shape.cells:
                return False
            if any(line.first != self._first or line.done != done for line, _ in band.lines):
                # Another part of the screen shows the same sparkline.
                return False
            if done < until:
                means = history.means_of(
                    band.source, band.columns, shape.half_s, 2 * until - 1, 2 * (until - done)
                )
                for (line, roles), values in zip(band.lines, means, strict=True):
                    line.extend(self._first, values, until, roles)
        tx, rx = self._lines
        self._rows = [
            (*line.lines[0], GAP, *other.lines[0])
            for line, other in zip(tx, rx, strict=True)
            if line and other
        ]
        return True


def _cells_read(history: RateHistory, until_s: float, cell_s: float) -> int:
    """Return the number of the first cell that is not over at `until_s`."""
    return history.cell_at(until_s, cell_s) if until_s > -math.inf else -(1 << 61)


def _is_current(history: RateHistory, keys: SparkKeys) -> bool:
    """Return whether there is no gap at the end, apart from rates that are still open."""
    return history.now_s - history.read_until_s(keys) <= MAX_OPEN_S


def _joined(columns: Sequence[Sequence[str]], rows: int) -> Sequence[str]:
    """Return the text of each line, from the axis outwards, for the characters of each cell."""
    return [*map("".join, zip(*columns, strict=True))] or [""] * rows


def _cells(
    values: Sequence[float], shape: SparkShape, roles: Sequence[str]
) -> tuple[Sequence[Sequence[str]], tuple[str, ...]]:
    """Return the characters of each cell, from the axis outwards, and its role in all lines.

    `values` are the rates of the two halves of each cell. A blank cell has the role of a low one, so that a
    line which stays blank there is not sent again.
    """
    _, _, full, style, rows, down = shape
    if isinstance(full, Missing):
        full = 0.0
    top = style.steps * rows - 1
    columns, its = [], []
    for i in range(0, len(values), 2):
        left, right = values[i], values[i + 1]
        if not style.halves:
            left, right = _mean(left, right), math.nan
        # Most values are between the ends of the scale.
        low = 1 + int(left / full * top + 0.5) if 0 < left < full else _height(left, full, top)
        high = 1 + int(right / full * top + 0.5) if 0 < right < full else _height(right, full, top)
        columns.append(style.column(low, high, rows, down))
        # Comparisons with NaN are false.
        higher = right if right > left or left != left else left
        its.append(roles[_class(higher, full) if low or high else 0])
    return columns, tuple(its)


def _level(value: float, shape: SparkShape) -> tuple[int, int]:
    """Return the height of a half, and its class."""
    full = 0.0 if isinstance(shape.full, Missing) else shape.full
    height = _height(value, full, shape.style.steps * shape.rows - 1)
    return height, _class(value, full) if height else 0


def _class(higher: float, full: float) -> int:
    """Return the class of a cell whose higher half has this value: 0 to 2, by its share of the ceiling."""
    if full <= 0 or higher < HALF_CEILING * full:
        return 0
    return 1 if higher < NEAR_CEILING * full else 2


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
