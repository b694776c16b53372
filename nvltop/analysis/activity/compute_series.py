"""The compute activity of one GPU over the last minutes, reading by reading.

Pure. Memory: at most `MAX_READINGS` rows of six floats per GPU (49 kB).
"""

from __future__ import annotations

import math
from array import array
from typing import Final, NamedTuple

from nvltop.model import ComputeActivity, Maybe, Missing

MAX_READINGS: Final = 1024
"""Number of readings kept: four minutes at four per second."""
_COLUMNS: Final = 6


class ComputeReading(NamedTuple):
    """The compute activity of a GPU between two samples; NaN where not read."""

    start_s: float
    """Start, CLOCK_MONOTONIC."""
    end_s: float
    """End, CLOCK_MONOTONIC."""
    sm: float
    """Activity of the SMs, 0…1; see `ComputeActivity`."""
    tensor: float
    """Activity of the tensor cores, 0…1."""
    dram: float
    """Activity of the memory interface, 0…1."""
    power_w: float
    """Power draw at the end."""


class ComputeSeries:
    """The newest readings of one GPU, all from the same source."""

    __slots__ = ("_next", "_rows", "source")

    def __init__(self) -> None:
        self.source = ""
        """`ComputeActivity.source` of the readings."""
        self._rows = array("d")
        self._next = 0
        """Index of the row that the next reading replaces, once the series is full."""

    def __len__(self) -> int:
        return len(self._rows) // _COLUMNS

    def add(self, start_s: float, end_s: float, data: ComputeActivity) -> None:
        """Add a reading, unless it is older than the newest one or empty."""
        newest = self.newest
        if not end_s > start_s or (newest and end_s <= newest.end_s):
            return
        if data.source != self.source:
            self._rows, self._next, self.source = array("d"), 0, data.source
        values = (_number(v) for v in (data.sm, data.tensor, data.dram, data.power_w))
        row = array("d", (start_s, end_s, *values))
        if len(self) < MAX_READINGS:
            self._rows.extend(row)
        else:
            at = self._next * _COLUMNS
            self._rows[at : at + _COLUMNS] = row
            self._next = (self._next + 1) % MAX_READINGS

    @property
    def newest(self) -> ComputeReading | None:
        """The newest reading, or None if there is none."""
        return self._row(len(self) - 1) if len(self) else None

    def since(self, start_s: float) -> list[ComputeReading]:
        """Return the readings that end after `start_s` (CLOCK_MONOTONIC), oldest first."""
        found = []
        for age in range(len(self) - 1, -1, -1):
            row = self._row(age)
            if row.end_s <= start_s:
                break
            found.append(row)
        found.reverse()
        return found

    def _row(self, number: int) -> ComputeReading:
        """Return the reading `number`, counted from 0 for the oldest."""
        at = (self._next + number) % len(self) * _COLUMNS
        return ComputeReading(*self._rows[at : at + _COLUMNS])


def _number(value: Maybe[float]) -> float:
    return math.nan if isinstance(value, Missing) else value
