"""How often the driver refreshes its NVLink counters, from readings in quick succession. Pure.

The time between two readings bounds what can be known: a refresh that happened between them is known to
within that time. Pauses of the traffic cannot mislead the result for long: they make waits between two
refreshes longer, never shorter, and the shortest waits decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

from nvltop.model import CounterRefresh

MAX_INTERVAL_S: Final = 0.02
"""Time between two readings at first, seconds."""
MIN_INTERVAL_S: Final = 0.004
"""Shortest time between two readings, seconds."""
READINGS_PER_REFRESH: Final = 16
"""Readings to one refresh, once about how often that comes is known."""
MIN_WAITS: Final = 3
"""Waits from one refresh to the next from which it can be said whether they are alike."""
UNSURE_FACTOR: Final = 3.0
"""Longest wait to reckon with before that, in those seen: late by half after one that was early by half."""
ALWAYS_CURRENT_READINGS: Final = 4
"""Readings in a row with new values, after which the counters count as always up to date."""
MIN_REGULAR_REFRESHES: Final = 8
"""Refreshes after which a regular period is known well enough."""
MIN_IRREGULAR_REFRESHES: Final = 14
"""Refreshes after which an irregular one is."""
PAUSE_FACTOR: Final = 3.0
"""Waits longer than this many of the shortest are pauses: an irregular refresh is late by half at most."""


@dataclass(slots=True)
class RefreshMeasurement:
    """One measurement; `add` takes the readings."""

    calls: int = 0
    """NVML calls so far."""
    result: CounterRefresh | None = None
    """What is known so far; None before the second refresh was seen."""
    done: bool = False
    """Whether more readings would not make the result much better."""
    _last: tuple[float, object] | None = None
    _seen: list[tuple[float, float]] = field(default_factory=list)
    """CLOCK_MONOTONIC before and after each refresh that was seen."""
    _in_a_row: int = 0

    @property
    def any_refresh(self) -> bool:
        """Whether any refresh was seen."""
        return bool(self._seen)

    @property
    def interval_s(self) -> float:
        """Time from one reading to the next that suits what is known, seconds."""
        typical_s = self.result.typical_s if self.result else MAX_INTERVAL_S * READINGS_PER_REFRESH
        return min(max(typical_s / READINGS_PER_REFRESH, MIN_INTERVAL_S), MAX_INTERVAL_S)

    def add(self, start_s: float, end_s: float, values: object) -> bool:
        """Take a reading and the times round its call; return whether the result has changed."""
        self.calls += 1
        last, self._last = self._last, (start_s, values)
        if last is None:
            return False
        if last[1] == values:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        self._seen.append((last[0], end_s))
        if self._in_a_row >= ALWAYS_CURRENT_READINGS:
            self.done = True
            self.result = CounterRefresh(0.0, 0.0, 0.0, True, 0.0, 0.0, 0.0, self.calls)
            return True
        if len(self._seen) < 2 or self._in_a_row == len(self._seen):
            return False  # so far the counters may be always up to date
        before, self.result = self.result, self._estimate()
        self.done = len(self._seen) > (
            MIN_REGULAR_REFRESHES if self.result.regular else MIN_IRREGULAR_REFRESHES
        )
        return self.done or _differ(before, self.result)

    def _estimate(self) -> CounterRefresh:
        # Those seen before readings came closely enough say little.
        closest_s = min(b - a for a, b in self._seen)
        seen = [w for w in self._seen if w[1] - w[0] <= 2 * closest_s]
        if len(seen) <= MIN_WAITS:
            seen = self._seen
        middles = [(a + b) / 2 for a, b in seen]
        waits = [b - a for a, b in pairwise(middles)]
        shortest = min(waits)
        after_s, until_s = seen[-1]
        error_s = max(b - a for a, b in seen)
        counts = [round(wait / shortest) for wait in waits]
        period = (middles[-1] - middles[0]) / sum(counts)
        if len(waits) < MIN_WAITS:
            longest = UNSURE_FACTOR * shortest
            return CounterRefresh(shortest, shortest, longest, False, error_s, after_s, until_s, self.calls)
        if error_s < period / 3 and all(
            abs(wait - n * period) <= error_s for wait, n in zip(waits, counts, strict=True)
        ):
            error_s /= sum(counts)
            return CounterRefresh(period, period, period, True, error_s, after_s, until_s, self.calls)
        refreshes = [wait for wait in waits if wait <= PAUSE_FACTOR * shortest + error_s]
        return CounterRefresh(
            shortest, median(refreshes), max(refreshes), False, error_s, after_s, until_s, self.calls
        )


def refine(known: CounterRefresh, first: CounterRefresh, after_s: float, until_s: float) -> CounterRefresh:
    """Return a regular period made more exact by one more refresh, seen long after that of `first`."""
    middle_s, first_s = (after_s + until_s) / 2, (first.after_s + first.until_s) / 2
    count = max(1, round((middle_s - first_s) / known.typical_s))
    period = (middle_s - first_s) / count
    error_s = ((until_s - after_s) + (first.until_s - first.after_s)) / 2 / count
    return CounterRefresh(period, period, period, True, error_s, after_s, until_s, known.calls)


def _differ(before: CounterRefresh | None, after: CounterRefresh) -> bool:
    """Whether rates would come out otherwise."""
    if before is None or before.regular != after.regular:
        return True
    return abs(before.typical_s - after.typical_s) > 0.05 * after.typical_s
