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
from nvltop.tui.render.sparklines import MAX_OPEN_S, MadeCells, Series, SparkLine, Sparklines, first_cell

WAYS: Final = ("tx", "rx")
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
        way: [(((*owner, prefix + way),), shapes[full]) for owner, full in zip(owners, fulls, strict=True)]
        for way in WAYS
    }


@mutable
class _Group:
    """Sparklines that look the same if their rates do."""

    shape: SparkShape
    roles: Sequence[str]
    lines: list[SparkLine]
    columns: list[int]
    """Column of each sparkline in its source."""
    shares: bool = False
    """Whether many of them look alike, so that they share their cells; found out when they move."""
    waits: int = 0
    """Number of moves before that is found out again."""


class _Band(NamedTuple):
    """The sparklines of a table that are read together."""

    source: SeriesBlock
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
        self._shape = next((shape for _, shape in series[WAYS[0]]), None)
        self._history: RateHistory | None = None
        self._generation = self._first = 0
        self._sources: Sequence[SeriesBlock] = ()
        self._read: Sequence[tuple[int, bool]] = ()
        """For each source, the first cell that is not read, and whether there is no gap at its end."""
        self._lines: Sequence[Sequence[SparkLine | None]] = ()
        """The sparklines of TX, then of RX, by row; None where one has no shape or series yet."""
        self._bands: Sequence[_Band] = ()
        """All sparklines, by source; empty if one of them cannot be extended."""
        self._rows: list[Row] = []

    def rows(self, history: RateHistory) -> list[Row]:
        """Return the rows of the sparklines; the same list while no cell changes."""
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
            before, first_before = self._read, self._first
            self._read, self._first = read, first
            if not self._extend(history, shape, before, first_before):
                self._draw(history)
        return self._rows

    def _draw(self, history: RateHistory) -> None:
        """Draw all cells."""
        draw = self._sparklines.draw_each
        tx, rx = (draw(history, self._series[way], self._roles[way]) for way in WAYS)
        self._rows = [(*line, BLANK, *other) for (line,), (other,) in zip(tx, rx, strict=True)]
        self._lines = [[self._sparklines.line(*one) for one in self._series[way]] for way in WAYS]
        self._bands = self._find_bands(history) if all(map(all, self._lines)) else ()

    def _find_bands(self, history: RateHistory) -> Sequence[_Band]:
        groups: dict[int, dict[tuple[str, SparkShape], _Group]] = {id(its): {} for its in self._sources}
        for way, lines in zip(WAYS, self._lines, strict=True):
            for ((key,), shape), line in zip(self._series[way], lines, strict=True):
                place = history.place(key)
                if line is None or place is None:
                    return ()
                alike = groups[id(place[0])]
                group = alike.setdefault((way, shape), _Group(shape, self._roles[way], [], []))
                group.lines.append(line)
                group.columns.append(place[1])
        bands = []
        for source in self._sources:
            its = [*groups[id(source)].values()]
            columns = [*chain.from_iterable([group.columns for group in its])]
            bands.append(_Band(source, its, columns, [*chain.from_iterable([group.lines for group in its])]))
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
        for band, (done, _), (until, is_current) in zip(self._bands, before, self._read, strict=True):
            if not self._first <= done <= until <= self._first + shape.cells:
                return False
            for line in band.lines:
                # Another part of the screen shows the same sparkline, or a flat one ends in a gap.
                if flat := line.flat:
                    if flat.read != done or not is_current:
                        return False
                elif line.done != done or line.first != first_before:
                    return False
            if done < until or self._first != first_before:
                newest, count = 2 * until - 1, 2 * (until - done)
                means = history.means_of(band.source, band.columns, shape.half_s, newest, count)
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
            group.waits = max(0, group.waits - 1)
            group.shares = not group.waits
        made: MadeCells | None = {} if group.shares else None
        looks: Iterable[object] = looks_of(means, group.shape) if group.shares else repeat(None)
        same = True
        for line, values, look in zip(group.lines, means, looks, strict=False):
            if line.flat:
                if not line.stays_flat(values, until):
                    return None
                continue
            same = False
            line.extend(self._first, values, until, group.roles, look, made)
            if line.may_be_flat(until):
                return None
        if made and 2 * len(made) > len(group.lines):
            group.shares, group.waits = False, MOVES_UNLIKE
        return same
