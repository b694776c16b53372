"""Rates of a GPU's counters over the time between two refreshes by the driver."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import field
from itertools import pairwise
from operator import sub, truediv
from typing import Final

from nvltop.analysis.rates import (
    LEARNING_REFRESH,
    MAX_PLAUSIBLE_SHARE,
    NO_SECOND_READING,
    READING_GAP,
    TIMING_SLACK_S,
    CounterSample,
    RateSpan,
    bytes_moved,
    counting_unit,
    elapsed_by_counter,
    join_spans,
    max_gap_s,
    rates_between,
)
from nvltop.analysis.refresh import (
    ALWAYS_FRESH,
    LONGEST_REFRESH_S,
    STANDSTILL_REFRESHES,
    RefreshEstimator,
    RefreshPeriod,
    RefreshPredictor,
    SteadyRate,
    Window,
)
from nvltop.frozen import mutable
from nvltop.model import Maybe, Missing

MAX_SPAN_SHARE: Final = 1.005
"""Share of the speed above which a span is kept open; the excess over 1 allows for rounding."""
MIN_SPAN_S: Final = 0.01
"""Length below which a span is kept open, because its length is not known precisely enough, seconds."""
MAX_HELD_REFRESHES: Final = 3.0
"""Refreshes (or intervals, if longer) for which a span above the links' speed is kept open at most."""
MIN_STEADY_SPANS: Final = 3.0
"""Refreshes (or intervals, if longer) of steady traffic that decide which of two refreshes ended a span."""
MAX_LEARNING_READINGS: Final = 64
"""Number of readings kept until the driver's refresh period is known."""


