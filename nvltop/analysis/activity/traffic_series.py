"""The traffic of one GPU over the last minutes, in cells of equal length.

Memory: at most `MAX_CELLS` cells of three floats per GPU (30 kB), whatever the interval.
"""

from __future__ import annotations

import math
from array import array
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

    __slots__ = ("_rx", "_seconds", "_size", "_tx", "cell_s", "newest", "oldest", "usual_s")

    def __init__(self, cell_s: float) -> None:
        self.cell_s = cell_s
        self._size = min(MAX_CELLS, math.ceil(WINDOW_S / cell_s))
        self._tx, self._rx, self._seconds = (array("f", bytes(4 * self._size)) for _ in range(3))
        self.oldest: int | None = None
        """Number of the oldest cell with data."""
        self.newest = -1
        """Number of the newest cell; cell n starts at n x `cell_s` of CLOCK_MONOTONIC."""
        self.usual_s = cell_s
        """Moving average of the length of spans."""

    @property
    def size(self) -> int:
        """Number of cells in the series."""
        return self._size

    def add(self, span: TrafficSpan) -> None:
        """Add the traffic between two readings."""
        cell_s, size = self.cell_s, self._size
        if not span.end_s > span.start_s:
            return
        self.usual_s += USUAL_WEIGHT * (span.end_s - span.start_s - self.usual_s)
        self._clear_up_to(int(span.end_s // cell_s))
        if span.tx_bytes_per_s != span.tx_bytes_per_s or span.rx_bytes_per_s != span.rx_bytes_per_s:
            return
        start_s, end_s = max(span.start_s, (self.newest - size + 1) * cell_s), span.end_s
        cell = int(start_s // cell_s)
        self.oldest = cell if self.oldest is None else min(self.oldest, cell)
        while start_s < end_s:
            cell_end_s = (cell + 1) * cell_s
            seconds = min(end_s, cell_end_s) - start_s
            if seconds > 0:
                i = cell % size
                self._tx[i] += span.tx_bytes_per_s * seconds
                self._rx[i] += span.rx_bytes_per_s * seconds
                self._seconds[i] += seconds
                start_s = cell_end_s
            cell += 1

    def _clear_up_to(self, cell: int) -> None:
        """Clear the cells after the newest one, up to `cell`."""
        for c in range(max(self.newest + 1, cell - self._size + 1), cell + 1):
            i = c % self._size
            self._tx[i] = self._rx[i] = self._seconds[i] = 0.0
        self.newest = max(self.newest, cell)

    def stays_below(self, bytes_per_s: float) -> bool:
        """Return whether no cell may exceed a rate in either direction."""
        # A cell counts if at least half of it was read.
        return max(max(self._tx), max(self._rx)) <= bytes_per_s * self.cell_s / 2

    def moved_bytes_per_s(self, cell: int) -> float:
        """Return the sum of TX and RX of one of the newest `size` cells; 0 where not read."""
        i = cell % self._size
        seconds = self._seconds[i]
        there = seconds > self.cell_s / 2 and self.newest - self._size < cell <= self.newest
        return (self._tx[i] + self._rx[i]) / seconds if there else 0.0

    def cells_before(self, end: int, count: int) -> tuple[array[float], array[float]]:
        """Return TX and RX of the `count` cells before cell `end`, oldest first; NaN where not read.

        Arrays, since the lists of all GPUs would be half a megabyte of objects that Python keeps.
        `count` is at most `size` - 1, because the newest cell is incomplete.
        """
        # The GPU may be read before the others: newer cells have then replaced its oldest ones.
        first = min(end, max(end - count, self.newest + 1 - self._size))
        there = max(0, min(end, self.newest + 1) - first)
        begin, half = first % self._size, self.cell_s / 2
        before = array("d", [math.nan]) * (first - (end - count))
        after = array("d", [math.nan]) * (count - len(before) - there)
        seconds = self._slice(self._seconds, begin, there)
        tx, rx = (
            before
            + array("d", [m / s if s > half else math.nan for m, s in zip(part, seconds, strict=True)])
            + after
            for part in (self._slice(self._tx, begin, there), self._slice(self._rx, begin, there))
        )
        return tx, rx

    def _slice(self, ring: array[float], begin: int, count: int) -> array[float]:
        """Return `count` values of a ring from index `begin`."""
        after = begin + count - self._size
        return ring[begin : begin + count] + ring[: max(0, after)]
