"""The heartbeat of one job over time: found, confirmed, followed, missed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from nvltop.analysis.activity.period_estimate import (
    FINE,
    NOT_PERIODIC,
    TOO_SHORT,
    PeriodEstimate,
    estimate_period,
)
from nvltop.model import NOT_READ, Maybe, Missing, StepPeriod, known

SEEN_S: Final = 20.0
"""What was not watched for so long may be a part of something longer."""
RECENT_PERIODS: Final = 12
RECENT_S: Final = 24.0
CHANGED_S: Final = 96.0
"""How much of the newest is looked at as well, for a job that has changed."""
MOST_CELLS: Final = 1024
"""Four a second for the whole window; more would take long to look through."""
MULTIPLE: Final = 0.05
SAME: Final = 0.08
"""Two periods that differ by a smaller share are the same."""
MISSES: Final = 3
"""A period is given up once it has not been found for so many times."""
SETTLED: Final = 10
"""One that was found so often is more than a part of something longer, of which not enough was seen."""
STEADY: Final = 30
"""One that was found so often has been held against the whole window many times: while its newest part goes
on like it, that is all that is looked at, once a period, and the whole every `WHOLE_S`."""
WHOLE_S: Final = 60.0
BEFORE_S: Final = 60.0
KEPT_S: Final = 600.0
"""The drift is against what was found from so long ago up to so long ago."""
TOLD: Final = 150
ENOUGH: Final = 5
SURE: Final = 0.8
FAIRLY_SURE: Final = 0.6
SURE_PERIODS: Final = 6.0
MAX_PAUSES: Final = 5
STOPPED_S: Final = 30.0
STOPPED_PERIODS: Final = 4.0
PAUSES: Final = 2.0
"""A silence is the end once it is that much longer than any pause before."""


@dataclass(slots=True)
class StepTracker:
    """What is known of one job's rhythm."""

    _step: PeriodEstimate | None = None
    _why: Missing = NOT_READ
    _heard: PeriodEstimate | None = None
    """Found once, not confirmed yet."""
    _misses: int = 0
    _told: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TOLD))
    """When a period was found, and which."""
    _pauses: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_PAUSES))
    """The last silences that ended, in seconds."""
    _silent_s: float = 0.0
    _whole_s: float = 0.0
    """When the whole window was looked at last."""
    doubted: bool = False
    """The newest part was not as expected, so that the whole is to be looked at."""

    @property
    def period_s(self) -> float | None:
        """The period, if there is one."""
        return self._step.period_s if self._step else None

    @property
    def settled(self) -> bool:
        """Whether the period has been found so often that it needs little looking after."""
        return self._step is not None and len(self._told) >= SETTLED

    @property
    def stopped(self) -> bool:
        """Whether it has been silent for longer than between two steps."""
        return self._step is not None and self._silent_s > 2 * self._step.period_s

    def wanted_s(self, now_s: float) -> float:
        """Return how much of the newest traffic `listen` is to be given; infinite for all that is kept."""
        step = self._step
        steady = len(self._told) >= STEADY and not (self._misses or self.doubted or self.stopped)
        if step is None or not steady or now_s - self._whole_s >= WHOLE_S:
            return math.inf
        if now_s - self._told[-1][0] < step.period_s:
            return 0.0
        return max(RECENT_S, RECENT_PERIODS * step.period_s)

    def set_silence(self, seconds: float) -> None:
        """Take for how long there has been no traffic."""
        if self.stopped and seconds < self._silent_s:
            self._pauses.append(self._silent_s)
        self._silent_s = seconds

    def update(self, channels: Sequence[Sequence[float]], cell_s: float, now_s: float) -> None:
        """Look for the rhythm in what was moved up to now."""
        wanted_s = self.wanted_s(now_s)
        if self.stopped or not wanted_s:
            self.doubted = False  # nothing is heard that the whole could tell more of
            return
        if wanted_s < math.inf:
            found = estimate_period(_newest(channels, wanted_s, cell_s), cell_s)
            self.doubted = not (known(found) and self._step and _same(found, self._step))
            if self.doubted:
                return
        else:
            found = _found(channels, cell_s)
            self._whole_s, self.doubted = now_s, False
        if known(found) and self._step and _same(found, self._step):
            self._confirm(found, now_s)
        elif known(found) and self._heard and _same(found, self._heard):
            self._told.clear()
            self._confirm(found, now_s)
        else:
            self._miss(found)

    def _confirm(self, found: PeriodEstimate, now_s: float) -> None:
        self._step, self._heard, self._misses = found, None, 0
        self._told.append((now_s, found.period_s))

    def _miss(self, found: Maybe[PeriodEstimate]) -> None:
        """Doubt the period; one that is not settled yet is given up at once."""
        self._heard = found if known(found) else None
        self._misses += 1
        if not self._step or self._misses >= MISSES or len(self._told) < SETTLED:
            self._step = None
            self._why = found if isinstance(found, Missing) else TOO_SHORT

    def step_period(self, now_s: float, exact: bool) -> Maybe[StepPeriod]:
        """Return the heartbeat; `exact` says that no other job moves data on the same GPUs."""
        step = self._step
        if step is None:
            return self._why
        sure = "possible"
        if exact and step.strength >= SURE and step.periods >= SURE_PERIODS and len(self._told) >= SETTLED:
            sure = "certain"
        elif exact and step.strength >= FAIRLY_SURE:
            sure = "likely"
        after_s = max(STOPPED_S, STOPPED_PERIODS * step.period_s, PAUSES * max(self._pauses, default=0.0))
        return StepPeriod(step.period_s, sure, self._drift(now_s, step), self._silent_s, after_s)

    def _drift(self, now_s: float, step: PeriodEstimate) -> Maybe[float]:
        before = [p for t, p in self._told if BEFORE_S <= now_s - t <= KEPT_S]
        return step.period_s / median(before) - 1 if len(before) >= ENOUGH else TOO_SHORT


