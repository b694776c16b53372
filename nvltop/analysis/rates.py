"""Two cumulative counts make a rate, and only where they can be trusted to.

Pure. Wraps, resets, gaps and drivers that move their counters only every so often are told apart
here; a rate is never negative, and its integral is what the counters moved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import sub, truediv
from types import MappingProxyType
from typing import Final, NamedTuple

from nvltop.model import Maybe, Missing, known

FIRST: Final = Missing("needs a second reading")
RESET: Final = Missing("the counter was reset")
GAP: Final = Missing("no reading for too long before this one")
IMPLAUSIBLE: Final = Missing("implausible rate: more than the link can carry")

KIB: Final = 1024
PLAUSIBLE: Final = 1.10
"""Share of the speed above which a rate is a fault of the counter, not traffic."""
SHORT_S: Final = 0.05
"""Reading takes time; over short spans a burst of the jitter may look like more than the speed."""

MIN_WRAP_BITS: Final = 32
STAMP_SLACK_S: Final = 0.05
STAMP_SLACK: Final = 0.05
LEARN_S: Final = 0.95
"""Until the driver's refresh is known, counters may stand still for so long without meaning 0."""
LEARN_STEPS: Final = 12
MAX_STEP: Final = 10
"""Waits of more polls than this are pauses of the traffic, no refreshes."""
EVEN: Final = 1.7
OPEN_S: Final = 2.5
"""No span stays open for longer, unless the driver's refresh is slower still."""
GAP_INTERVALS: Final = 3.0
GAP_S: Final = 5.0


def gap_s(interval_s: float) -> float:
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


def moved(before: int, after: int, unit: int, limit: float) -> Maybe[int]:
    """Return by how many bytes a counter moved.

    A decrease is a wrap if the count before stood below a power of two (of 32 bits or more, in the
    counter's `unit`) and wrapping explains no more than `limit` bytes; else the counter was reset.
    """
    if after >= before:
        return after - before
    wrap = unit << max(MIN_WRAP_BITS, (before // unit).bit_length())
    wrapped = after + wrap - before
    return wrapped if wrapped <= limit else RESET


class Span(NamedTuple):
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
    whole: bool = field(init=False)
    """Whether every counter could be read."""

    def __post_init__(self) -> None:
        self.whole = set(map(type, self.values)) == {int}


@dataclass(slots=True)
class Meter:
    """Rates of a GPU's counters, which the driver refreshes together.

    Some drivers move the counters only every so often. A poll that finds none of them moved then
    says nothing: the span stays open until they move, so that the rate is neither 0 nor a multiple
    of the truth. Whether a driver does so is learnt from the polls between one move and the next.
    """

    unit: int | None = None
    """Bytes that the counters count in; where it is not told, it is seen from their values."""
    _base: _Sample | None = field(default=None, init=False)
    """Where the open span began."""
    _last: _Sample | None = field(default=None, init=False)
    _steps: deque[int] = field(default_factory=lambda: deque(maxlen=LEARN_STEPS), init=False)
    """Polls from each move to the next."""
    _polls: int = field(default=0, init=False)
    """Polls since the last move, or since the span was opened without one."""
    _open_polls: int = field(default=0, init=False)

    def update(
        self,
        time_s: float,
        values: Sequence[Maybe[int]],
        stamps_us: Sequence[int],
        limits: Sequence[float],
        interval_s: float,
    ) -> Span | None:
        """Take a reading; the span that it closes, or None while the driver has not moved the counters.

        `limits` are the bytes/s that each counter may at most show. `stamps_us` is empty, one for
        all, or one per counter.
        """
        sample = _Sample(time_s, tuple(values), tuple(stamps_us))
        base, last = self._base, self._last
        if base is None or last is None or len(base.values) != len(values) or time_s <= last.time_s:
            self._open(sample)
            return Span(time_s, time_s, (FIRST,) * len(values))
        if time_s - last.time_s > gap_s(interval_s):
            self._open(sample)
            return Span(last.time_s, time_s, (GAP,) * len(values))
        self._last = sample
        self._polls += 1
        self._open_polls += 1
        has_moved = last.values != sample.values
        late = has_moved and self._open_polls > 1 and self._step() is None
        if self._keep_open(base, sample, interval_s, has_moved):
            return None
        if late:
            # The first refresh seen of a driver that is slower than we are: how much of it lies
            # before the first reading cannot be told.
            self._open(sample)
            return Span(time_s, time_s, (FIRST,) * len(values))
        self._open(sample)
        rates, implausible = _rates(base, sample, self.unit, limits)
        return Span(base.time_s, time_s, rates, implausible)

    def _open(self, sample: _Sample) -> None:
        self._base = self._last = sample
        self._open_polls = 0

    def _keep_open(self, base: _Sample, sample: _Sample, interval_s: float, has_moved: bool) -> bool:
        """Whether to wait for the next poll, the driver refreshing less often than we ask."""
        polls = self._polls
        if has_moved:
            self._polls = 0
            if polls <= MAX_STEP:
                self._steps.append(polls)
        longest = self._step()
        if longest is None:
            waiting = not has_moved and sample.time_s - base.time_s < LEARN_S
        elif longest == 1:
            waiting = False
        else:
            # A span that ends at the longest wait holds a whole number of refreshes; one that ends
            # at a shorter wait is up to a poll off.
            open_s = max(OPEN_S, 2 * longest * interval_s)
            early = min(polls, self._open_polls) < longest and sample.time_s - base.time_s < open_s
            waiting = early if has_moved else polls <= longest
        return waiting

    def _step(self) -> int | None:
        """Return the longest refresh of the driver in polls, 1 if it keeps up; None if not known yet."""
        if len(self._steps) < LEARN_STEPS // 3:
            return None
        longest, shortest = max(self._steps), min(self._steps)
        # Refreshes come evenly. Waits of very different length are traffic that pauses.
        even = longest - shortest <= 1 or longest <= EVEN * shortest
        return longest if even else 1


def _rates(
    base: _Sample, sample: _Sample, unit: int | None, limits: Sequence[float]
) -> tuple[tuple[Maybe[float], ...], dict[int, float]]:
    """Return the rate of each counter, and what those claim that their link cannot carry."""
    times = _times(base, sample)
    if base.whole and sample.whole:
        changes = list(map(sub, sample.values, base.values))
        if min(changes) >= 0 and max(changes) <= min(limits) * PLAUSIBLE * (min(times) + SHORT_S):
            # As nearly always, nothing stands out, and the rates are a division of columns.
            return tuple(map(truediv, changes, times)), {}
    rates: list[Maybe[float]] = []
    implausible = {}
    for i, (before, after, seconds) in enumerate(zip(base.values, sample.values, times, strict=True)):
        if isinstance(after, Missing):
            rates.append(after)
            continue
        if isinstance(before, Missing):
            rates.append(FIRST)
            continue
        most = limits[i] * PLAUSIBLE * (seconds + SHORT_S)
        if after >= before:
            change: Maybe[int] = after - before
        else:
            change = moved(before, after, unit or unit_of(base.values + sample.values), most)
        if isinstance(change, Missing):
            rates.append(change)
        elif change <= most:
            rates.append(change / seconds)
        else:
            implausible[i] = change / seconds
            rates.append(IMPLAUSIBLE)
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
