"""Arithmetic of cumulative counters: from two samples to the rates between them.

Pure. Counter wraps, resets and implausible values are handled here; `rate_tracker.py` decides which two
samples belong together. A rate is never negative, and its integral over time is the number of bytes that
the counter counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from itertools import repeat
from operator import sub, truediv
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from nvltop.frozen import mutable
from nvltop.model import Maybe, Missing, known

NO_SECOND_READING: Final = Missing("needs a second reading")
LEARNING_REFRESH: Final = Missing("learning the driver's refresh")
COUNTER_RESET: Final = Missing("the counter was reset")
READING_GAP: Final = Missing("no reading for too long before this one")
IMPLAUSIBLE_RATE: Final = Missing("implausible rate: more than the link can carry")

KIB: Final = 1024
MAX_PLAUSIBLE_SHARE: Final = 1.10
"""Share of the link's speed above which a rate is a counter fault, not traffic."""
TIMING_SLACK_S: Final = 0.05
"""Seconds added to a span before its rate is checked against the speed: the jitter of a reading could
otherwise make the rate of a short span implausible."""

MIN_WRAP_BITS: Final = 32
"""Smallest width of a counter that may wrap, in bits."""
STAMP_SLACK_S: Final = 0.05
"""Difference between NVML's and our own time below which NVML's time stamps are used, seconds."""
STAMP_SLACK_SHARE: Final = 0.05
"""Same limit for long spans, as a share of the span; the larger of the two applies."""
MAX_GAP_INTERVALS: Final = 3.0
"""Intervals without a reading after which no rate is computed across the gap."""
MIN_GAP_S: Final = 5.0
"""Seconds without a reading that are never a gap, however short the interval is."""


def max_gap_s(interval_s: float) -> float:
    """Return the longest time between two readings over which a rate is computed, in seconds."""
    gap_s = MAX_GAP_INTERVALS * interval_s
    return gap_s if gap_s > MIN_GAP_S else MIN_GAP_S


def elapsed_s(monotonic_s: float, stamps_us: float) -> float:
    """Return NVML's time difference, or `monotonic_s` if they differ by more than 50 ms and 5 %."""
    return stamps_us / 1e6 if _agree(monotonic_s, stamps_us) else monotonic_s


def _agree(monotonic_s: float, stamps_us: float) -> bool:
    stamps_s, slack_s = stamps_us / 1e6, STAMP_SLACK_SHARE * monotonic_s
    slack_s = slack_s if slack_s > STAMP_SLACK_S else STAMP_SLACK_S
    return stamps_s > 0 and abs(stamps_s - monotonic_s) <= slack_s


def counting_unit(counts: Sequence[Maybe[int]]) -> int:
    """Return the unit of the counters in bytes: 1024 if all values are multiples of it, else 1."""
    return KIB if all(count % KIB == 0 for count in counts if known(count)) else 1


