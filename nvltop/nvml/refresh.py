"""Measurement of the period at which the driver refreshes its NVLink counters. Pure.

The counters are read in quick succession; the time of a refresh is known to within the time between two
readings. A pause of the traffic makes the wait between two refreshes longer, never shorter, so the shortest
waits decide.
"""

from __future__ import annotations

from dataclasses import field
from itertools import pairwise
from typing import Final

from nvltop.frozen import mutable
from nvltop.median import median
from nvltop.model import CounterRefresh

MAX_INTERVAL_S: Final = 0.02
"""Longest time between two readings, and the time at first, seconds."""
MIN_INTERVAL_S: Final = 0.004
"""Shortest time between two readings, seconds."""
READINGS_PER_REFRESH: Final = 16
"""Number of readings for each refresh, once the period is roughly known."""
MIN_WAITS: Final = 3
"""Number of waits between refreshes needed to determine whether the period is regular."""
UNSURE_FACTOR: Final = 3.0
"""Longest wait to expect before that, in shortest waits: half a period early, then half a period late."""
ALWAYS_CURRENT_READINGS: Final = 4
"""Consecutive readings with new values after which the counters count as always up to date."""
MIN_REGULAR_REFRESHES: Final = 8
"""Number of refreshes that determine a regular period well enough."""
MIN_IRREGULAR_REFRESHES: Final = 14
"""Number of refreshes that determine an irregular period well enough."""
PAUSE_FACTOR: Final = 3.0
"""Number of shortest waits above which a wait is a pause; a refresh is at most half a period late."""


@mutable
class RefreshMeasurement:
    """A measurement, to which `add` adds readings."""

    calls: int = 0
    """Number of NVML calls."""
    result: CounterRefresh | None = None
    """Result of the readings so far; None before the second refresh."""
    done: bool = False
    """Whether more readings would not improve the result much."""
    _last: tuple[float, object] | None = None
    _refreshes: list[tuple[float, float]] = field(default_factory=list)
    """CLOCK_MONOTONIC before and after each refresh."""
    _consecutive: int = 0

    @property
    def any_refresh(self) -> bool:
        """Whether any refresh has been observed."""
        return bool(self._refreshes)

    @property
    def interval_s(self) -> float:
        """Time until the next reading that suits the result so far, seconds."""
        typical_s = self.result.typical_s if self.result else MAX_INTERVAL_S * READINGS_PER_REFRESH
        return min(max(typical_s / READINGS_PER_REFRESH, MIN_INTERVAL_S), MAX_INTERVAL_S)

    def add(self, start_s: float, end_s: float, values: object) -> bool:
        """Add a reading with the times before and after its call; return whether the result has changed."""
        self.calls += 1
        last, self._last = self._last, (start_s, values)
        if last is None:
            return False
        if last[1] == values:
            self._consecutive = 0
            return False
        self._consecutive += 1
        self._refreshes.append((last[0], end_s))
        if self._consecutive >= ALWAYS_CURRENT_READINGS:
            self.done = True
            self.result = CounterRefresh(0.0, 0.0, 0.0, True, 0.0, 0.0, 0.0, self.calls)
            return True
        if len(self._refreshes) < 2 or self._consecutive == len(self._refreshes):
            return False  # the counters may always be up to date
        before, self.result = self.result, self._estimate()
        self.done = len(self._refreshes) > (
            MIN_REGULAR_REFRESHES if self.result.regular else MIN_IRREGULAR_REFRESHES
        )
        return self.done or _differ(before, self.result)

    def _estimate(self) -> CounterRefresh:
        # Refreshes that were observed while readings were further apart are inaccurate.
        closest_s = min(b - a for a, b in self._refreshes)
        refreshes = [w for w in self._refreshes if w[1] - w[0] <= 2 * closest_s]
        if len(refreshes) <= MIN_WAITS:
            refreshes = self._refreshes
        middles = [(a + b) / 2 for a, b in refreshes]
        waits = [b - a for a, b in pairwise(middles)]
        shortest = min(waits)
        after_s, until_s = refreshes[-1]
        error_s = max(b - a for a, b in refreshes)
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
        waits = [wait for wait in waits if wait <= PAUSE_FACTOR * shortest + error_s]
        return CounterRefresh(
            shortest,
            median(waits),
            max(waits),
            False,
            error_s,
            after_s,
            until_s,
            self.calls,
        )


def refine(known: CounterRefresh, first: CounterRefresh, after_s: float, until_s: float) -> CounterRefresh:
    """Return a regular period that a refresh long after that of `first` makes more precise."""
    middle_s, first_s = (after_s + until_s) / 2, (first.after_s + first.until_s) / 2
    count = max(1, round((middle_s - first_s) / known.typical_s))
    period = (middle_s - first_s) / count
    error_s = ((until_s - after_s) + (first.until_s - first.after_s)) / 2 / count
    return CounterRefresh(period, period, period, True, error_s, after_s, until_s, known.calls)


def _differ(before: CounterRefresh | None, after: CounterRefresh) -> bool:
    """Return whether two results would lead to different rates."""
    if before is None or before.regular != after.regular:
        return True
    return abs(before.typical_s - after.typical_s) > 0.05 * after.typical_s
