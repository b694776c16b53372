"""When the driver refreshed its NVLink counters.

A driver may copy the hardware counters only at intervals. A reading then returns the traffic up to the last
refresh, not up to the reading. Rates are exact only over the time between two refreshes, so this module
answers one question: in which window of time did the last refresh before a reading happen?

The worker measures the refresh period (`CounterRefresh`). Recordings of version 0.1.0 do not contain it;
for these it is estimated from the readings alone (`RefreshEstimator`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import field
from typing import Final, NamedTuple

from nvltop.frozen import mutable
from nvltop.median import median
from nvltop.model import CounterRefresh

LONGEST_REFRESH_S: Final = 2.0
"""Longest refresh period assumed until it has been measured, seconds (our own choice)."""
STANDSTILL_REFRESHES: Final = 1.5
"""Refreshes without a change after which a counter is taken to carry no traffic."""
IRREGULAR_FACTOR: Final = 1.5
"""Longest wait for an irregular refresh, as a multiple of the typical wait, unless a longer one was seen."""
MAX_CONTRADICTIONS: Final = 3
"""Consecutive wrong predictions after which the refresh counts as irregular."""
CALL_DURATION_S: Final = 0.01
"""Uncertainty of the time at which a call reads the counters, seconds."""
MIN_OBSERVED_S: Final = 1.0
"""Total time between changes above which a period is estimated from readings, seconds."""
MAX_WAITS: Final = 12
"""Number of waits between changes that are kept for the estimate."""
PAUSE_FACTOR: Final = 1.7
"""Multiple of the typical wait above which a wait is a pause of the traffic, not a refresh."""
MAX_FRESH_READINGS: Final = 4
"""Consecutive readings with new values after which a slow refresh is refuted."""


class Window(NamedTuple):
    """An interval of CLOCK_MONOTONIC that contains one event."""

    earliest_s: float
    latest_s: float

    @property
    def length_s(self) -> float:
        """Return the seconds between both times."""
        return self.latest_s - self.earliest_s


class RefreshPeriod(NamedTuple):
    """Seconds from one refresh of the counters to the next; all are 0 if every reading has fresh values."""

    shortest_s: float
    typical_s: float
    longest_s: float
    regular: bool = False
    error_s: float = 0.0
    """Largest error of `typical_s` if the refresh is regular."""
    seen: Window | None = None
    """Window of one refresh of the measured GPU; other GPUs may refresh at other times."""

    @classmethod
    def measured(cls, refresh: CounterRefresh) -> RefreshPeriod:
        """Return the period of a measurement by the worker."""
        typical_s, longest_s = refresh.typical_s, refresh.longest_s
        if not refresh.regular:
            longest_s = max(longest_s, IRREGULAR_FACTOR * typical_s)
        seen = Window(refresh.after_s, refresh.until_s) if refresh.until_s > 0 else None
        return cls(refresh.shortest_s, typical_s, longest_s, refresh.regular, refresh.error_s, seen)


ALWAYS_FRESH: Final = RefreshPeriod(0.0, 0.0, 0.0)
"""The period of a driver that returns fresh values at every reading."""


class RefreshPredictor:
    """Predicts the refreshes of one GPU's counters from those that were observed."""

    __slots__ = (
        "_contradictions",
        "_follows",
        "_least_s",
        "_most_s",
        "_newest",
        "_shown_s",
        "period",
        "regular",
    )

    def __init__(self, period: RefreshPeriod) -> None:
        self._follows = True
        """Whether this GPU refreshes together with the measured one; assumed until a reading refutes it."""
        self._contradictions = 0
        self._newest: Window | None = None
        """Window of the newest observed refresh."""
        self._shown_s = -math.inf
        """Earliest time of the refresh that the last change of the counters showed."""
        self.set(period)

    def set(self, period: RefreshPeriod) -> None:
        """Set the period, for example after a new measurement."""
        self.period = period
        self.regular = period.regular and period.typical_s > 0 and self._contradictions < MAX_CONTRADICTIONS
        self._least_s = max(period.typical_s - period.error_s, period.typical_s / 2)
        self._most_s = period.typical_s + period.error_s
        if period.seen and self._follows:
            self._newest = period.seen

    def _predict(self, n: int) -> Window:
        """Return the window of the n-th refresh after the newest observed one."""
        assert self._newest is not None
        least_s, most_s = (self._least_s, self._most_s) if n >= 0 else (self._most_s, self._least_s)
        return Window(self._newest.earliest_s + n * least_s, self._newest.latest_s + n * most_s)

    def add(self, after_s: float, until_s: float) -> None:
        """Add a refresh that happened after one reading and not later than the next."""
        seen = Window(after_s, until_s)
        if not self.regular or self._newest is None:
            self._newest = seen
            return
        # A call reads the counters when it begins or later, and two refreshes are one period apart.
        earliest_s, latest_s = max(after_s, self._shown_s + self._least_s), until_s + CALL_DURATION_S
        first = math.ceil((earliest_s - self._newest.latest_s) / self._most_s)
        last = math.floor((latest_s - self._newest.earliest_s) / self._least_s)
        if first > last:
            earliest_s = after_s - CALL_DURATION_S
            first = math.ceil((earliest_s - self._newest.latest_s) / self._most_s)
        if first > last:
            # The refresh contradicts the prediction: start again from it.
            self._contradictions += 1
            self._follows = False
            self._newest = seen
            earliest_s = after_s
            self.regular = self._contradictions < MAX_CONTRADICTIONS
        elif first == last:
            predicted = self._predict(first)
            earliest_s, latest_s = max(predicted.earliest_s, earliest_s), min(predicted.latest_s, latest_s)
            self._newest = Window(earliest_s, max(earliest_s, latest_s))
            self._contradictions = 0
        else:
            earliest_s = max(earliest_s, self.last_refresh_before(until_s).earliest_s)
        self._shown_s = min(earliest_s, until_s)

    def last_refresh_before(self, time_s: float) -> Window:
        """Return the window of the last refresh at or before `time_s`."""
        earliest_s = time_s - self.period.longest_s
        if not self.regular or self._newest is None:
            if self._newest is not None and self._newest.latest_s <= time_s:
                earliest_s = max(earliest_s, self._newest.earliest_s)
            return Window(earliest_s, time_s)
        n = math.floor((time_s - self._newest.earliest_s) / self._least_s)
        predicted = self._predict(n)
        if n == 0:
            # This refresh was observed, so it happened before now.
            predicted = Window(predicted.earliest_s, min(predicted.latest_s, time_s))
        if predicted.latest_s > time_s:
            before = self._predict(n - 1)
            if before.latest_s >= self._shown_s:
                # This refresh may not have happened yet.
                return Window(max(before.earliest_s, earliest_s), time_s)
            predicted = Window(predicted.earliest_s, time_s)
        return Window(max(predicted.earliest_s, earliest_s), predicted.latest_s)


