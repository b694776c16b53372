"""The traffic of one GPU over the last minutes, in cells of equal length.

Memory: at most `MAX_CELLS` cells of two floats per GPU (20 kB), whatever the interval.
"""

from __future__ import annotations

import math
from array import array
from itertools import chain
from typing import Final, NamedTuple

from nvltop.model import Missing

WINDOW_S: Final = 256.0
"""Length of the series: four of the longest step periods, seconds."""
MAX_CELLS: Final = 2560
"""Largest number of cells: ten per second for `WINDOW_S`."""
USUAL_WEIGHT: Final = 0.1
"""Weight of a new span in the moving average of the length of spans."""
MIN_READ_SHARE: Final = 0.75
"""Share of a window that must have been read for a result."""
TOO_MANY_GAPS: Final = Missing("too many readings are missing")


class PeerTraffic(NamedTuple):
    """The rates of a GPU over its direct links to one other GPU."""

    remote: str
    """UUID of the other GPU."""
    tx_bytes_per_s: float
    rx_bytes_per_s: float
    speed_bytes_per_s: float
    """Speed of these links together in one direction."""


class TrafficSpan(NamedTuple):
    """The rates of a GPU over all its links between two readings; NaN where unknown."""

    start_s: float
    end_s: float
    tx_bytes_per_s: float
    rx_bytes_per_s: float
    peers: tuple[PeerTraffic, ...] = ()
    """Rates by remote GPU; empty on boards with NVSwitches."""


class TrafficSeries:
    """Mean rates by cell. A span is spread over the cells that it overlaps."""

    __slots__ = (
        "_rx",
        "_rx_bytes",
        "_seconds",
        "_size",
        "_tx",
        "_tx_bytes",
        "cell_s",
        "newest",
        "oldest",
        "spans",
        "usual_s",
    )

    def __init__(self, cell_s: float) -> None:
        self.cell_s = cell_s
        self._size = min(MAX_CELLS, math.ceil(WINDOW_S / cell_s))
        self._tx, self._rx = (array("f", [math.nan]) * self._size for _ in range(2))
        self._tx_bytes = self._rx_bytes = self._seconds = 0.0
        """What was read of the newest cell so far, and for how long."""
        self.oldest: int | None = None
        """Number of the oldest cell with data."""
        self.newest = -1
        """Number of the newest cell; cell n starts at n x `cell_s` of CLOCK_MONOTONIC."""
        self.usual_s = cell_s
        """Mean length of the first spans, then their moving average."""
        self.spans = 0
        """Number of spans that were added."""

    @property
    def size(self) -> int:
        """Number of cells in the series."""
        return self._size

    def add(self, span: TrafficSpan) -> None:
        """Add the traffic between two readings."""
        start_s, end_s, tx, rx, _ = span
        if not end_s > start_s:
            return
        cell_s, newest = self.cell_s, int(end_s // self.cell_s)
        self.spans += 1
        weight = USUAL_WEIGHT if USUAL_WEIGHT * self.spans >= 1 else 1 / self.spans
        self.usual_s += weight * (end_s - start_s - self.usual_s)
        if tx != tx or rx != rx:
            if newest > self.newest:
                self._begin(newest)
            return
        first, least = int(start_s // cell_s), newest - self._size + 1
        if first < least:
            first = least
        if self.oldest is None or first < self.oldest:
            self.oldest = first
        # Spans come one after the other, so that cells before the newest one are complete.
        for cell in range(first if first > self.newest else self.newest, newest + 1):
            if cell > self.newest:
                self._begin(cell)
            begin_s = cell * cell_s
            until_s = begin_s + cell_s
            seconds = (end_s if end_s < until_s else until_s) - (start_s if start_s > begin_s else begin_s)
            self._tx_bytes += tx * seconds
            self._rx_bytes += rx * seconds
            self._seconds += seconds

    def _begin(self, cell: int) -> None:
        """Complete the newest cell and begin another; cells between them were not read."""
        size, seconds = self._size, self._seconds
        # A cell counts if at least half of it was read.
        if seconds > self.cell_s / 2:
            i = self.newest % size
            self._tx[i], self._rx[i] = self._tx_bytes / seconds, self._rx_bytes / seconds
        for c in range(max(self.newest + 1, cell - size + 1), cell + 1):
            self._tx[c % size] = self._rx[c % size] = math.nan
        self.newest = cell
        self._tx_bytes = self._rx_bytes = self._seconds = 0.0

    def stays_below(self, bytes_per_s: float) -> bool:
        """Return whether no cell exceeds a rate in either direction."""
        # A value that is not a number is never higher than the zero before it.
        return max(chain((0.0,), self._tx, self._rx)) <= bytes_per_s

    def moved_bytes_per_s(self, cell: int) -> float:
        """Return the sum of TX and RX of one of the newest `size` cells; 0 where not read."""
        rate = self._tx[cell % self._size] + self._rx[cell % self._size]
        return rate if rate == rate and self.newest - self._size < cell <= self.newest else 0.0

    def cells_before(self, end: int, count: int) -> tuple[array[float], array[float]]:
        """Return TX and RX of the `count` cells before cell `end`, oldest first; NaN where not read.

        Arrays, since the lists of all GPUs would be half a megabyte of objects that Python keeps.
        `count` is at most `size` - 1, because the newest cell is incomplete.
        """
        # The GPU may be read before the others: newer cells have then replaced its oldest ones.
        first = min(end, max(end - count, self.newest + 1 - self._size))
        there = max(0, min(end, self.newest + 1) - first)
        unread = array("f", [math.nan])
        before = unread * (first - (end - count))
        after = unread * (count - len(before) - there)
        tx, rx = (before + self._slice(ring, first, there) + after for ring in (self._tx, self._rx))
        return tx, rx

    def _slice(self, ring: array[float], first: int, count: int) -> array[float]:
        """Return `count` cells of a ring from cell `first`."""
        begin = first % self._size
        return ring[begin : begin + count] + ring[: max(0, begin + count - self._size)]