def bytes_moved(before: int, after: int, unit: int, limit: float) -> Maybe[int]:
    """Return the number of bytes counted between two values of a counter.

    A decrease is a wrap at the next power of two above `before` (at least 32 bits, in the counter's
    `unit`) if that explains at most `limit` bytes. Otherwise the counter was reset.
    """
    if after >= before:
        return after - before
    wrap = unit << max(MIN_WRAP_BITS, (before // unit).bit_length())
    wrapped = after + wrap - before
    return wrapped if wrapped <= limit else COUNTER_RESET


NONE_IMPLAUSIBLE: Final[Mapping[int, float]] = MappingProxyType({})


class RateSpan(NamedTuple):
    """The rates of a GPU's counters over one stretch of time."""

    start_s: float
    end_s: float
    rates: tuple[Maybe[float], ...]
    """Bytes/s of each counter over the span."""
    implausible: Mapping[int, float] = NONE_IMPLAUSIBLE
    """Bytes/s of the counters that exceed what their link can carry, by position."""


@mutable
class CounterSample:
    """The values of a GPU's counters at one reading."""

    time_s: float
    """Time of the reading, CLOCK_MONOTONIC."""
    values: tuple[Maybe[int], ...]
    """Bytes counted by each counter so far."""
    stamps_us: tuple[int, ...]
    """NVML's time stamps: none, one for all counters, or one per counter."""
    limits: Sequence[float] = ()
    """Highest plausible bytes/s of each counter."""
    interval_s: float = 0.0
    """Requested time between two readings."""
    _complete: bool | None = field(default=None, init=False)

    @property
    def complete(self) -> bool:
        """Whether every counter could be read."""
        if self._complete is None:
            self._complete = set(map(type, self.values)) == {int}
        return self._complete

    def moved_since(self, before: CounterSample) -> bool:
        """Return whether any counter that was read both times has changed."""
        if self.complete and before.complete:
            return self.values != before.values
        both = zip(before.values, self.values, strict=True)
        return any(a != b for a, b in both if isinstance(a, int) and isinstance(b, int))

    def fell_since(self, before: CounterSample) -> bool:
        """Return whether any counter that was read both times has decreased, by a reset or a wrap."""
        if self.complete and before.complete:
            return bool(min(map(sub, self.values, before.values)) < 0)
        both = zip(before.values, self.values, strict=True)
        return any(b < a for a, b in both if isinstance(a, int) and isinstance(b, int))


def packed_rates(rates: Sequence[Maybe[float]]) -> Sequence[Maybe[float]]:
    """Return rates in a third of the memory, or as they are if one is missing."""
    try:
        return array("d", cast(Sequence[float], rates))
    except TypeError:
        return rates


def join_spans(spans: list[RateSpan]) -> list[RateSpan]:
    """Merge the spans of one reading into one, except leading spans without traffic.

    A consumer that uses only the newest span of each reading, such as the JSON output, then counts every
    byte.
    """
    first = next((i for i, span in enumerate(spans) if any(known(r) and r for r in span.rates)), len(spans))
    rest = spans[first:]
    if len(rest) < 2 or rest[-1].implausible:
        return spans
    start_s, end_s = rest[0].start_s, rest[-1].end_s
    rates: list[Maybe[float]] = []
    for column in zip(*(span.rates for span in rest), strict=True):
        missing = next((rate for rate in reversed(column) if isinstance(rate, Missing)), None)
        total = sum(
            rate * (span.end_s - span.start_s)
            for rate, span in zip(column, rest, strict=True)
            if not isinstance(rate, Missing)
        )
        rates.append(missing or total / (end_s - start_s))
    return [*spans[:first], RateSpan(start_s, end_s, tuple(rates))]


def rates_between(
    base: CounterSample, sample: CounterSample, times: Sequence[float], least_s: float, least_limit: float
) -> tuple[tuple[Maybe[float], ...], Mapping[int, float]]:
    """Return the rate of each counter, and the implausible rates by position.

    `times` are the seconds between the samples: for each counter, or one for all; `least_s` is the lowest of
    them, and `least_limit` the lowest of the limits of `sample`.
    """
    limits = sample.limits
    try:
        changes = list(map(sub, sample.values, base.values))
    except TypeError:  # `Missing` cannot be subtracted
        changes = [-1]
    if not any(changes):
        return _no_traffic(len(changes)), NONE_IMPLAUSIBLE
    most = least_limit * MAX_PLAUSIBLE_SHARE * (least_s + TIMING_SLACK_S)
    if min(changes) >= 0 and max(changes) <= most:
        # The usual case: every counter was read and plausible, so whole columns are divided at once.
        each = times if len(times) > 1 else repeat(times[0])
        return tuple(map(truediv, changes, each)), NONE_IMPLAUSIBLE
    rates: list[Maybe[float]] = []
    implausible = {}
    times = times if len(times) > 1 else [times[0]] * len(sample.values)
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
            change = bytes_moved(before, after, counting_unit(base.values + sample.values), most)
        if isinstance(change, Missing):
            rates.append(change)
        elif change <= most:
            rates.append(change / seconds)
        else:
            implausible[i] = change / seconds
            rates.append(IMPLAUSIBLE_RATE)
    if COUNTER_RESET in rates:
        # Others that fell at the same time were reset as well, even if a wrap could explain them.
        both = zip(rates, base.values, sample.values, strict=True)
        rates = [COUNTER_RESET if _fell(before, after) else rate for rate, before, after in both]
    return tuple(rates), implausible


def _fell(before: Maybe[int], after: Maybe[int]) -> bool:
    return known(before) and known(after) and after < before


@cache
def _no_traffic(count: int) -> tuple[float, ...]:
    """Return a rate of 0 for each of `count` counters, the same object each time."""
    return (0.0,) * count


def elapsed_by_counter(base: CounterSample, sample: CounterSample) -> tuple[list[float], float]:
    """Return the seconds between two samples, by counter or one for all, and the lowest of them.

    They are from NVML if usable.
    """
    span_s = sample.time_s - base.time_s
    if not base.stamps_us or not sample.stamps_us:
        return [span_s], span_s
    if not len(base.stamps_us) == len(sample.stamps_us) == len(sample.values):
        one_s = elapsed_s(span_s, sample.stamps_us[0] - base.stamps_us[0])
        return [one_s], one_s
    each_us = list(map(sub, sample.stamps_us, base.stamps_us))
    least_us = min(each_us)
    if _agree(span_s, least_us) and _agree(span_s, max(each_us)):
        return [us / 1e6 for us in each_us], least_us / 1e6
    each_s = [elapsed_s(span_s, us) for us in each_us]
    return each_s, min(each_s)