def _same(a: PeriodEstimate, b: PeriodEstimate) -> bool:
    return abs(a.period_s - b.period_s) <= SAME * b.period_s


def _found(channels: Sequence[Sequence[float]], cell_s: float) -> Maybe[PeriodEstimate]:
    """Find the rhythm over the whole window, or in its newest part where the job has changed."""
    length_s = len(channels[0]) * cell_s if channels else 0.0
    if length_s < SEEN_S:
        return TOO_SHORT
    whole = _rhythm(channels, cell_s)
    if isinstance(whole, Missing):
        if whole != NOT_PERIODIC or length_s < 1.5 * CHANGED_S:
            return whole
        recent = estimate_period(_newest(channels, CHANGED_S, cell_s), cell_s)
        return recent if known(recent) and recent.period_s * RECENT_PERIODS <= CHANGED_S else whole
    recent_s = max(RECENT_S, RECENT_PERIODS * whole.period_s)
    if recent_s > length_s / 2:
        return whole
    recent = estimate_period(_newest(channels, recent_s, cell_s), cell_s)
    return recent if known(recent) and (_same(recent, whole) or _changed(recent, whole)) else whole


def _rhythm(channels: Sequence[Sequence[float]], cell_s: float) -> Maybe[PeriodEstimate]:
    """Find the rhythm; of readings denser than it takes, several together first."""
    count = len(channels[0])
    by = math.ceil(count / MOST_CELLS)
    if by == 1:
        return estimate_period(channels, cell_s)
    found = estimate_period([_merged(c, by) for c in channels], by * cell_s)
    if known(found) and found.period_s >= FINE * by * cell_s:
        return found
    return estimate_period([c[-MOST_CELLS:] for c in channels], cell_s)


def _merged(values: Sequence[float], by: int) -> list[float]:
    """Return the means of so many cells each, aligned to the newest."""
    first = len(values) % by
    return [sum(values[i : i + by]) / by for i in range(first, len(values), by)]


def _changed(recent: PeriodEstimate, whole: PeriodEstimate) -> bool:
    """Whether the newest period is another one, not a part or a multiple of the one before."""
    ratio = recent.period_s / whole.period_s
    return 0.55 < ratio < 1 or (ratio > 1 and abs(ratio - round(ratio)) > MULTIPLE * ratio)


def _newest(channels: Sequence[Sequence[float]], seconds: float, cell_s: float) -> list[Sequence[float]]:
    count = round(seconds / cell_s)
    return [c[-count:] for c in channels]
