"""The compute activity of one GPU over the last 90 seconds, reading by reading.

Pure. Memory: 32 bytes per reading (14 kB per GPU at four readings per second).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from nvltop.analysis.activity.usage_trace import HISTORY_S, UsageTrace
from nvltop.analysis.nan import or_nan
from nvltop.model import ComputeActivity

TRIM_READINGS: Final = 64
"""Number of readings after which old readings are removed."""


class ComputeReadings(NamedTuple):
    """Consecutive readings as columns, oldest first; NaN where not read."""

    sm: Sequence[float]
    """Activity of the SMs, 0…1; see `ComputeActivity`."""
    tensor: Sequence[float]
    """Activity of the tensor cores, 0…1."""
    power_w: Sequence[float]
    """Power draw at the end of each reading."""
    links: Sequence[float]
    """Mean share of NCCL max on the links meanwhile; the newest readings may not have one yet."""


class ComputeSeries:
    """The newest readings of one GPU, all from the same source."""

    __slots__ = ("_columns", "_ends_s", "_starts_s", "source")

    def __init__(self) -> None:
        self.source = ""
        """`ComputeActivity.source` of the readings."""
        self._clear()

    def _clear(self) -> None:
        self._starts_s, self._ends_s = array("d"), array("d")
        self._columns = tuple(array("f") for _ in ComputeReadings._fields)

    def __len__(self) -> int:
        return len(self._ends_s)

    def add(self, start_s: float, end_s: float, data: ComputeActivity) -> None:
        """Add a reading between two times (CLOCK_MONOTONIC), unless it is empty or older than the newest."""
        ends_s = self._ends_s
        if not end_s > start_s or (ends_s and end_s <= ends_s[-1]):
            return
        if data.source != self.source:
            self._clear()
            self.source, ends_s = data.source, self._ends_s
        self._starts_s.append(start_s)
        ends_s.append(end_s)
        sm, tensor, power_w, _ = self._columns
        sm.append(or_nan(data.sm))
        tensor.append(or_nan(data.tensor))
        power_w.append(or_nan(data.power_w))
        if len(ends_s) % TRIM_READINGS == 0:
            old = bisect_left(ends_s, end_s - HISTORY_S)
            for column in (self._starts_s, ends_s, *self._columns):
                del column[:old]

    def add_links(self, trace: UsageTrace) -> None:
        """Add the mean share on the links of each reading for which all of the traffic was read."""
        links = self._columns[-1]
        for i in range(len(links), bisect_right(self._ends_s, trace.newest_s)):
            links.append(trace.mean_share(self._starts_s[i], self._ends_s[i]))

    def since(self, start_s: float) -> ComputeReadings:
        """Return the readings that end after `start_s` (CLOCK_MONOTONIC)."""
        first = bisect_right(self._ends_s, start_s)
        return ComputeReadings(*(column[first:] for column in self._columns))
