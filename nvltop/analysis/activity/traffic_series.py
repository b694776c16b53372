"""The traffic of one GPU over the last minutes, in cells of equal length.

Memory: at most `CELLS` cells of three floats a GPU (30 kB), whatever the refresh.
"""

from __future__ import annotations

import math
from array import array
from typing import Final, NamedTuple

WINDOW_S: Final = 256.0
"""Four of the longest periods."""
CELLS: Final = 2560
"""Ten a second, for as long."""
TYPICAL: Final = 0.1
"""Weight of a span in the usual length of spans."""


class PeerTraffic(NamedTuple):
    """What a GPU moved over the links that lead straight to one other GPU."""

    remote: str
    """UUID of the other GPU."""
    tx_bytes_per_s: float
    rx_bytes_per_s: float
    speed_bytes_per_s: float
    """Of these links together, one direction."""


class TrafficSpan(NamedTuple):
    """What a GPU moved over all its links between two readings; NaN where it is not known."""

    start_s: float
    end_s: float
    tx_bytes_per_s: float
    rx_bytes_per_s: float
    peers: tuple[PeerTraffic, ...] = ()
    """By remote GPU; empty on boards with NVSwitches."""


class TrafficSeries:
    """Mean rates by cell; what a span moved is spread over the cells that it crosses."""

    __slots__ = ("_rx", "_seconds", "_size", "_tx", "cell_s", "newest", "oldest", "usual_s")

    def __init__(self, cell_s: float) -> None:
        self.cell_s = cell_s
        self._size = min(CELLS, math.ceil(WINDOW_S / cell_s))
        self._tx, self._rx, self._seconds = (array("f", bytes(4 * self._size)) for _ in range(3))
        self.oldest: int | None = None
        """Number of the oldest cell that anything was ever read of."""
        self.newest = -1
        """Number of the newest cell; cell n begins at n times the step of CLOCK_MONOTONIC."""
        self.usual_s = cell_s
        """How long a span usually is."""

    @property
    def size(self) -> int:
        """How many cells are kept."""
        return self._size

    def add(self, moved: TrafficSpan) -> None:
        """Take what moved between two readings."""
        step, size = self.cell_s, self._size
        if not moved.end_s > moved.start_s:
            return
        self.usual_s += TYPICAL * (moved.end_s - moved.start_s - self.usual_s)
        self._forget_up_to(int(moved.end_s // step))
        if moved.tx_bytes_per_s != moved.tx_bytes_per_s or moved.rx_bytes_per_s != moved.rx_bytes_per_s:
            return
        start_s = max(moved.start_s, (self.newest - size + 1) * step)
        cell = int(start_s // step)
        self.oldest = cell if self.oldest is None else min(self.oldest, cell)
        while cell * step < moved.end_s:
            seconds = min(moved.end_s, (cell + 1) * step) - max(start_s, cell * step)
            if seconds > 0:
                i = cell % size
                self._tx[i] += moved.tx_bytes_per_s * seconds
                self._rx[i] += moved.rx_bytes_per_s * seconds
                self._seconds[i] += seconds
            cell += 1

    def _forget_up_to(self, cell: int) -> None:
        for c in range(max(self.newest + 1, cell - self._size + 1), cell + 1):
            i = c % self._size
            self._tx[i] = self._rx[i] = self._seconds[i] = 0.0
        self.newest = max(self.newest, cell)

    def cells_before(self, end: int, count: int) -> tuple[list[float], list[float]]:
        """Return TX and RX of the `count` cells before cell `end`, oldest first; NaN where not read.

        `count` is at most `size` less one: the newest cell still fills.
        """
        # A GPU that is read before the others is ahead of them: in place of its oldest cells are newer ones.
        first = min(end, max(end - count, self.newest + 1 - self._size))
        there = max(0, min(end, self.newest + 1) - first)
        begin, half = first % self._size, self.cell_s / 2
        before = [math.nan] * (first - (end - count))
        after = [math.nan] * (count - len(before) - there)
        seconds = self._cut(self._seconds, begin, there)
        tx, rx = (
            before + [m / s if s > half else math.nan for m, s in zip(part, seconds, strict=True)] + after
            for part in (self._cut(self._tx, begin, there), self._cut(self._rx, begin, there))
        )
        return tx, rx

    def _cut(self, ring: array[float], begin: int, count: int) -> array[float]:
        after = begin + count - self._size
        return ring[begin : begin + count] + ring[: max(0, after)]
