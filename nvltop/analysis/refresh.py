"""When the driver refreshed its NVLink counters.

A driver may copy the counters of the hardware only every so often. A reading then gives the traffic up
to the last refresh, not up to the reading. Rates are right only over the time between two refreshes, so
this module answers one question: in which window of time did the last refresh before a reading happen?

The period comes from the worker, which measures it (`CounterRefresh`). Recordings of 0.1.0 do not have
it; there it is estimated from the readings alone (`PollEstimate`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from nvltop.model import CounterRefresh

LONGEST_REFRESH_S: Final = 2.0
"""Slowest refresh that is expected while it has not been measured, seconds (our own choice)."""
STANDSTILL: Final = 1.5
"""A counter that does not move for longer than this many refreshes carries no traffic."""
IRREGULAR: Final = 1.5
"""Longest wait for an irregular refresh, in typical waits, where fewer waits were seen than that takes."""
MISSED: Final = 3
"""Contradictions in a row after which the refresh counts as irregular."""
CALL_S: Final = 0.01
"""Uncertainty of the moment at which a call reads the counters, seconds."""
ENOUGH_S: Final = 1.0
"""Waits between two moves, together, from which a period is estimated without a measurement, seconds."""
KEPT_WAITS: Final = 12
PAUSE: Final = 1.7
"""Waits longer than this many typical waits are pauses of the traffic."""
CONTRADICTION_POLLS: Final = 4
"""Readings in a row, all with new values, that refute a slow refresh."""


class Window(NamedTuple):
    """An interval of CLOCK_MONOTONIC that holds one moment."""

    earliest_s: float
    latest_s: float


class RefreshPeriod(NamedTuple):
    """Seconds from one refresh to the next; all are 0 where every reading has fresh values."""

    shortest_s: float
    typical_s: float
    longest_s: float
    regular: bool = False
    error_s: float = 0.0
    """Largest error of `typical_s` where the refresh is regular."""
    seen: Window | None = None
    """Window of a refresh of the GPU that was measured; the others may refresh at another time."""

    @classmethod
    def measured(cls, refresh: CounterRefresh) -> RefreshPeriod:
        """Return the period that the worker measured."""
        typical_s, longest_s = refresh.typical_s, refresh.longest_s
        if not refresh.regular:
            longest_s = max(longest_s, IRREGULAR * typical_s)
        seen = Window(refresh.after_s, refresh.until_s) if refresh.until_s > 0 else None
        return cls(refresh.shortest_s, typical_s, longest_s, refresh.regular, refresh.error_s, seen)


ALWAYS_FRESH: Final = RefreshPeriod(0.0, 0.0, 0.0)
"""Every reading has fresh values."""


class RefreshPredictor:
    """Predicts the refreshes of one GPU's counters from those that were seen."""

    __slots__ = ("_follows", "_known", "_least_s", "_missed", "_most_s", "period", "regular")

    def __init__(self, period: RefreshPeriod) -> None:
        self._follows = True
        """Whether this GPU refreshes when the measured one does; assumed until a reading refutes it."""
        self._missed = 0
        self._known: Window | None = None
        """Window of the newest refresh that was seen."""
        self.set(period)

    def set(self, period: RefreshPeriod) -> None:
        """Take a newer measurement."""
        self.period = period
        self.regular = period.regular and period.typical_s > 0 and self._missed < MISSED
        self._least_s = max(period.typical_s - period.error_s, period.typical_s / 2)
        self._most_s = period.typical_s + period.error_s
        if period.seen and self._follows:
            self._known = period.seen

    def _at(self, n: int) -> Window:
        """Return the window of the refresh `n` after the newest known one."""
        assert self._known is not None
        least_s, most_s = (self._least_s, self._most_s) if n >= 0 else (self._most_s, self._least_s)
        return Window(self._known.earliest_s + n * least_s, self._known.latest_s + n * most_s)

    def add(self, after_s: float, until_s: float) -> None:
        """Note that a refresh happened after one reading and not later than the next."""
        seen = Window(after_s, until_s)
        if not self.regular or self._known is None:
            self._known = seen
            return
        earliest_s, latest_s = after_s - CALL_S, until_s + CALL_S
        first = math.ceil((earliest_s - self._known.latest_s) / self._most_s)
        last = math.floor((latest_s - self._known.earliest_s) / self._least_s)
        if first > last:
            # It came at another time than predicted: begin again from it.
            self._missed += 1
            self._follows = False
            self._known = seen
            self.regular = self._missed < MISSED
        elif first == last:
            predicted = self._at(first)
            earliest_s, latest_s = max(predicted.earliest_s, earliest_s), min(predicted.latest_s, latest_s)
            self._known = Window(earliest_s, max(earliest_s, latest_s))
            self._missed = 0

    def last_before(self, time_s: float) -> Window:
        """Return the window of the last refresh up to a time."""
        earliest_s = time_s - self.period.longest_s
        if not self.regular or self._known is None:
            if self._known is not None and self._known.latest_s <= time_s:
                earliest_s = max(earliest_s, self._known.earliest_s)
            return Window(earliest_s, time_s)
        n = math.floor((time_s - self._known.earliest_s) / self._least_s)
        predicted = self._at(n)
        if n == 0:
            # That one was seen to have happened.
            predicted = Window(predicted.earliest_s, min(predicted.latest_s, time_s))
        if predicted.latest_s > time_s:
            # It may not have happened yet.
            return Window(max(self._at(n - 1).earliest_s, earliest_s), time_s)
        return Window(max(predicted.earliest_s, earliest_s), predicted.latest_s)


