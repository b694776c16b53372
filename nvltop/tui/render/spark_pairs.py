"""The sparklines of a table, which are extended together when a cell was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from nvltop.analysis.rate_history import RateHistory, SeriesBlock
from nvltop.model import Maybe
from nvltop.tui.render.row import BLANK, Row
from nvltop.tui.render.spark_cells import SparkShape
from nvltop.tui.render.sparklines import MAX_OPEN_S, Series, SparkLine, Sparklines, first_cell

WAYS: Final = ("tx", "rx")
"""The directions, in the order in which they are shown."""


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


class _Band(NamedTuple):
    """The sparklines of a table that are read together."""

    source: SeriesBlock
    columns: list[int]
    """Column of each sparkline in that source."""
    lines: list[tuple[SparkLine, Sequence[str]]]
    """Each sparkline, and the roles of its cells."""


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
            for line, _ in band.lines:
                # Another part of the screen shows the same sparkline, or a flat one ends in a gap.
                if flat := line.flat:
                    if flat.read != done or not is_current:
                        return False
                elif line.done != done or line.first != first_before:
                    return False
            if done < until or self._first != first_before:
                means = history.means_of(
                    band.source, band.columns, shape.half_s, 2 * until - 1, 2 * (until - done)
                )
                for (line, roles), values in zip(band.lines, means, strict=True):
                    if line.flat:
                        if not line.stays_flat(values, until):
                            return False
                        continue
                    same = False
                    line.extend(self._first, values, until, roles)
                    if line.may_be_flat(until):
                        return False
        if same:
            return True
        tx, rx = self._lines
        self._rows = [
            (*line.shown[0], BLANK, *other.shown[0])
            for line, other in zip(tx, rx, strict=True)
            if line and other
        ]
        return True