@mutable
class RefreshEstimator:
    """Estimates the refresh period from readings alone; pauses in the traffic can mislead it."""

    _waits_s: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_WAITS))
    _moved_s: float | None = None
    _fresh_s: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_FRESH_READINGS + 1))
    """Times of the newest consecutive readings with new values."""

    def add(self, time_s: float, moved: bool) -> None:
        """Add a reading; `moved` says whether it had new values."""
        if not moved:
            self._fresh_s.clear()
            return
        self._fresh_s.append(time_s)
        if self._moved_s is not None:
            self._waits_s.append(time_s - self._moved_s)
        self._moved_s = time_s

    def forget(self) -> None:
        """Start again after a gap."""
        self._fresh_s.clear()
        self._moved_s = None

    def period(self, interval_s: float) -> RefreshPeriod | None:
        """Return the period, or None until enough readings have been added."""
        waits = self._waits_s
        if not waits or sum(waits) < MIN_OBSERVED_S - interval_s / 4:
            return None
        typical_s = median(waits)
        if typical_s < 1.5 * interval_s:
            return ALWAYS_FRESH
        refreshes = [w for w in waits if w <= PAUSE_FACTOR * typical_s + interval_s / 2]
        return RefreshPeriod(max(0.0, min(refreshes) - interval_s), typical_s, max(refreshes) + interval_s)

    def refutes(self, period: RefreshPeriod) -> bool:
        """Return whether consecutive readings had new values more often than `period` allows."""
        if len(self._fresh_s) <= MAX_FRESH_READINGS:
            return False
        waits = len(self._fresh_s) - 2
        return (self._fresh_s[-1] - self._fresh_s[0]) / waits < 0.8 * period.shortest_s


class SteadyRate:
    """The range of constant rates that agree with the readings since the traffic last changed.

    The time of a refresh is only known to lie within its window. If one rate explains several consecutive
    refreshes, the traffic was steady, and that rate determines their times. Rates are sums over all counters.
    """

    __slots__ = ("_before", "_fastest", "_from", "_moved", "_rate", "_slowest")

    def __init__(self) -> None:
        self._rate = 0.0
        """Bytes/s over the last closed span; 0 if not known."""
        self.restart(Window(0.0, 0.0))

    def restart(self, window: Window) -> None:
        """Start at a refresh in `window`, and count bytes from there."""
        self._from = window
        self._before = 0.0
        """Bytes moved from the start to the end of the last closed span."""
        self._moved: tuple[Window, float] = window, 0.0
        """The window of the newest refresh, and the bytes moved up to it."""
        self._slowest, self._fastest = 0.0, math.inf
        self._rate = 0.0

    def narrow(self, window: Window, moved: int) -> None:
        """Add a reading: `moved` bytes since the last closed span, up to a refresh in `window`."""
        total = self._before + moved
        slowest, fastest = self._range(self._from, window, total)
        if max(slowest, self._slowest) > min(fastest, self._fastest):
            # The traffic changed: start again at the previous refresh.
            self._rate = 0.0
            before_window, before = self._moved
            self._from = before_window
            self._before -= before
            total -= before
            self._slowest, self._fastest = self._range(before_window, window, total)
        else:
            self._slowest, self._fastest = max(slowest, self._slowest), min(fastest, self._fastest)
        self._moved = window, total

    @staticmethod
    def _range(since: Window, until: Window, moved: float) -> tuple[float, float]:
        least_s, most_s = until.earliest_s - since.latest_s, until.latest_s - since.earliest_s
        return (moved / most_s if most_s > 0 else 0.0), (moved / least_s if least_s > 0 else math.inf)

    def start_s(self, refresh_s: float) -> float:
        """Return since when the traffic has been steady; infinity if that is not known to half a refresh."""
        return self._from.latest_s if self._from.length_s <= refresh_s / 2 else math.inf

    def seconds(self, moved: int, window: Window, since_s: float) -> float:
        """Return the likely seconds from `since_s` to a refresh in `window` that is `moved` bytes later."""
        middle_s = (window.earliest_s + window.latest_s) / 2 - since_s
        rate = self._rate or (moved / middle_s if middle_s > 0 else 0.0)
        rate = min(max(rate, self._slowest), self._fastest)
        self._rate = rate
        return moved / rate if rate > 0 else middle_s

    def close(self, moved: int) -> None:
        """Close a span in which `moved` bytes were moved."""
        self._before += moved