@dataclass(slots=True)
class RefreshEstimator:
    """Estimates the period from readings alone; a job that pauses can mislead it."""

    _waits_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_WAITS))
    _moved_s: float | None = None
    _since_s: deque[float] = field(default_factory=lambda: deque(maxlen=CONTRADICTION_POLLS + 1))
    """Times of the last readings that all had new values."""

    def add(self, time_s: float, moved: bool) -> None:
        """Note whether a reading had new values."""
        if not moved:
            self._since_s.clear()
            return
        self._since_s.append(time_s)
        if self._moved_s is not None:
            self._waits_s.append(time_s - self._moved_s)
        self._moved_s = time_s

    def forget(self) -> None:
        """Begin again after a gap."""
        self._since_s.clear()
        self._moved_s = None

    def period(self, interval_s: float) -> RefreshPeriod | None:
        """Return the period, None while too little has been seen."""
        waits = self._waits_s
        if sum(waits) < ENOUGH_S - interval_s / 4:
            return None
        typical_s = median(waits)
        if typical_s < 1.5 * interval_s:
            return ALWAYS_FRESH
        refreshes = [w for w in waits if w <= PAUSE * typical_s + interval_s / 2]
        return RefreshPeriod(max(0.0, min(refreshes) - interval_s), typical_s, max(refreshes) + interval_s)

    def refutes(self, period: RefreshPeriod) -> bool:
        """Whether readings in a row had new values more often than such a driver refreshes."""
        if len(self._since_s) <= CONTRADICTION_POLLS:
            return False
        waits = len(self._since_s) - 2
        return (self._since_s[-1] - self._since_s[0]) / waits < 0.8 * period.shortest_s


class SteadyRate:
    """The range of constant rates that agree with the readings since the traffic last changed.

    Within the window of a refresh any moment is possible. If one rate explains several refreshes in a row,
    the traffic was steady, and the moments follow from that rate. Rates here are of all counters together.
    """

    __slots__ = ("_before", "_fastest", "_from", "_moved", "_rate", "_slowest")

    def __init__(self) -> None:
        self._rate = 0.0
        """Bytes/s over the last closed span."""
        self.restart(Window(0.0, 0.0))

    def restart(self, window: Window) -> None:
        """Begin with a refresh in that window; bytes are counted from it on."""
        self._from = window
        self._before = 0.0
        """Bytes moved from there up to the end of the last closed span."""
        self._moved: tuple[Window, float] = window, 0.0
        """The newest refresh, and the bytes moved up to it."""
        self._slowest, self._fastest = 0.0, math.inf
        self._rate = 0.0

    def narrow(self, window: Window, moved: int) -> None:
        """Take a reading: `moved` bytes since the last closed span, as of a refresh in that window."""
        total = self._before + moved
        slowest, fastest = self._range(self._from, window, total)
        if max(slowest, self._slowest) > min(fastest, self._fastest):
            # The traffic changed: begin again at the refresh before this one.
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

    def seconds(self, moved: int, window: Window, since_s: float) -> float:
        """Return the likely seconds from `since_s` to a refresh in that window, `moved` bytes later."""
        middle_s = (window.earliest_s + window.latest_s) / 2 - since_s
        rate = self._rate or (moved / middle_s if middle_s > 0 else 0.0)
        rate = min(max(rate, self._slowest), self._fastest)
        self._rate = rate
        return moved / rate if rate > 0 else middle_s

    def close(self, moved: int) -> None:
        """Note that a span was closed, in which that many bytes were moved."""
        self._before += moved
