"""Readings of the last minutes at the rate at which they were read, in packed arrays.

A reading is a mean over the time between two refreshes of the counters. The arrays take four bytes for each
value and 16 for the times of each row. At four readings per second a GPU with 18 links (38 values per
reading) takes 210 kB for five minutes, a DGX H100 1.7 MB, and a rack of 72 such GPUs 15 MB.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import mul
from typing import Final, NamedTuple, TypeAlias

RECENT_S: Final = 300.0
"""Time for which all readings are kept, seconds."""
MAX_VALUES: Final = 1 << 22
"""Number of values (16 MB) above which all series keep fewer readings: at ten readings per second, the links
of a rack are kept for two and a half minutes."""
MIN_ROWS: Final = 256
"""Number of rows that are kept even if they are older than `RECENT_S`: enough for the longest sparkline."""
TRIM_ROWS: Final = 64
"""Number of old rows that are removed together."""
MIN_READ_SHARE: Final = 0.5
"""Share of a cell that must have been read; a mean of less would show a part of a burst as all of it."""


class Readings(NamedTuple):
    """Consecutive readings of one series, oldest first."""

    starts_s: array[float]
    """CLOCK_MONOTONIC; between the end of a reading and the start of the next one nothing is known."""
    ends_s: array[float]
    bytes_per_s: array[float]
    """Mean rate of each reading, NaN where unknown."""


_Shares: TypeAlias = list[tuple[int, list[float], float]]
"""For each cell, the consecutive rows that share time with it: the index of the first value of the first row,
the seconds that each row shares with the cell, and their sum."""


class RecentReadings:
    """The readings of series that are read together: a row of values for each span of time."""

    __slots__ = (
        "_ends_s", "_means", "_min_read_share", "_shares", "_shares_of", "_starts_s", "_values", "_width",
        "max_rows",
    )  # fmt: skip

    def __init__(self, width: int, max_rows: int) -> None:
        self._width = width
        self.max_rows = max_rows
        """Number of rows above which old rows are removed before they are `RECENT_S` old."""
        self._starts_s, self._ends_s = array("d"), array("d")
        self._values = array("f")
        self._shares_of: tuple[object, ...] = ()
        self._shares: _Shares = []
        """Result of `_compute_shares` for the arguments `_shares_of`."""
        self._min_read_share = MIN_READ_SHARE
        self._means: dict[int, list[float]] = {}
        """Results of `_means_of` for these shares, by column: a chart adds up what sparklines show."""

    @property
    def rows(self) -> int:
        """Number of rows in the store."""
        return len(self._ends_s)

    def add(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        """Add a row for the time from `start_s` to `end_s`; NaN where a value is unknown.

        The end is later than that of the row before; the time that both rows share belongs to that row.
        """
        self._starts_s.append(max(start_s, self._ends_s[-1]) if self._ends_s else start_s)
        self._ends_s.append(end_s)
        # An array of them first: `extend` would add the values of a list one by one.
        self._values += array("f", values)
        rows = len(self._ends_s)
        if rows % TRIM_ROWS == 0:
            too_old = min(bisect_left(self._ends_s, end_s - RECENT_S), rows - MIN_ROWS)
            old = max(too_old, rows - self.max_rows)
            if old > 0:
                del self._starts_s[:old], self._ends_s[:old], self._values[: old * self._width]

    def since(self, column: int, start_s: float) -> Readings:
        """Return the readings of a column that end after `start_s`."""
        first = bisect_right(self._ends_s, start_s)
        values = self._values[first * self._width + column :: self._width]
        return Readings(self._starts_s[first:], self._ends_s[first:], values)

    def sums(self, columns: Sequence[int], begin_s: float, end_s: float) -> tuple[list[float], list[float]]:
        """Return the bytes of each column between two times, and the seconds in which they were read."""
        [(first, seconds, read_s)] = self._shares_by_cell(begin_s, end_s - begin_s, 0, 1)
        width = self._width
        rows = self._values[first : first + len(seconds) * width]
        moved = [sum(map(mul, rows[column::width], seconds)) for column in columns]
        if sum(moved) == sum(moved):
            return moved, [read_s] * len(moved)
        # NaN is unequal to itself, and so is a sum with it.
        known = [
            (total, read_s) if total == total else _known_sum(rows[column::width], seconds)
            for column, total in zip(columns, moved, strict=True)
        ]
        return [total for total, _ in known], [known_s for _, known_s in known]

    def cell_means(
        self,
        columns: Sequence[int],
        origin_s: float,
        cell_s: float,
        first: int,
        count: int,
        min_read_share: float = MIN_READ_SHARE,
    ) -> list[list[float]]:
        """Return, for each column, the mean of `count` cells of `cell_s` seconds from cell `first` on.

        Cell n starts at `origin_s` + n x `cell_s`. A reading counts in each cell for the time that it shares
        with it. A cell is unknown, NaN, if less than `min_read_share` of it was read.
        """
        shares = self._shares_by_cell(origin_s, cell_s, first, count)
        if min_read_share != self._min_read_share:
            self._min_read_share = min_read_share
            self._means = {}
        means = self._means
        missing = [column for column in columns if column not in means]
        if len(missing) > count > 0:
            found = self._means_by_cell(missing, shares, min_read_share * cell_s)
            means.update(zip(missing, found, strict=True))
        else:
            for column in missing:
                means[column] = self._means_of(column, shares, min_read_share * cell_s)
        return [means[column] for column in columns]

    def _means_by_cell(self, columns: Sequence[int], cells: _Shares, needed_s: float) -> list[list[float]]:
        """Return the means of many columns, each as `_means_of` does; quicker for few cells."""
        values, width = self._values, self._width
        means: list[list[float]] = []
        for place, shares, read_s in cells:
            if not read_s or read_s < needed_s:
                means.append([math.nan] * len(columns))
                continue
            totals = [0.0] * len(columns)
            at = place
            for seconds in shares:
                row = values[at : at + width]
                totals = [t + row[column] * seconds for t, column in zip(totals, columns, strict=True)]
                at += width
            if math.isnan(sum(totals)):
                # Only a column in which a value is unknown, NaN, needs more care.
                known = [self._means_of(column, [(place, shares, read_s)], needed_s) for column in columns]
                means.append([mean for [mean] in known])
            else:
                means.append([total / read_s for total in totals])
        return list(map(list, zip(*means, strict=True)))

    def _means_of(self, column: int, cells: _Shares, needed_s: float) -> list[float]:
        values, width = self._values, self._width
        means: list[float] = []
        for place, shares, read_s in cells:
            place += column
            total = 0.0
            for seconds in shares:
                total += values[place] * seconds
                place += width
            if total != total:
                read = values[place - len(shares) * width : place : width]
                total, read_s = _known_sum(read, shares)
            means.append(total / read_s if read_s and read_s >= needed_s else math.nan)
        return means

    def _shares_by_cell(self, origin_s: float, cell_s: float, first: int, count: int) -> _Shares:
        """Return the rows that share time with each cell, and the time that was read of it."""
        # All series of a screen ask for the same cells, one after the other.
        key = origin_s, cell_s, first, count, self._ends_s[-1] if self._ends_s else None
        if key != self._shares_of:
            self._shares_of, self._shares = key, self._compute_shares(origin_s, cell_s, first, count)
            self._means = {}
        return self._shares

    def _compute_shares(self, origin_s: float, cell_s: float, first: int, count: int) -> _Shares:
        starts_s, ends_s, width = self._starts_s, self._ends_s, self._width
        begin_s = origin_s + first * cell_s
        row, rows = bisect_right(ends_s, begin_s), len(ends_s)
        cells = []
        for cell in range(first + 1, first + count + 1):
            end_s = origin_s + cell * cell_s
            first_row, shares = row, []
            while row < rows and (start_s := starts_s[row]) < end_s:
                row_end_s = ends_s[row]
                # Conditions, because `min` and `max` cost more than the rest.
                last_s = row_end_s if row_end_s < end_s else end_s
                shares.append(last_s - (start_s if start_s > begin_s else begin_s))
                if row_end_s > end_s:
                    break
                row += 1
            cells.append((first_row * width, shares, sum(shares)))
            begin_s = end_s
        return cells


def _known_sum(rates: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the bytes of the rates that are known (not NaN), and the seconds for which they are known."""
    known = [(rate, s) for rate, s in zip(rates, seconds, strict=True) if rate == rate]
    return sum(rate * s for rate, s in known), sum(s for _, s in known)
