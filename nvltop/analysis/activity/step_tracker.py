"""The step period of one job over time: found, confirmed, tracked and dropped."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import field
from typing import Final

from nvltop.analysis.activity.period_estimate import (
    FINE_CELLS,
    NOT_LONG_ENOUGH,
    NOT_PERIODIC,
    PeriodEstimate,
    estimate_period,
)
from nvltop.frozen import mutable
from nvltop.median import median
from nvltop.model import NOT_READ, Maybe, Missing, StepPeriod, known

MIN_WATCHED_S: Final = 20.0
"""Length of the traffic below which a period may be a part of a longer one, seconds."""
RECENT_PERIODS: Final = 12
"""Length of the newest part that is analysed separately, in periods."""
RECENT_S: Final = 24.0
"""Shortest newest part that is analysed separately, seconds."""
CHANGED_S: Final = 96.0
"""Length of the newest part that is analysed if the full window is not periodic, seconds."""
MAX_CELLS: Final = 1024
"""Number of cells above which cells are merged: four per second for the full window."""
MULTIPLE_TOLERANCE: Final = 0.05
"""Distance of a ratio of periods from a whole number below which one is a multiple of the other."""
MIN_CHANGED_RATIO: Final = 0.55
"""Ratio of the new to the old period below which the new one may be a part of the old one."""
SAME_PERIOD: Final = 0.08
"""Relative difference below which two periods are the same."""
MAX_MISSES: Final = 3
"""Consecutive analyses without the period after which it is dropped."""
SEARCHED_S: Final = 60.0
"""Length of the traffic without a period above which a few more seconds hardly show one, seconds."""
SETTLED_COUNT: Final = 5
"""Confirmations after which a period is not merely a part of a longer one, and only the newest periods are
analysed while these match."""
FULL_CHECK_S: Final = 60.0
"""Longest time between two analyses of the full window for a settled period, seconds."""
FULL_CHECK_SHARE: Final = 0.25
"""Share of the full window that must be new before a settled period is compared with it again."""
RETRY_SHARE: Final = 0.05
"""Share of the full window that must be new before it is searched again, if it had no period."""
DRIFT_FROM_S: Final = 60.0
"""Age of the newest confirmation that the drift is relative to, seconds."""
DRIFT_TO_S: Final = 600.0
"""Age of the oldest confirmation that the drift is relative to, seconds."""
MAX_CONFIRMATIONS: Final = 75
"""Number of confirmations kept: `DRIFT_TO_S` at one every eight seconds."""
MIN_DRIFT_PERIODS: Final = 3
"""Number of confirmations below which there is no drift."""
CERTAIN_STRENGTH: Final = 0.8
"""Similarity of one period to the next above which the period may be `certain`."""
LIKELY_STRENGTH: Final = 0.6
"""Similarity of one period to the next above which the period is `likely`."""
CERTAIN_PERIODS: Final = 6.0
"""Number of observed periods above which the period may be `certain`."""
MAX_PAUSES: Final = 5
"""Number of past pauses kept."""
STOPPED_S: Final = 30.0
"""Silence after which a job may have stopped, seconds."""
STOPPED_PERIODS: Final = 4.0
"""Silence after which a job may have stopped, in step periods."""
PAUSE_FACTOR: Final = 2.0
"""Silence after which a job may have stopped, as a multiple of the longest recent pause."""


@mutable
class StepTracker:
    """Tracks the step period and the silences of one job."""

    _period: PeriodEstimate | None = None
    """The newest confirmed estimate."""
    _why: Missing = NOT_READ
    """Why there is no period."""
    _candidate: PeriodEstimate | None = None
    """An estimate that has not been confirmed yet."""
    _misses: int = 0
    """Consecutive analyses that did not confirm the period."""
    _confirmed: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MAX_CONFIRMATIONS))
    """Time and length of each confirmed estimate."""
    _drift: Maybe[float] = NOT_LONG_ENOUGH
    """Relative change of the period against the minutes before its last confirmation."""
    _pauses: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_PAUSES))
    """Lengths of the last pauses, seconds."""
    _silent_s: float = 0.0
    """Length of the current silence, seconds."""
    _full_check_s: float = 0.0
    """Time of the last analysis of the full window."""
    _full_length_s: float = 0.0
    """Length of the full window then, seconds."""
    doubted: bool = False
    """Whether the newest part did not match, so that the full window must be analysed."""

    @property
    def period_s(self) -> float | None:
        """The step period in seconds, or None if there is none."""
        return self._period.period_s if self._period else None

    @property
    def settled(self) -> bool:
        """Whether the period has been confirmed often enough to be checked less often."""
        return self._period is not None and len(self._confirmed) >= SETTLED_COUNT

    @property
    def searching(self) -> bool:
        """Whether the next seconds may show a period that is not known yet."""
        return self._period is None and (self._candidate is not None or self._full_length_s < SEARCHED_S)

    @property
    def stopped(self) -> bool:
        """Whether the silence is longer than two steps."""
        return self._period is not None and self._silent_s > 2 * self._period.period_s

    def wanted_s(self, now_s: float) -> float:
        """Return the length of the newest traffic that `update` needs: 0 for none, infinite for all."""
        period, checked_s = self._period, now_s - self._full_check_s
        if period is None:
            searched = not self._candidate and checked_s < RETRY_SHARE * self._full_length_s
            return 0.0 if searched else math.inf
        steady = self.settled and not (self._misses or self.doubted or self.stopped)
        if not steady or checked_s >= min(FULL_CHECK_S, FULL_CHECK_SHARE * self._full_length_s):
            return math.inf
        if now_s - self._confirmed[-1][0] < period.period_s:
            return 0.0
        return max(RECENT_S, RECENT_PERIODS * period.period_s)

    def set_silence(self, seconds: float) -> None:
        """Set the length of the current silence; a silence that ends is added to the pauses."""
        if self.stopped and seconds < self._silent_s:
            self._pauses.append(self._silent_s)
        self._silent_s = seconds

    def update(self, channels: Sequence[Sequence[float]], cell_s: float, now_s: float) -> None:
        """Update the period from the traffic up to now."""
        wanted_s = self.wanted_s(now_s)
        if self.stopped or not wanted_s:
            self.doubted = False  # without new traffic the full window shows nothing new
            return
        if wanted_s < math.inf:
            found = estimate_period(_newest(channels, wanted_s, cell_s), cell_s)
            self.doubted = not (known(found) and self._period and _same(found, self._period))
            if self.doubted:
                return
        else:
            found = _estimate_current(channels, cell_s)
            self._full_check_s, self.doubted = now_s, False
            self._full_length_s = len(channels[0]) * cell_s if channels else 0.0
        if known(found) and self._period and _same(found, self._period):
            self._confirm(found, now_s)
        elif known(found) and self._candidate and _same(found, self._candidate):
            self._confirmed.clear()
            self._confirm(found, now_s)
        else:
            self._miss(found)

    def _confirm(self, found: PeriodEstimate, now_s: float) -> None:
        """Make an estimate the current period."""
        self._period, self._candidate, self._misses = found, None, 0
        self._confirmed.append((now_s, found.period_s))
        before = [p for t, p in self._confirmed if DRIFT_FROM_S <= now_s - t <= DRIFT_TO_S]
        enough = len(before) >= MIN_DRIFT_PERIODS
        self._drift = found.period_s / median(before) - 1 if enough else NOT_LONG_ENOUGH

    def _miss(self, found: Maybe[PeriodEstimate]) -> None:
        """Count an analysis without the period; drop the period after several, or if it is not settled."""
        self._candidate = found if known(found) else None
        self._misses += 1
        if not self._period or self._misses >= MAX_MISSES or len(self._confirmed) < SETTLED_COUNT:
            self._period = None
            self._why = found if isinstance(found, Missing) else NOT_LONG_ENOUGH

    def step_period(self, exact: bool) -> Maybe[StepPeriod]:
        """Return the step period; `exact` says that no other job uses the same GPUs."""
        period = self._period
        if period is None:
            return self._why
        confidence = "possible"
        if (
            exact
            and period.strength >= CERTAIN_STRENGTH
            and period.periods >= CERTAIN_PERIODS
            and len(self._confirmed) >= SETTLED_COUNT
        ):
            confidence = "certain"
        elif exact and period.strength >= LIKELY_STRENGTH:
            confidence = "likely"
        after_s = max(
            STOPPED_S, STOPPED_PERIODS * period.period_s, PAUSE_FACTOR * max(self._pauses, default=0.0)
        )
        return StepPeriod(period.period_s, confidence, self._drift, self._silent_s, after_s)


def _same(a: PeriodEstimate, b: PeriodEstimate) -> bool:
    """Return whether two estimates are of the same period."""
    return abs(a.period_s - b.period_s) <= SAME_PERIOD * b.period_s


def _estimate_current(channels: Sequence[Sequence[float]], cell_s: float) -> Maybe[PeriodEstimate]:
    """Return the period of the full window, or of its newest part if the job has changed."""
    length_s = len(channels[0]) * cell_s if channels else 0.0
    if length_s < MIN_WATCHED_S:
        return NOT_LONG_ENOUGH
    full = _estimate_window(channels, cell_s)
    if isinstance(full, Missing):
        if full != NOT_PERIODIC or length_s < 1.5 * CHANGED_S:
            return full
        recent = estimate_period(_newest(channels, CHANGED_S, cell_s), cell_s)
        return recent if known(recent) and recent.period_s * RECENT_PERIODS <= CHANGED_S else full
    recent_s = max(RECENT_S, RECENT_PERIODS * full.period_s)
    if recent_s > length_s / 2:
        return full
    recent = estimate_period(_newest(channels, recent_s, cell_s), cell_s)
    return recent if known(recent) and (_same(recent, full) or _changed(recent, full)) else full


def _estimate_window(channels: Sequence[Sequence[float]], cell_s: float) -> Maybe[PeriodEstimate]:
    """Return the period of the full window, with cells merged if there are too many."""
    count = len(channels[0])
    by = math.ceil(count / MAX_CELLS)
    if by == 1:
        return estimate_period(channels, cell_s)
    found = estimate_period([_merged(c, by) for c in channels], by * cell_s)
    if known(found) and found.period_s >= FINE_CELLS * by * cell_s:
        return found
    return estimate_period([c[-MAX_CELLS:] for c in channels], cell_s)


def _merged(values: Sequence[float], by: int) -> list[float]:
    """Return the means of `by` cells each, aligned to the newest cell."""
    first = len(values) % by
    return [sum(values[i : i + by]) / by for i in range(first, len(values), by)]


def _changed(recent: PeriodEstimate, full: PeriodEstimate) -> bool:
    """Return whether the newest period is a different one, not a part or a multiple of the old period."""
    ratio = recent.period_s / full.period_s
    return MIN_CHANGED_RATIO < ratio < 1 or (
        ratio > 1 and abs(ratio - round(ratio)) > MULTIPLE_TOLERANCE * ratio
    )


def _newest(channels: Sequence[Sequence[float]], seconds: float, cell_s: float) -> list[Sequence[float]]:
    """Return the newest `seconds` of each channel."""
    count = round(seconds / cell_s)
    return [c[-count:] for c in channels]
