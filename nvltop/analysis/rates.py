"""Rates of cumulative counters.

Pure. Wraps, resets, gaps and counters that the driver refreshes only now and then are told apart here.
A rate is never negative, and its integral over time is what the counter moved.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import sub, truediv
from types import MappingProxyType
from typing import Final, NamedTuple

from nvltop.analysis.refresh import (
    ALWAYS_FRESH,
    LONGEST_REFRESH_S,
    STANDSTILL,
    RefreshEstimator,
    RefreshPeriod,
    RefreshPredictor,
    SteadyRate,
    Window,
)
from nvltop.model import Maybe, Missing, known

NO_SECOND_READING: Final = Missing("needs a second reading")
LEARNING_REFRESH: Final = Missing("learning the driver's refresh")
COUNTER_RESET: Final = Missing("the counter was reset")
READING_GAP: Final = Missing("no reading for too long before this one")
IMPLAUSIBLE_RATE: Final = Missing("implausible rate: more than the link can carry")

KIB: Final = 1024
MAX_PLAUSIBLE_SHARE: Final = 1.10
"""Share of the speed above which a rate is a fault of the counter, not traffic."""
TIMING_SLACK_S: Final = 0.05
"""Reading takes time; over short spans a burst of the jitter may look like more than the speed."""

MIN_WRAP_BITS: Final = 32
STAMP_SLACK_S: Final = 0.05
STAMP_SLACK: Final = 0.05
FULL_SPEED: Final = 1.005
"""Share of the speed that a span may show before it is held open; the rest is for rounding."""
LEAST_SPAN_S: Final = 0.01
"""Shorter spans are left open: their length is not known well enough."""
HELD: Final = 3.0
"""A span that more was moved in than its links can carry is held open for this many refreshes (or
intervals, if those are longer) at most."""
MAX_WAITING: Final = 64
"""Readings kept while the driver's refresh is being learned."""
GAP_INTERVALS: Final = 3.0
GAP_S: Final = 5.0


def max_gap_s(interval_s: float) -> float:
    """Return the time between two readings from which they make no rate."""
    return max(GAP_INTERVALS * interval_s, GAP_S)


def elapsed_s(monotonic_s: float, stamps_us: float) -> float:
    """Return NVML's own time difference if it agrees with ours within 50 ms or 5 %, else ours."""
    return stamps_us / 1e6 if _agree(monotonic_s, stamps_us) else monotonic_s


def _agree(monotonic_s: float, stamps_us: float) -> bool:
    stamps_s = stamps_us / 1e6
    return stamps_s > 0 and abs(stamps_s - monotonic_s) <= max(STAMP_SLACK_S, STAMP_SLACK * monotonic_s)


def unit_of(counts: Sequence[Maybe[int]]) -> int:
    """Return the bytes that counters count in: KiB if all stand at whole ones, else single bytes."""
    return KIB if all(count % KIB == 0 for count in counts if known(count)) else 1


