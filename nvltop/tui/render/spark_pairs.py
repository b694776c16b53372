"""The sparklines of a table, which are extended together when a cell was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

from nvltop.analysis.rate_history import RateHistory, SeriesBlock
from nvltop.frozen import mutable
from nvltop.model import Maybe
from nvltop.tui.render.row import BLANK, Row
from nvltop.tui.render.spark_cells import SparkShape, looks_of
from nvltop.tui.render.sparklines import MAX_OPEN_S, ExtendedCells, Series, SparkLine, Sparklines, first_cell

DIRECTIONS: Final = ("tx", "rx")
"""The directions, in the order in which they are shown."""
MOVES_UNLIKE: Final = 4
"""Number of moves for which lines that do not look alike are drawn one by one, without being compared."""


def pair_series(
    owners: Sequence[tuple[str, int | None]],
    prefix: str,
    shape: SparkShape,
    fulls: Sequence[Maybe[float]],
) -> dict[str, Series]:
    """Return the series of TX and of RX of each owner, with their shape at its full height."""
    shapes = {full: shape.with_full(full) for full in set(fulls)}
    return {
        direction: [
            (((*owner, prefix + direction),), shapes[full]) for owner, full in zip(owners, fulls, strict=True)
        ]
        for direction in DIRECTIONS
    }


@mutable
class _Group:
    """Sparklines that look the same if their rates do."""

    shape: SparkShape
    roles: Sequence[str]
    lines: list[SparkLine]
    columns: list[int]
    """Column of each sparkline in its block of series."""
    shares_cells: bool = False
    """Whether many of them look alike, so that they share their cells; found out when they move."""
    moves_left: int = 0
    """Number of moves before that is found out again."""


class _Band(NamedTuple):
    """The sparklines of a table that are read together."""

    block: SeriesBlock
    groups: list[_Group]
    columns: list[int]
    """The columns of all groups, one after the other."""
    lines: list[SparkLine]
    """Their sparklines."""


class SparkPairs:
    """The sparklines of a table: TX of each row, then RX, which are drawn again when a cell was read."""

    def __init__(
        self, sparklines: Sparklines, series: Mapping[str, Series], roles: Mapping[str, Sequence[str]]
    ) -> None:
        """Initialize; `series` are those of `tx` and of `rx`, and `roles` as for `Sparklines.draw`."""
        self._sparklines, self._series, self._roles = sparklines, series, roles
        self._shape = next((shape for _, shape in series[DIRECTIONS[0]]), None)
        self._history: RateHistory | None = None
        self._generation = self._first = 0
        self._blocks: Sequence[SeriesBlock] = ()
        self._read: Sequence[tuple[int, bool]] = ()
        """For each block, the first cell that is not read, and whether there is no gap at its end."""
        self._lines: Sequence[Sequence[SparkLine | None]] = ()
        """The sparklines of TX, then of RX, by row; None where one has no shape or series yet."""
        self._bands: Sequence[_Band] = ()
        """All sparklines, by block; empty if one of them cannot be extended."""
        self._rows: list[Row] = []

    def rows(self, history: RateHistory) -> list[Row]:
        """Return the rows of the sparklines; the same list while no cell changes."""
        shape = self._shape
        if shape is None:
            return self._rows
        if self._history is not history or self._generation != history.generation:
            self._history, self._generation, self._read = history, history.generation, ()
            places = [history.place(key) for direction in DIRECTIONS for (key,), _ in self._series[direction]]
            self._blocks = list({id(place[0]): place[0] for place in places if place}.values())
        cell_s, oldest_s = 2 * shape.half_s, history.now_s - MAX_OPEN_S
        first = first_cell(history, shape)
        read = [(history.cell_at(block.end_s, cell_s), block.end_s >= oldest_s) for block in self._blocks]
        if read != self._read or first != self._first:
            before, first_before = self._read, self._first
            self._read, self._first = read, first
            if not self._extend(history, shape, before, first_before):
                self._draw(history)
        return self._rows

    def _draw(self, history: RateHistory) -> None:
        """Draw all cells."""
        draw = self._sparklines.draw_each
        tx, rx = (draw(history, self._series[direction], self._roles[direction]) for direction in DIRECTIONS)
        self._rows = [(*line, BLANK, *other) for (line,), (other,) in zip(tx, rx, strict=True)]
        self._lines = [
            [self._sparklines.line(*one) for one in self._series[direction]] for direction in DIRECTIONS
        ]
        self._bands = self._find_bands(history) if all(map(all, self._lines)) else ()

    def _find_bands(self, history: RateHistory) -> Sequence[_Band]:
        groups_of: dict[int, dict[tuple[str, SparkShape], _Group]] = {id(block): {} for block in self._blocks}
        for direction, lines in zip(DIRECTIONS, self._lines, strict=True):
            roles = self._roles[direction]
            for ((key,), shape), line in zip(self._series[direction], lines, strict=True):
                place = history.place(key)
                if line is None or place is None:
                    return ()
                block, column = place
                group = groups_of[id(block)].setdefault((direction, shape), _Group(shape, roles, [], []))
                group.lines.append(line)
                group.columns.append(column)
        bands = []
        for block in self._blocks:
            groups = [*groups_of[id(block)].values()]
            columns = [*chain.from_iterable([group.columns for group in groups])]
            members = [*chain.from_iterable([group.lines for group in groups])]
            bands.append(_Band(block, groups, columns, members))
        return bands

    def _extend(
        self,
        history: RateHistory,
        shape: SparkShape,
        before: Sequence[tuple[int, bool]],
        first_before: int,
    ) -> bool:
        """Draw only the cells that were read since `before`; return whether that is all there is to do.

        Flat sparklines do not change while their new cells are like all others.
        """
        if not self._bands or len(before) != len(self._bands):
            return False
        same = True
        for band, (was_read, _), (until, is_current) in zip(self._bands, before, self._read, strict=True):
            if not self._first <= was_read <= until <= self._first + shape.cells:
                return False
            if not _is_unchanged(band.lines, was_read, first_before, is_current):
                return False
            if was_read < until or self._first != first_before:
                newest, count = 2 * until - 1, 2 * (until - was_read)
                means = history.means_of(band.block, band.columns, shape.half_s, newest, count)
                begin = 0
                for group in band.groups:
                    end = begin + len(group.lines)
                    is_same = self._extend_group(group, means[begin:end], until, first_before)
                    if is_same is None:
                        return False
                    same, begin = same and is_same, end
        if same:
            return True
        tx, rx = self._lines
        self._rows = [
            (*line.shown[0], BLANK, *other.shown[0])
            for line, other in zip(tx, rx, strict=True)
            if line and other
        ]
        return True

    def _extend_group(
        self, group: _Group, means: Sequence[Sequence[float]], until: int, first_before: int
    ) -> bool | None:
        """Draw the cells of a group up to `until`; return whether no line changes.

        None if one must be drawn again as a whole.
        """
        if self._first != first_before and len(group.lines) > 1:
            group.moves_left = max(0, group.moves_left - 1)
            group.shares_cells = not group.moves_left
        extended: ExtendedCells | None = {} if group.shares_cells else None
        looks: Iterable[object] = looks_of(means, group.shape) if group.shares_cells else repeat(None)
        same = True
        for line, values, look in zip(group.lines, means, looks, strict=False):
            if line.flat:
                if not line.stays_flat(values, until):
                    return None
                continue
            same = False
            line.extend(self._first, values, until, group.roles, look, extended)
            if line.may_be_flat(until):
                return None
        if extended and 2 * len(extended) > len(group.lines):
            group.shares_cells, group.moves_left = False, MOVES_UNLIKE
        return same


def _is_unchanged(lines: Sequence[SparkLine], was_read: int, first: int, is_current: bool) -> bool:
    """Return whether sparklines are as they were drawn here: from cell `first` up to cell `was_read`.

    They are not if another part of the screen has extended them, or if a flat one ends in a gap by now.
    """
    for line in lines:
        if flat := line.flat:
            if flat.read != was_read or not is_current:
                return False
        elif line.drawn_until != was_read or line.first != first:
            return False
    return True
