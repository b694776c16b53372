"""How busy the units of one GPU were over the last minutes, reading by reading. Pure.

Memory: `READINGS` rows of six floats (49 kB) a GPU, and less until that many readings have come.
"""

from __future__ import annotations

import math
from array import array
from typing import Final, NamedTuple

from nvltop.model import ComputeActivity, Maybe, Missing

READINGS: Final = 1024
"""Readings kept: four minutes at four a second."""
_WIDTH: Final = 6


class ComputeReading(NamedTuple):
    """How busy a GPU was between two samples; NaN where that could not be read."""

    start_s: float
    """CLOCK_MONOTONIC, as the spans of `Moved`."""
    end_s: float
    sm: float
    """Share, 0…1, as are the next two; see `ComputeActivity`."""
    tensor: float
    dram: float
    power_w: float
    """At the end of the span."""


class ComputeSeries:
    """The newest readings of one GPU, all of one source."""

    __slots__ = ("_next", "_rows", "source")

    def __init__(self) -> None:
        self.source = ""
        """`ComputeActivity.source` of the readings."""
        self._rows = array("d")
        self._next = 0
        """Index of the row that the next reading replaces, once the series is full."""

    def __len__(self) -> int:
        return len(self._rows) // _WIDTH

    def add(self, start_s: float, end_s: float, data: ComputeActivity) -> None:
        """Take a reading; one that is older than the newest, or has no length, is none."""
        newest = self.newest
        if not end_s > start_s or (newest and end_s <= newest.end_s):
            return
        if data.source != self.source:
            self._rows, self._next, self.source = array("d"), 0, data.source
        values = (_number(v) for v in (data.sm, data.tensor, data.dram, data.power_w))
        row = array("d", (start_s, end_s, *values))
        if len(self) < READINGS:
            self._rows.extend(row)
        else:
            at = self._next * _WIDTH
            self._rows[at : at + _WIDTH] = row
            self._next = (self._next + 1) % READINGS

    @property
    def newest(self) -> ComputeReading | None:
        """The newest reading."""
        return self._row(len(self) - 1) if len(self) else None

    def since(self, start_s: float) -> list[ComputeReading]:
        """Return the readings that end after a time (CLOCK_MONOTONIC), oldest first."""
        found = []
        for age in range(len(self) - 1, -1, -1):
            row = self._row(age)
            if row.end_s <= start_s:
                break
            found.append(row)
        found.reverse()
        return found

    def _row(self, number: int) -> ComputeReading:
        """Return a reading by its number, from 0 for the oldest."""
        at = (self._next + number) % len(self) * _WIDTH
        return ComputeReading(*self._rows[at : at + _WIDTH])


def _number(value: Maybe[float]) -> float:
    return math.nan if isinstance(value, Missing) else value