def bytes_moved(before: int, after: int, unit: int, limit: float) -> Maybe[int]:
    """Return by how many bytes a counter moved.

    A decrease is a wrap if the count before stood below a power of two (of 32 bits or more, in the
    counter's `unit`) and wrapping explains no more than `limit` bytes; else the counter was reset.
    """
    if after >= before:
        return after - before
    wrap = unit << max(MIN_WRAP_BITS, (before // unit).bit_length())
    wrapped = after + wrap - before
    return wrapped if wrapped <= limit else COUNTER_RESET


class RateSpan(NamedTuple):
    """What the counters of one GPU moved between two readings."""

    start_s: float
    end_s: float
    rates: tuple[Maybe[float], ...]
    """Bytes/s of each counter over the span."""
    implausible: Mapping[int, float] = MappingProxyType({})
    """What the counters claim that moved more than their link can carry, by position."""


@dataclass(slots=True)
class _Sample:
    time_s: float
    values: tuple[Maybe[int], ...]
    stamps_us: tuple[int, ...]
    limits: Sequence[float] = ()
    """Most bytes/s of each counter."""
    interval_s: float = 0.0
    whole: bool = field(init=False)
    """Whether every counter could be read."""

    def __post_init__(self) -> None:
        self.whole = set(map(type, self.values)) == {int}

    def moved_since(self, before: _Sample) -> bool:
        """Whether a counter that could be read both times has another value."""
        if self.whole and before.whole:
            return self.values != before.values
        both = zip(before.values, self.values, strict=True)
        return any(a != b for a, b in both if isinstance(a, int) and isinstance(b, int))

    def fell_since(self, before: _Sample) -> bool:
        """Whether a counter that could be read both times has a lower value, by a reset or a wrap."""
        if self.whole and before.whole:
            return bool(min(map(sub, self.values, before.values)) < 0)
        both = zip(before.values, self.values, strict=True)
        return any(b < a for a, b in both if isinstance(a, int) and isinstance(b, int))


@dataclass(slots=True)
class RateTracker:
    """Rates of a GPU's counters, which the driver refreshes together.

    A reading shows the counters as of the driver's last refresh. A span therefore ends at a refresh, not
    at a reading: its end lies in the window that `RefreshClock` gives, at the place where the traffic
    goes on as steadily as the readings allow. A counter that stands still within one refresh keeps the
    span open; one that stands still for longer closes it with a rate of 0.
    """

    unit: int | None = None
    """Bytes that the counters count in; if None, it is seen from their values."""
    period: RefreshPeriod | None = field(default=None, init=False)
    """Of the driver's refresh; None until it is known."""
    _clock: RefreshPredictor | None = field(default=None, init=False)
    _polls: RefreshEstimator = field(default_factory=RefreshEstimator, init=False)
    _steady: SteadyRate = field(default_factory=SteadyRate, init=False)
    _base: _Sample | None = field(default=None, init=False)
    """Holds the counters at the end of the last closed span."""
    _base_s: float = field(default=0.0, init=False)
    """End of that span, CLOCK_MONOTONIC."""
    _earliest_s: float = field(default=0.0, init=False)
    """Earliest moment at which it may have ended."""
    _last: _Sample | None = field(default=None, init=False)
    _moved_s: float = field(default=0.0, init=False)
    """Time of the first reading since which nothing has moved."""
    _waiting: deque[_Sample] = field(default_factory=lambda: deque(maxlen=MAX_WAITING), init=False)
    """Readings since the first one, while the period is not known."""

    @classmethod
    def current(cls, unit: int | None = None) -> RateTracker:
        """Return a meter for counters that are as new as each reading of them."""
        meter = cls(unit)
        meter.learn(ALWAYS_FRESH)
        return meter

    def update(
        self,
        time_s: float,
        values: Sequence[Maybe[int]],
        stamps_us: Sequence[int],
        limits: Sequence[float],
        interval_s: float,
    ) -> list[RateSpan]:
        """Take a reading; return the spans that it closes, oldest first.

        `limits` are the bytes/s that each counter may show at most. `stamps_us` is empty, one for all, or
        one per counter. A span whose rates are all missing says why there are none.
        """
        sample = _Sample(time_s, tuple(values), tuple(stamps_us), limits, interval_s)
        last = self._last
        if last is None or len(last.values) != len(values) or time_s <= last.time_s:
            self._start(sample)
            return [
                self._no_rates(sample, time_s, LEARNING_REFRESH if self.period is None else NO_SECOND_READING)
            ]
        if time_s - last.time_s > max_gap_s(interval_s):
            began_s = self._base_s
            self._start(sample)
            return [self._no_rates(sample, min(max(began_s, last.time_s), time_s), READING_GAP)]
        self._last = sample
        moved = sample.moved_since(last)
        if moved:
            self._moved_s = time_s
        if moved and sample.fell_since(last):
            self._polls.forget()  # a reset may come at any time
        else:
            self._polls.add(time_s, moved)
        if self.period is None:
            if not any(isinstance(value, int) for value in sample.values):
                self._start(sample)
                return [self._no_rates(sample, last.time_s, LEARNING_REFRESH)]
            self._waiting.append(sample)
            estimate = self._polls.period(interval_s)
            return self._learn(estimate) if estimate else self._stand(sample)
        if moved and self._polls.refutes(self.period):
            self.period = self._polls.period(interval_s) or ALWAYS_FRESH
            self._clock = RefreshPredictor(self.period)
        return self._close(last, sample)

    def learn(self, period: RefreshPeriod) -> list[RateSpan]:
        """Take the measured period of the driver's refresh; return the spans that this closes."""
        if self._base and self._clock is None and self._base_s == self._base.time_s:
            self._begin_late(period)
        return _joined(self._learn(period))

    def _learn(self, period: RefreshPeriod) -> list[RateSpan]:
        self.period = period
        if self._clock:
            self._clock.set(period)
            return []
        self._clock = clock = RefreshPredictor(period)
        waiting, base = list(self._waiting), self._base
        self._waiting.clear()
        if base is None:
            return []
        for before, after in pairwise([base, *waiting]):
            if after.moved_since(before):
                clock.add(before.time_s, after.time_s)
        if self._base_s == base.time_s:
            # The first reading was of the refresh before it.
            window = clock.last_before(base.time_s)
            earliest_s = max(window.earliest_s, base.time_s - period.typical_s)
            self._set_base(Window(earliest_s, max(earliest_s, window.latest_s)))
        spans = []
        self._last = base
        for before, after in pairwise([base, *waiting]):
            self._last = after
            spans += self._close(before, after)
        return spans

    def _begin_late(self, period: RefreshPeriod) -> None:
        """Begin with the first refresh that was seen, where that of the first reading is not known."""
        readings = [*filter(None, [self._base]), *self._waiting]
        moves = [(a, b) for a, b in pairwise(readings) if b.moved_since(a)]
        if period.regular or len(moves) < 2 or period.typical_s <= moves[0][1].interval_s:
            return
        before, first = moves[0]
        while self._waiting and self._waiting[0].time_s <= first.time_s:
            self._waiting.popleft()
        self._base = first
        self._set_base(Window(before.time_s, first.time_s))

    def _start(self, sample: _Sample) -> None:
        self._base = self._last = sample
        self._moved_s = sample.time_s
        self._waiting.clear()
        self._polls.forget()
        window = Window(sample.time_s, sample.time_s)
        if self._clock and not self._current():
            window = self._clock.last_before(sample.time_s)
        self._set_base(window)

    def _set_base(self, window: Window) -> None:
        """Begin a span at a refresh in that window."""
        self._base_s = (window.earliest_s + window.latest_s) / 2
        self._earliest_s = window.earliest_s
        self._steady.restart(window)

    @staticmethod
    def _no_rates(sample: _Sample, start_s: float, why: Missing) -> RateSpan:
        """Return a span without rates: why each counter could not be read, or why there is no rate yet."""
        rates = tuple(value if isinstance(value, Missing) else why for value in sample.values)
        return RateSpan(start_s, sample.time_s, rates)

    def _current(self) -> bool:
        """Whether the values of a reading are as new as the reading."""
        return self.period is not None and not self.period.longest_s

    def _stand(self, sample: _Sample) -> list[RateSpan]:
        """Return a span without traffic while the period is not known, if it is longer than any refresh."""
        until_s = sample.time_s - LONGEST_REFRESH_S
        if sample.time_s - self._moved_s <= STANDSTILL * LONGEST_REFRESH_S or until_s <= self._base_s:
            return []
        if self._base is None or self._base.values != sample.values:
            return []
        self._waiting.clear()
        return [self._span(sample, until_s)]

    def _close(self, last: _Sample, sample: _Sample) -> list[RateSpan]:
        """Return the span that a reading closes, if it does."""
        base, clock, period = self._base, self._clock, self.period
        assert base is not None
        assert clock is not None
        assert period is not None
        if self._current():
            return [self._span(sample, sample.time_s)]
        moved = sample.moved_since(last)
        total, least_s, broken = self._move(base, sample)
        if moved and not broken:
            # A reset may come at any time: it shows no refresh.
            clock.add(last.time_s, sample.time_s)
        window = clock.last_before(sample.time_s)
        if moved and not broken:
            window = Window(max(window.earliest_s, min(last.time_s, window.latest_s)), window.latest_s)
        if not broken:
            self._steady.narrow(window, total)
        if not total and not broken:
            still_s = sample.time_s - self._base_s
            if still_s <= STANDSTILL * period.typical_s or window.earliest_s - self._base_s < LEAST_SPAN_S:
                return []
            self._steady.restart(window)
            return [self._span(sample, window.earliest_s)]
        if broken:
            # A counter was reset, or is read again: what was moved before that is not known.
            self._steady.restart(window)
            earliest_s, refreshed_s = max(window.earliest_s, self._base_s), max(window.latest_s, self._base_s)
            span = self._span(sample, max(refreshed_s, self._base_s + LEAST_SPAN_S))
            self._base_s, self._earliest_s = refreshed_s, min(earliest_s, refreshed_s)
            return [span]
        if not moved and sample.time_s - self._moved_s <= STANDSTILL * period.typical_s:
            # What was held open is closed with the next move, or once it is clear that none comes.
            return []
        likely = Window(max(window.earliest_s, sample.time_s - period.typical_s), window.latest_s)
        end_s = self._base_s + self._steady.seconds(total, likely, self._base_s)
        end_s = min(max(end_s, window.earliest_s), window.latest_s)
        # More than the links carry in that time: the span ends later, or the one before ended earlier.
        end_s = min(max(end_s, self._base_s + max(least_s, LEAST_SPAN_S)), sample.time_s)
        start_s = max(min(self._base_s, end_s - least_s), self._earliest_s)
        too_short = least_s > FULL_SPEED * (end_s - start_s) or end_s - start_s < LEAST_SPAN_S
        if too_short and sample.time_s - self._base_s < HELD * max(period.longest_s, sample.interval_s):
            return []
        self._base_s = start_s
        self._steady.close(total)
        return [self._span(sample, max(end_s, start_s + LEAST_SPAN_S), window.earliest_s)]

    def _move(self, base: _Sample, sample: _Sample) -> tuple[int, float, bool]:
        """Return the bytes that all counters moved since the base, and the least seconds that takes.

        Also return whether any of them was reset, or could be read only one time of the two.
        """
        total, least_s, broken = 0, 0.0, False
        for before, after, limit in zip(base.values, sample.values, sample.limits, strict=True):
            if isinstance(before, Missing) or isinstance(after, Missing):
                broken = broken or type(before) is not type(after)
            elif before != after:
                change: Maybe[int] = after - before
                if after < before:
                    most = limit * MAX_PLAUSIBLE_SHARE * (sample.time_s - self._base_s + TIMING_SLACK_S)
                    change = bytes_moved(before, after, self.unit or unit_of((before, after)), most)
                if isinstance(change, Missing):
                    broken = True
                else:
                    total += change
                    least_s = max(least_s, change / limit)
        return total, least_s, broken

    def _span(self, sample: _Sample, end_s: float, earliest_s: float = math.inf) -> RateSpan:
        """Close the open span with the values of a reading, at a moment that may have been earlier."""
        base, start_s = self._base, self._base_s
        assert base is not None
        if self._current() and start_s == base.time_s:
            seconds = _times(base, sample)
        else:
            seconds = [end_s - start_s] * len(sample.values)
        rates, implausible = _rates(base, sample, seconds, self.unit)
        self._base, self._base_s, self._earliest_s = sample, end_s, max(start_s, min(earliest_s, end_s))
        return RateSpan(start_s, end_s, rates, implausible)


def _joined(spans: list[RateSpan]) -> list[RateSpan]:
    """Join spans that end at one reading, except those without traffic at the start.

    Who takes only the newest span of each reading, as JSON does, then misses no byte.
    """
    first = next((i for i, span in enumerate(spans) if any(known(r) and r for r in span.rates)), len(spans))
    rest = spans[first:]
    if len(rest) < 2 or rest[-1].implausible:
        return spans
    start_s, end_s = rest[0].start_s, rest[-1].end_s
    rates: list[Maybe[float]] = []
    for column in zip(*(span.rates for span in rest), strict=True):
        missing = next((rate for rate in reversed(column) if isinstance(rate, Missing)), None)
        moved_bytes = sum(
            rate * (span.end_s - span.start_s)
            for rate, span in zip(column, rest, strict=True)
            if not isinstance(rate, Missing)
        )
        rates.append(missing or moved_bytes / (end_s - start_s))
    return [*spans[:first], RateSpan(start_s, end_s, tuple(rates))]


def _rates(
    base: _Sample, sample: _Sample, times: Sequence[float], unit: int | None
) -> tuple[tuple[Maybe[float], ...], dict[int, float]]:
    """Return the rate of each counter, and what those claim that their link cannot carry."""
    limits = sample.limits
    if base.whole and sample.whole:
        changes = list(map(sub, sample.values, base.values))
        if min(changes) >= 0 and max(changes) <= min(limits) * MAX_PLAUSIBLE_SHARE * (
            min(times) + TIMING_SLACK_S
        ):
            # As nearly always, nothing stands out, and the rates are a division of columns.
            return tuple(map(truediv, changes, times)), {}
    rates: list[Maybe[float]] = []
    implausible = {}
    for i, (before, after, seconds) in enumerate(zip(base.values, sample.values, times, strict=True)):
        if isinstance(after, Missing):
            rates.append(after)
            continue
        if isinstance(before, Missing):
            rates.append(NO_SECOND_READING)
            continue
        most = limits[i] * MAX_PLAUSIBLE_SHARE * (seconds + TIMING_SLACK_S)
        if after >= before:
            change: Maybe[int] = after - before
        else:
            change = bytes_moved(before, after, unit or unit_of(base.values + sample.values), most)
        if isinstance(change, Missing):
            rates.append(change)
        elif change <= most:
            rates.append(change / seconds)
        else:
            implausible[i] = change / seconds
            rates.append(IMPLAUSIBLE_RATE)
    return tuple(rates), implausible


def _times(base: _Sample, sample: _Sample) -> list[float]:
    """Return the seconds between two readings of each counter."""
    span_s = sample.time_s - base.time_s
    count = len(sample.values)
    if not base.stamps_us or not sample.stamps_us:
        return [span_s] * count
    if not len(base.stamps_us) == len(sample.stamps_us) == count:
        return [elapsed_s(span_s, sample.stamps_us[0] - base.stamps_us[0])] * count
    each_us = list(map(sub, sample.stamps_us, base.stamps_us))
    if _agree(span_s, min(each_us)) and _agree(span_s, max(each_us)):
        return [us / 1e6 for us in each_us]
    return [elapsed_s(span_s, us) for us in each_us]
