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
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.frozen import mutable
from nvltop.tui.render.row import Cells, Row
from nvltop.tui.render.row_changes import MAX_GAP, with_cells
from nvltop.tui.render.spark_cells import SparkShape, draw_cells, joined, level
from nvltop.tui.render.spark_style import SparkStyle

MOVES_PER_LINE: Final = 6
"""Number of moves after which every cell of a line is a new one."""
MIN_STEP: Final = 2
"""Number of cells by which a line moves at least."""
MAX_OPEN_S: Final = 5.0
"""Age of the newest known rate, seconds, above which a flat line shows the gap. Rates of idle links are known
only when their counters have not moved for longer than the driver's refresh."""
BLANK: Final = " "
MIN_MINUTES_S: Final = 1000.0
"""Seconds from which the time that a sparkline covers is in minutes: three digits are shown."""

SparkKeys: TypeAlias = tuple[SeriesKey, ...]
"""Series whose sum is drawn."""

Series: TypeAlias = Sequence[tuple[SparkKeys, SparkShape]]
"""Sparklines that are drawn together."""


class SharedCells(NamedTuple):
    """The cells of one or more sparklines that look alike."""

    before: Sequence[Cells]
    """Their cells before; held so that no others get the same id, by which they are found."""
    runs: Sequence[Cells]
    lines: list[Row]
    looks_flat: bool


ExtendedCells: TypeAlias = "dict[tuple[object, object], SharedCells]"
"""What sparklines were extended to, by their cells before (or the id of these) and the look of new ones."""


def spark_title(name: str, cells: int, cell_s: float, full: str = "") -> str:
    """Return the title of a sparkline in its width: `TX (of 63 GB/s), 24 s`, `TX, 24 s` or `TX 3s`.

    The time that the sparkline covers is the last part to be left out; `full` is the value at full height.
    """
    lasts, brief, scale = covered(cells * cell_s), _briefly(cells * cell_s), f" (of {full})" * bool(full)
    texts = f"{name}{scale}, {lasts}", f"{name}{scale} {brief}", f"{name}, {lasts}", f"{name} {brief}", brief
    return next((t for t in texts if len(t) <= cells), brief)[:cells].ljust(cells)


def covered(seconds: float) -> str:
    """Return the time that a sparkline covers, with three digits: `7.5 s`, `232 s`, `24 min`."""
    return f"{seconds:.3g} s" if seconds < MIN_MINUTES_S else f"{seconds / 60:.3g} min"


def _briefly(seconds: float) -> str:
    if seconds < MIN_MINUTES_S:
        return f"{seconds:.2g}s" if seconds < 9.95 else f"{seconds:.3g}s"
    return f"{seconds / 60:.0f}m"