@mutable
class RateTracker:
    """Rates of a GPU's counters, which the driver refreshes together.

    A reading returns the values of the driver's last refresh. A span therefore ends at a refresh, not at a
    reading. Its end lies in the window that `RefreshPredictor` returns, at the point that makes the traffic
    as steady as the readings allow. Counters that do not change within one refresh keep the span open;
    counters that do not change for longer close it with a rate of 0. A change at the time of a predicted
    refresh may come from that refresh or from the one before; if the next reading decides that, the span
    stays open until then.
    """

    period: RefreshPeriod | None = field(default=None, init=False)
    """Period of the driver's refresh; None until it is known."""
    _predictor: RefreshPredictor | None = field(default=None, init=False)
    _estimator: RefreshEstimator = field(default_factory=RefreshEstimator, init=False)
    _steady_rate: SteadyRate = field(default_factory=SteadyRate, init=False)
    _base: CounterSample | None = field(default=None, init=False)
    """The counters at the end of the last closed span."""
    _base_s: float = field(default=0.0, init=False)
    """End of the last closed span, CLOCK_MONOTONIC."""
    _earliest_s: float = field(default=0.0, init=False)
    """Earliest time at which the last closed span may have ended."""
    _latest_s: float = field(default=0.0, init=False)
    """Latest time at which the last closed span may have ended."""
    _undecided: bool = field(default=False, init=False)
    """Whether the span is open because the next reading decides which refresh its last change came from."""
    _limits: Sequence[float] = field(default=(), init=False)
    """The limits of the last reading; the same object until a link changes."""
    _least_limit: float = field(default=0.0, init=False)
    """The lowest of them."""
    _last: CounterSample | None = field(default=None, init=False)
    _moved_s: float = field(default=0.0, init=False)
    """Time of the last reading that had new values."""
    _learning: deque[CounterSample] = field(
        default_factory=lambda: deque(maxlen=MAX_LEARNING_READINGS), init=False
    )
    """Readings after the first one, kept while the period is not known."""

    def update(
        self,
        time_s: float,
        values: Sequence[Maybe[int]],
        stamps_us: Sequence[int],
        limits: Sequence[float],
        interval_s: float,
    ) -> list[RateSpan]:
        """Add a reading, and return the spans that it closes, oldest first.

        `limits` are the highest plausible bytes/s of each counter. `stamps_us` holds no time stamp, one for
        all counters, or one per counter. Where a rate is missing, the span holds the reason instead.
        """
        sample = CounterSample(time_s, tuple(values), tuple(stamps_us), limits, interval_s)
        if limits is not self._limits:
            self._limits, self._least_limit = limits, min(limits, default=0.0)
        last = self._last
        if last is None or len(last.values) != len(values) or time_s <= last.time_s:
            self._start(sample)
            return [
                self._span_without_rates(
                    sample, time_s, LEARNING_REFRESH if self.period is None else NO_SECOND_READING
                )
            ]
        if time_s - last.time_s > max_gap_s(interval_s):
            began_s = self._base_s
            self._start(sample)
            return [self._span_without_rates(sample, min(max(began_s, last.time_s), time_s), READING_GAP)]
        self._last = sample
        if self._always_fresh():
            self._moved_s = time_s
            return [self._close_span(sample, time_s)]
        moved = sample.moved_since(last)
        if moved:
            self._moved_s = time_s
        if moved and sample.fell_since(last):
            self._estimator.forget()  # a reset does not coincide with a refresh
        else:
            self._estimator.add(time_s, moved)
        if self.period is None:
            if not any(isinstance(value, int) for value in sample.values):
                self._start(sample)
                return [self._span_without_rates(sample, last.time_s, LEARNING_REFRESH)]
            self._learning.append(sample)
            estimate = self._estimator.period(interval_s)
            return self._learn(estimate) if estimate else self._close_long_standstill(sample)
        if moved and self._estimator.refutes(self.period):
            self.period = self._estimator.period(interval_s) or ALWAYS_FRESH
            self._predictor = RefreshPredictor(self.period)
        return self._advance(last, sample)

    def learn(self, period: RefreshPeriod) -> list[RateSpan]:
        """Set the measured period of the driver's refresh, and return the spans that this closes."""
        if self._base and self._predictor is None and self._base_s == self._base.time_s:
            self._begin_late(period)
        return join_spans(self._learn(period))

    def _learn(self, period: RefreshPeriod) -> list[RateSpan]:
        if self._always_fresh():
            # Readings with fresh values are not added to the estimator, so it knows only older ones.
            self._estimator = RefreshEstimator()
        self.period = period
        if self._predictor:
            self._predictor.set(period)
            return []
        self._predictor = predictor = RefreshPredictor(period)
        waiting, base = list(self._learning), self._base
        self._learning.clear()
        if base is None:
            return []
        for before, after in pairwise([base, *waiting]):
            if after.moved_since(before):
                predictor.add(before.time_s, after.time_s)
        if self._base_s == base.time_s:
            # The first reading returned the values of the refresh before it.
            window = predictor.last_refresh_before(base.time_s)
            earliest_s = max(window.earliest_s, base.time_s - period.typical_s)
            self._set_base(Window(earliest_s, max(earliest_s, window.latest_s)))
        spans = []
        self._last = base
        for before, after in pairwise([base, *waiting]):
            self._last = after
            spans += self._advance(before, after)
        return spans

    def _begin_late(self, period: RefreshPeriod) -> None:
        """Start at the first observed refresh if that of the first reading is not known well enough."""
        readings = [*filter(None, [self._base]), *self._learning]
        moves = [(a, b) for a, b in pairwise(readings) if b.moved_since(a)]
        if period.regular or len(moves) < 2 or period.typical_s <= moves[0][1].interval_s:
            return
        before, first = moves[0]
        while self._learning and self._learning[0].time_s <= first.time_s:
            self._learning.popleft()
        self._base = first
        self._set_base(Window(before.time_s, first.time_s))

    def _start(self, sample: CounterSample) -> None:
        self._base = self._last = sample
        self._moved_s = sample.time_s
        self._learning.clear()
        self._estimator.forget()
        window = Window(sample.time_s, sample.time_s)
        if self._predictor and not self._always_fresh():
            window = self._predictor.last_refresh_before(sample.time_s)
        self._set_base(window)

    def _set_base(self, window: Window) -> None:
        """Start a span at a refresh that happened in `window`."""
        self._base_s = (window.earliest_s + window.latest_s) / 2
        self._earliest_s, self._latest_s = window
        self._steady_rate.restart(window)

    @staticmethod
    def _span_without_rates(sample: CounterSample, start_s: float, why: Missing) -> RateSpan:
        """Return a span that holds, for each counter, the reason why there is no rate."""
        rates = tuple(value if isinstance(value, Missing) else why for value in sample.values)
        return RateSpan(start_s, sample.time_s, rates)

    def _always_fresh(self) -> bool:
        """Return whether every reading has fresh values."""
        return self.period is not None and not self.period.longest_s

    def _close_long_standstill(self, sample: CounterSample) -> list[RateSpan]:
        """Return a span without traffic if the counters stood still for longer than any refresh takes.

        Used while the period is not known.
        """
        base, until_s = self._base, sample.time_s - LONGEST_REFRESH_S
        if base is None or base.values != sample.values or until_s <= self._base_s:
            return []
        if sample.time_s - self._moved_s <= STANDSTILL_REFRESHES * LONGEST_REFRESH_S:
            return []
        self._learning.clear()
        return [self._close_span(sample, until_s)]

    def _advance(self, last: CounterSample, sample: CounterSample) -> list[RateSpan]:
        """Return the span that a reading closes, or nothing if the span stays open."""
        base, predictor = self._base, self._predictor
        assert base is not None
        assert predictor is not None
        if self._always_fresh():
            return [self._close_span(sample, sample.time_s)]
        moved, least_s, unknown = self._change_since(base, sample)
        if unknown:
            return [self._close_unknown(sample, predictor.last_refresh_before(sample.time_s))]
        is_new = sample.moved_since(last)
        if is_new:
            predictor.add(last.time_s, sample.time_s)
        window = predictor.last_refresh_before(sample.time_s)
        if is_new:
            window = Window(max(window.earliest_s, min(last.time_s, window.latest_s)), window.latest_s)
        self._steady_rate.narrow(window, moved)
        if not moved:
            return self._close_standstill(sample, window, predictor.period)
        return self._close_traffic(sample, window, moved, least_s, is_new=is_new)

    def _close_unknown(self, sample: CounterSample, window: Window) -> RateSpan:
        """Close the span of counters that were reset or became readable: their bytes before that are unknown.

        A reset does not coincide with a refresh, so it does not show when the driver refreshes.
        """
        self._steady_rate.restart(window)
        earliest_s, refreshed_s = max(window.earliest_s, self._base_s), max(window.latest_s, self._base_s)
        span = self._close_span(sample, max(refreshed_s, self._base_s + MIN_SPAN_S))
        self._base_s = self._latest_s = refreshed_s
        self._earliest_s = min(earliest_s, refreshed_s)
        return span

    def _close_standstill(
        self, sample: CounterSample, window: Window, period: RefreshPeriod
    ) -> list[RateSpan]:
        """Return a span without traffic if no refresh can be outstanding that would show some."""
        if (
            sample.time_s - self._base_s <= STANDSTILL_REFRESHES * period.typical_s
            or window.earliest_s - max(self._base_s, self._latest_s) < MIN_SPAN_S
        ):
            return []
        self._latest_s = window.earliest_s
        self._steady_rate.restart(window)
        return [self._close_span(sample, window.earliest_s)]

    def _close_traffic(
        self, sample: CounterSample, window: Window, moved: int, least_s: float, *, is_new: bool
    ) -> list[RateSpan]:
        """Return a span of `moved` bytes up to a refresh in `window`, unless it has to stay open.

        The links need `least_s` seconds for these bytes. `is_new` says that the last reading differs from the
        one before.
        """
        period, undecided = self.period, self._undecided
        assert period is not None
        self._undecided = False
        waited_s = sample.time_s - self._moved_s
        if not is_new and not undecided and waited_s <= STANDSTILL_REFRESHES * period.typical_s:
            # An open span is closed by the next change, or once it is clear that there is none.
            return []
        unsure = window.length_s > period.typical_s / 2
        if unsure and is_new and self._next_reading_decides(sample):
            self._undecided = True
            return []
        end_s = self._likely_end_s(sample, window, moved, period, unsure=unsure)
        # If the bytes exceed what the links can carry, the span ended later or the previous one earlier.
        end_s = min(max(end_s, self._base_s + max(least_s, MIN_SPAN_S)), sample.time_s)
        start_s = max(min(self._base_s, end_s - least_s), self._earliest_s)
        too_short = least_s > MAX_SPAN_SHARE * (end_s - start_s) or end_s - start_s < MIN_SPAN_S
        if too_short and self._may_be_held(sample, period):
            return []
        self._base_s, self._latest_s = start_s, min(window.latest_s, self._moved_s)
        self._steady_rate.close(moved)
        return [self._close_span(sample, max(end_s, start_s + MIN_SPAN_S), window.earliest_s)]

    def _likely_end_s(
        self, sample: CounterSample, window: Window, moved: int, period: RefreshPeriod, *, unsure: bool
    ) -> float:
        """Return the time in `window` at which the traffic is as steady as the readings allow.

        `unsure` says that the window may contain two refreshes.
        """
        likely = Window(max(window.earliest_s, sample.time_s - period.typical_s), window.latest_s)
        end_s = self._base_s + self._steady_rate.seconds(moved, likely, self._base_s)
        earliest_s = window.earliest_s
        if unsure:
            steady_s = self._base_s - self._steady_rate.start_s(period.typical_s)
            if steady_s < MIN_STEADY_SPANS * max(period.typical_s, sample.interval_s):
                # After an end that is a whole refresh too early, a rate of 0 could be false.
                earliest_s = window.latest_s - period.typical_s / 2
        return min(max(end_s, earliest_s), window.latest_s)

    def _may_be_held(self, sample: CounterSample, period: RefreshPeriod) -> bool:
        """Return whether the span is short enough to stay open."""
        longest_s = max(period.longest_s, sample.interval_s)
        return sample.time_s - self._base_s < MAX_HELD_REFRESHES * longest_s

    def _next_reading_decides(self, sample: CounterSample) -> bool:
        """Return whether the next reading will show which of two refreshes a change came from."""
        predictor = self._predictor
        assert predictor is not None
        period = predictor.period
        # At longer intervals an end of the traffic would be noticed too late.
        if not predictor.regular or sample.interval_s > STANDSTILL_REFRESHES * period.typical_s:
            return False
        if not self._may_be_held(sample, period):
            return False
        following = predictor.last_refresh_before(sample.time_s + sample.interval_s)
        return following.length_s <= period.typical_s / 2

    def _change_since(self, base: CounterSample, sample: CounterSample) -> tuple[int, float, bool]:
        """Return the bytes counted since `base`, the shortest time that takes, and whether they are unknown.

        They are unknown if a counter was reset, or was read only once of the two times.
        """
        if base.complete and sample.complete:
            changes = list(map(sub, sample.values, base.values))
            if min(changes) >= 0:
                return sum(changes), max(map(truediv, changes, sample.limits)), False
        total, least_s, unknown = 0, 0.0, False
        for before, after, limit in zip(base.values, sample.values, sample.limits, strict=True):
            if isinstance(before, Missing) or isinstance(after, Missing):
                unknown = unknown or type(before) is not type(after)
            elif before != after:
                change: Maybe[int] = after - before
                if after < before:
                    most = limit * MAX_PLAUSIBLE_SHARE * (sample.time_s - self._base_s + TIMING_SLACK_S)
                    change = bytes_moved(before, after, counting_unit((before, after)), most)
                if isinstance(change, Missing):
                    unknown = True
                else:
                    total += change
                    least_s = max(least_s, change / limit)
        return total, least_s, unknown

    def _close_span(self, sample: CounterSample, end_s: float, earliest_s: float = math.inf) -> RateSpan:
        """Close the open span at `end_s` with the values of a reading."""
        base, start_s = self._base, self._base_s
        assert base is not None
        if self._always_fresh() and start_s == base.time_s:
            seconds, least_s = elapsed_by_counter(base, sample)
        else:
            least_s = end_s - start_s
            seconds = [least_s]
        rates, implausible = rates_between(base, sample, seconds, least_s, self._least_limit)
        earliest_s = earliest_s if earliest_s < end_s else end_s
        self._earliest_s = earliest_s if earliest_s > start_s else start_s
        self._base, self._base_s = sample, end_s
        return RateSpan(start_s, end_s, rates, implausible)