def first_cell(history: RateHistory, shape: SparkShape) -> int:
    """Return the number of the first cell that is drawn, by `RateHistory.cell_at`."""
    step = max(MIN_STEP, shape.cells // MOVES_PER_LINE)
    return (history.cell_at(history.now_s, 2 * shape.half_s) // step + 1) * step - shape.cells


class SparkLine:
    """A sparkline that can be extended."""

    __slots__ = ("_runs", "drawn_until", "first", "flat", "lines", "looks_flat", "not_flat_before", "shape")

    def __init__(self, shape: SparkShape, first: int) -> None:
        self.shape = shape
        self.first = first
        """Number of the first cell."""
        self.drawn_until = first
        """Number of the first cell that is not drawn yet."""
        self.lines: list[Row] = []
        """The lines from top to bottom, padded to the width; empty until the first call of `extend`."""
        self.flat: _Flat | None = None
        """What is shown while all halves are equal; None while they are not."""
        self.looks_flat = True
        """Whether all halves that are drawn look the same; their rates may still differ."""
        self.not_flat_before = -math.inf
        """Number of the cell that must have been read before the halves of the whole width can be equal."""
        self._runs: Sequence[Cells] = [("", ())] * shape.rows
        """Each line from the axis outwards; all have the same roles."""

    def extend(
        self,
        first: int,
        values: Sequence[float],
        until: int,
        roles: Sequence[str],
        look: object = None,
        extended: ExtendedCells | None = None,
    ) -> None:
        """Draw the cells of `values` from cell `drawn_until` up to `until`, and remove those before `first`.

        `extended` are the cells of other lines of the same shape and roles that were extended between the
        same cells, and `look` is that of the values, by `looks_of`. Lines that look alike share their cells,
        so that they are drawn and compared only once.
        """
        if extended is None:
            self._draw(first, values, until, roles)
            return
        before = self._runs
        # When lines move they are compared by what they look like, else by whether they share it already.
        key = id(before) if first == self.first else tuple(before), look
        if shared := extended.get(key):
            _, self._runs, self.lines, self.looks_flat = shared
            self.first, self.drawn_until = first, until
            return
        self._draw(first, values, until, roles)
        extended[key] = SharedCells(before, self._runs, self.lines, self.looks_flat)

    def _draw(self, first: int, values: Sequence[float], until: int, roles: Sequence[str]) -> None:
        """Draw new cells as `extend` describes."""
        shape, gone, kept = self.shape, first - self.first, self.drawn_until - self.first
        columns, new_roles = draw_cells(values, shape, roles)
        stays = not gone and bool(self.lines) and len(new_roles) <= MAX_GAP
        texts = columns[0] if len(columns) == 1 else joined(columns, shape.rows)
        if stays and shape.rows == 1:
            run = with_cells(self._runs[0], kept, texts[0], new_roles)
            self._runs, self.lines = (run,), [(run,)]
        elif not stays:
            pad = shape.cells + first - until
            all_roles = (*self._runs[0][1][gone:kept], *new_roles, *[roles[0]] * pad)
            self._runs = [
                (old[gone:kept] + text + BLANK * pad, all_roles)
                for (old, _), text in zip(self._runs, texts, strict=True)
            ]
            self.lines = _lines(self._runs, shape)
            self.looks_flat = True
        else:
            # What is behind is blank already.
            self._runs = [
                with_cells(run, kept, text, new_roles) for run, text in zip(self._runs, texts, strict=True)
            ]
            self.lines = _lines(self._runs, shape)
        self.first, self.drawn_until = first, until
        self.looks_flat = self.looks_flat and _looks_flat(self._runs, shape, until - first)

    @property
    def shown(self) -> list[Row]:
        """The lines to show: those that do not move while all halves are equal, otherwise the drawn ones."""
        return self.flat.lines if self.flat else self.lines

    def may_be_flat(self, read: int) -> bool:
        """Return whether all halves of the width before cell `read` may be known and look the same."""
        return self.looks_flat and read >= self.not_flat_before and self.shape.cells > 0

    def stays_flat(self, values: Sequence[float], read: int) -> bool:
        """Return whether a flat line remains so with the halves `values`, up to cell `read`."""
        flat = self.flat
        if flat is None:
            return False
        for value in values:
            # Height and class never fall as the value rises. NaN is not between two values.
            if not flat.lowest <= value <= flat.highest and not flat.widen(value, self.shape):
                return False
        flat.read = read
        return True


@lru_cache(maxsize=16)  # the styles are constants
def _flat_columns(style: SparkStyle, rows: int, down: bool) -> frozenset[Sequence[str]]:
    """Return the columns of cells, from the axis outwards, whose two halves may be equal."""
    heights = range(style.steps * rows + 1)
    return frozenset([style.column(h, h if style.halves else 0, rows, down) for h in heights])


def _looks_flat(runs: Sequence[Cells], shape: SparkShape, count: int) -> bool:
    """Return whether all halves of the first `count` cells may look the same."""
    if count < 2:
        return True
    text, roles = runs[0]
    if text[0] != text[count - 1] or roles[:count].count(roles[0]) < count:
        return False
    column = tuple([text[0] for text, _ in runs])
    if column not in _flat_columns(shape.style, shape.rows, shape.down):
        return False
    return all(text.count(text[0], 0, count) == count for text, _ in runs)


def _lines(runs: Sequence[Cells], shape: SparkShape) -> list[Row]:
    """Return lines from top to bottom; `runs` are from the axis outwards."""
    return list(zip(runs if shape.down else reversed(runs)))


@mutable
class _Flat:
    """A line whose halves all have the same height and class."""

    level: tuple[int, int]
    """Height and class of each half."""
    lowest: float
    """Lowest rate that is known to have them, bytes/s."""
    highest: float
    read: int
    """Number of the first cell that has not been read completely."""
    lines: list[Row]

    def widen(self, value: float, shape: SparkShape) -> bool:
        """Return whether a rate, bytes/s, has the same height and class; remember it if so."""
        if level(value, shape) != self.level:
            return False
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        return True


class Sparklines:
    """The sparklines of the screen, by series."""

    def __init__(self) -> None:
        self._lines: dict[tuple[SparkKeys, bool], SparkLine] = {}
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
        if line is None or line.shape != shape or not line.first <= first <= line.drawn_until:
            line = self._lines[keys, shape.down] = SparkLine(shape, first)
        elif line.first == first and line.drawn_until >= until and line.lines:
            return self._flat_now(history, keys, line, read, roles) or line.lines
        until = max(until, line.drawn_until)
        values = history.cell_means(keys, shape.half_s, 2 * until - 1, 2 * (until - line.drawn_until))
        line.extend(first, values, until, roles)
        return self._flat_now(history, keys, line, read, roles) or line.lines

    def line(self, keys: SparkKeys, shape: SparkShape) -> SparkLine | None:
        """Return a sparkline, unless it was drawn in another shape."""
        line = self._lines.get((keys, shape.down))
        return line if line and line.shape == shape else None

    def _still_flat(
        self, history: RateHistory, keys: SparkKeys, shape: SparkShape, line: SparkLine, read: int
    ) -> list[Row] | None:
        """Return a line that was flat, if its new cells are like all others."""
        flat, line.flat = line.flat, None
        if flat is None or line.shape != shape or not _is_current(history, keys):
            return None
        new = read - flat.read
        if new >= shape.cells:
            return None
        line.flat = flat
        if new > 0 and not line.stays_flat(
            history.cell_means(keys, shape.half_s, 2 * read - 1, 2 * new), read
        ):
            line.flat = None
            return None
        return flat.lines

    def _flat_now(
        self, history: RateHistory, keys: SparkKeys, line: SparkLine, read: int, roles: Sequence[str]
    ) -> list[Row] | None:
        """Return the flat line of the newest cells, if all of the width have the same height and class."""
        if not line.may_be_flat(read) or not _is_current(history, keys):
            return None
        shape = line.shape
        values = history.cell_means(keys, shape.half_s, 2 * read - 1, 2 * shape.cells)
        levels = [level(value, shape) for value in values]
        height, kind = newest = levels[-1]
        others = [i for i, each in enumerate(levels) if each != newest or not height]
        if others:
            # Cells that are over do not change.
            line.not_flat_before = read + others[-1] // 2 + 1
            return None
        right = height if shape.style.halves else 0
        column = shape.style.column(height, right, shape.rows, shape.down)
        texts = [char * shape.cells for char in column]
        all_roles = (roles[kind],) * shape.cells
        lines = _lines([(text, all_roles) for text in texts], shape)
        line.flat = _Flat(newest, min(values), max(values), read, lines)
        return lines


def _cells_read(history: RateHistory, until_s: float, cell_s: float) -> int:
    """Return the number of the first cell that is not over at `until_s`."""
    return history.cell_at(until_s, cell_s) if until_s > -math.inf else -(1 << 61)


def _is_current(history: RateHistory, keys: SparkKeys) -> bool:
    """Return whether there is no gap at the end, apart from rates that are still open."""
    return history.now_s - history.read_until_s(keys) <= MAX_OPEN_S
