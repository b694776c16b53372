"""The period of a job's traffic: how long one step takes, found from the rates alone.

Pure. Where bursts can be distinguished, how they follow each other says it; where the traffic never
pauses, its autocorrelation does: that has a peak at the period and at its multiples, lower ones at
parts of it that merely resemble each other (the small bursts of gradient accumulation). The answer is
the smallest lag that explains as much as any other, and there is none where two fit about as well:
a wrong step time is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from statistics import median
from typing import Final

from nvltop.analysis.activity.bursts import (
    AMBIGUOUS,
    PAUSE,
    PERIODS,
    RARE,
    BurstPattern,
    burst_level,
    find_bursts,
    find_pattern,
    ranges_above,
)
from nvltop.model import Maybe, Missing, known

MIN_CELLS: Final = 4.0
"""A period of fewer readings cannot be distinguished from the images that sampling makes of faster ones."""
MAX_S: Final = 60.0
ALIKE: Final = 0.5
"""Correlation from which traffic counts as repeating itself."""
AGAIN: Final = 0.3
"""And at twice the period, where two jittering steps lie in between."""
CLEAR: Final = 0.3
"""How far a peak must stand out of the valleys beside it."""
EQUAL: Final = 0.045
"""A lag whose peak is lower than the best by less explains as much."""
EQUAL_COARSE: Final = 0.12
"""The same for periods of few readings, whose edges fall between them."""
IMAGES: Final = 0.1
"""More of that for traffic that is mostly fast, so that its images disturb the peaks."""
NOT_QUITE: Final = 0.02
"""Lower than the best by so much or more, it may or may not be the answer."""
FINE: Final = 8.0
"""Readings per period from which the edges no longer matter."""
FINE_PARTS: Final = 10.0
"""The same for each of several bursts in a period."""
HALFWAY: Final = 0.2
"""Correlation half a short period on, between two readings, from which it may be two periods."""
BUMP: Final = 0.02
BUMP_COARSE: Final = 0.08
"""By so much a multiple must not stand out of those beside it, or it may be the period."""
INNER: Final = 0.15
"""How much worse a part of the period that is more than one burst may fit, and still be an answer as well."""
FAST: Final = 0.12
"""Share of the variance that must be slower than two readings."""
DEPTH: Final = 0.28
"""Standard deviation over mean; a smaller ripple may be the image of bursts faster than the readings."""
CLEAR_CELLS: Final = 16.0
"""Readings per period from which images are no concern."""
FLOOR: Final = 0.2
MOSTLY: Final = 0.9
SWING: Final = 0.9
"""Nor is the image as deep as this from its highest to its lowest."""
BETTER_LATER: Final = 0.1
"""A longer period, not seen often enough yet, may be the answer if it fits better by so much."""
ALL_ALIKE: Final = 0.06
MANY_ALIKE: Final = 12
"""But not where so many bursts differ by no more: then there is nothing longer."""
PARTS: Final = 12
"""A period that holds more of what repeats by itself may be a pause that comes again."""
VERY_EVEN: Final = 0.1
"""Unevenness of bursts that need no correlation to be believed."""
READ: Final = 0.75
"""Share of the cells that must have been read."""
EDGE: Final = 0.15
"""Share of the bursts' level below which there is silence."""

FLAT: Final = Missing("the traffic hardly changes")
TOO_FAST: Final = Missing("the traffic changes faster than it is read")
TOO_SHORT: Final = Missing("not seen for long enough")
NOT_PERIODIC: Final = Missing("the traffic does not repeat itself")
GAPS: Final = Missing("too many readings are missing")


@dataclass(frozen=True, slots=True)
class PeriodEstimate:
    """A repetition."""

    period_s: float
    strength: float
    """How much one period resembles the next, 0…1."""
    periods: float
    """How many have been looked at."""


@dataclass(frozen=True, slots=True)
class _Peak:
    lag: float
    height: float


def estimate_period(channels: Sequence[Sequence[float]], cell_s: float) -> Maybe[PeriodEstimate]:
    """Find the period of some series of rates, which repeat together.

    Each holds one mean rate per `cell_s` seconds, oldest first, NaN where nothing was read; all are of
    the same length.
    """
    total = [sum(column) for column in zip(*channels, strict=True)]
    first = next((i for i, v in enumerate(total) if v == v), len(total))
    total = total[first:]
    measured = [v for v in total if v == v]
    if len(total) < PERIODS * MIN_CELLS:
        return TOO_SHORT
    if len(measured) < READ * len(total):
        return GAPS
    mean = sum(measured) / len(measured)
    spread = math.sqrt(sum((v - mean) ** 2 for v in measured) / len(measured))
    ranked = sorted(measured)
    swing = ranked[-1 - len(ranked) // 100] - ranked[len(ranked) // 100]
    if mean <= 0 or (spread < DEPTH * mean and swing < SWING * mean):
        return FLAT
    used = _rhythmic(total)
    waves = [_centred(c[first:], used) for c in channels]
    found = _by_bursts([c[first:] for c in channels], total)
    answer = _agreed(waves, found, cell_s)
    if known(answer) and _may_be_image(total, answer.period_s / cell_s):
        return TOO_FAST
    return answer


def _may_be_image(total: Sequence[float], period: float) -> bool:
    """Whether a short period may be the image of a faster one.

    Single cells stand out where a fast burst now and then misses a reading; of a fast ripple, whatever
    its image, a part remains in every reading.
    """
    if period >= CLEAR_CELLS:
        return False
    measured = sorted(v for v in total if v == v)
    low, high = measured[len(measured) // 50], measured[-1 - len(measured) // 50]
    if period < FINE and low > FLOOR * high:
        return True
    middle = (low + high) / 2
    above = ranges_above([v if v == v else -math.inf for v in total], middle)
    below = ranges_above([-v if v == v else -math.inf for v in total], -middle)
    return _single(below) or (low > FLOOR * high and _single(above))


def _single(ranges: Sequence[tuple[int, int]]) -> bool:
    return sum(b - a <= 1 for a, b in ranges) >= MOSTLY * len(ranges)


def _by_bursts(channels: Sequence[Sequence[float]], total: Sequence[float]) -> Maybe[BurstPattern]:
    holes = [i for i, v in enumerate(total) if v != v]
    held = [[v if v == v else 0.0 for v in c] for c in channels]
    return find_pattern(find_bursts(held, [v if v == v else 0.0 for v in total], holes), holes)


def _rhythmic(total: Sequence[float]) -> list[bool]:
    """Say which cells belong to the rhythm: those read, and not in a silence that is long and rare."""
    used = [v == v for v in total]
    measured = [v for v in total if v == v]
    low = sorted(measured)[len(measured) // 50]
    high = burst_level([v - low for v in measured if v > low])
    edge = low + EDGE * high
    gaps = ranges_above([-v if v == v else -math.inf for v in total], -edge)
    inner = [(a, b) for a, b in gaps if a > 0 and b < len(total)]
    if len(inner) < PERIODS:
        return used
    usual = median(b - a for a, b in inner)
    long = [(a, b) for a, b in inner if b - a > PAUSE * usual]
    if len(long) > RARE * len(inner):
        long = []
    # How long a silence at either end was cannot be said.
    long += [(a, b) for a, b in gaps if (a == 0 or b == len(total)) and b - a > PAUSE * usual]
    for a, b in long:
        for i in range(a + (round(usual) if a else 0), b):
            used[i] = False
    return used


def _centred(values: Sequence[float], used: Sequence[bool]) -> list[float]:
    """Return a series about its mean, 0 where it says nothing."""
    measured = [v for v, use in zip(values, used, strict=True) if use and v == v]
    mean = sum(measured) / len(measured) if measured else 0.0
    return [v - mean if use and v == v else 0.0 for v, use in zip(values, used, strict=True)]


def _smooth(x: Sequence[float]) -> list[float]:
    """Weaken what is near half the sampling rate, where images of faster traffic stand."""
    return [(a + 2 * b + c) / 4 for a, b, c in zip(x, x[1:], x[2:], strict=False)]


def autocorrelation(channels: Sequence[Sequence[float]], lags: int) -> list[float]:
    """Return the correlation of series about 0 with themselves, at lags from 0 to `lags`."""
    squares = (sum(v * v for v in column) for column in zip(*channels, strict=True))
    energy = list(accumulate(squares, initial=0.0))
    n = len(energy) - 1
    found = []
    for lag in range(min(lags, n - 1) + 1):
        dot = sum(sum(map(mul, x, x[lag:])) for x in channels)
        norm = math.sqrt(energy[n - lag] * (energy[n] - energy[lag]))
        found.append(dot / norm if norm > 0 else 0.0)
    return found


def _agreed(
    waves: Sequence[Sequence[float]], found: Maybe[BurstPattern], cell_s: float
) -> Maybe[PeriodEstimate]:
    """Hold what the bursts say against what the correlation says."""
    smooth = [_smooth(x) for x in waves]
    before = sum(v * v for x in waves for v in x)
    slow = sum(v * v for x in smooth for v in x) / before
    if slow < FAST:
        return TOO_FAST
    n = len(smooth[0])
    longest = min(n / PERIODS, MAX_S / cell_s * 1.01)
    # Beyond the longest: only to see that there is nothing that repeats better.
    r = autocorrelation(smooth, min(n // 2, math.ceil(2 * longest) + 2))
    peaks = [p for p in _peaks(r) if p.height >= ALIKE]
    if found == AMBIGUOUS:
        return AMBIGUOUS
    if known(found) and (answer := _confirmed(found, peaks, r, n, cell_s)):
        return answer
    return _smallest(peaks, r, n, slow, cell_s)


def _confirmed(
    found: BurstPattern, peaks: Sequence[_Peak], r: Sequence[float], n: int, cell_s: float
) -> Maybe[PeriodEstimate] | None:
    """Return what the bursts say; None if the correlation sees nothing of it."""
    if found.period < 0.99 * MIN_CELLS:
        return TOO_FAST
    if found.period * cell_s > MAX_S * 1.01:
        return NOT_PERIODIC
    top = _near(r, found.period, max(1.0, 0.1 * found.period))
    height = top.height if top else 0.0
    if height < AGAIN and found.unevenness > VERY_EVEN:
        return None
    seen = max((p.height for p in peaks if p.lag <= n / PERIODS), default=height)
    doubtful = found.difference > ALL_ALIKE or found.bursts < MANY_ALIKE
    if doubtful and any(p.height > max(seen, height) + BETTER_LATER for p in peaks):
        return AMBIGUOUS
    if found.order > 1 and _divisible(found, peaks, r, seen):
        return AMBIGUOUS
    return PeriodEstimate(
        found.period * cell_s, max(height, 1 - 2 * found.unevenness), found.bursts / found.order
    )


def _divisible(found: BurstPattern, peaks: Sequence[_Peak], r: Sequence[float], best: float) -> bool:
    """Whether the bursts may differ only because they are cut by readings that are too few for them."""
    part = found.period / found.order
    near = EQUAL_COARSE if part < FINE_PARTS else 0.0
    if any(p.lag < 0.9 * found.period and p.height > best - near for p in peaks):
        return True
    top = _near(r, part, max(1.0, 0.2 * part))
    least = max(best - INNER, (top.height if top else 0.0) + INNER)
    return any(
        p.height >= least and abs(found.period / p.lag - round(found.period / p.lag)) < 0.1
        for p in peaks
        if part * 1.3 < p.lag < 0.7 * found.period
    )


def _smallest(
    peaks: Sequence[_Peak], r: Sequence[float], n: int, slow: float, cell_s: float
) -> Maybe[PeriodEstimate]:
    """Return the smallest lag that explains about as much as the best, if that is beyond doubt."""
    best = max((p.height for p in peaks), default=0.0)
    for peak in peaks:
        half = peak.lag / 2
        if half < MIN_CELLS and max(r[math.floor(half)], r[math.ceil(half)]) > HALFWAY:
            return TOO_FAST
        fine = peak.lag >= FINE
        short = best - peak.height
        if short > (EQUAL if fine else EQUAL_COARSE) + IMAGES * (1 - slow):
            continue
        if peak.lag < 0.99 * MIN_CELLS:
            return TOO_FAST
        if short > (NOT_QUITE if fine else EQUAL) or peak.lag > PARTS * peaks[0].lag:
            return AMBIGUOUS
        if peak.lag > min(n / PERIODS, MAX_S / cell_s * 1.01):
            return TOO_SHORT
        return (
            AMBIGUOUS if _bumps(peak.lag, r, BUMP if fine else BUMP_COARSE) else _verified(peak, r, n, cell_s)
        )
    return NOT_PERIODIC


def _bumps(lag: float, r: Sequence[float], bump: float) -> bool:
    """Whether a multiple of a lag fits better than its neighbours."""
    tops = [_near(r, k * lag, max(1.0, 0.2 * lag)) for k in range(1, int((len(r) - 2) / lag) + 1)]
    heights = [t.height if t else 0.0 for t in tops]
    return any(b > max(a, c) + bump for a, b, c in zip(heights, heights[1:], heights[2:], strict=False))


def _peaks(r: Sequence[float]) -> list[_Peak]:
    """Return the local maxima that stand out, by lag."""
    found = []
    for lag in range(2, len(r) - 1):
        if not r[lag - 1] < r[lag] >= r[lag + 1]:
            continue
        peak = _top(r, lag)
        left = min(r[lag // 2 : lag])
        right = min(r[lag + 1 : lag + max(2, lag // 2) + 1])
        if peak.height - max(left, right) >= CLEAR:
            found.append(peak)
    return found


def _top(r: Sequence[float], lag: int) -> _Peak:
    """Return the top of the parabola through a maximum and its neighbours."""
    a, b, c = r[lag - 1], r[lag], r[lag + 1]
    bend = a - 2 * b + c
    shift = (a - c) / (2 * bend) if bend < 0 else 0.0
    return _Peak(lag + shift, min(1.0, b - (a - c) * shift / 4))


def _near(r: Sequence[float], lag: float, within: float) -> _Peak | None:
    """Return the highest maximum near a lag."""
    low, high = max(1, math.ceil(lag - within)), min(len(r) - 2, math.floor(lag + within))
    tops = [_top(r, i) for i in range(low, high + 1) if r[i - 1] < r[i] >= r[i + 1]]
    return max(tops, key=lambda p: p.height, default=None)


def _verified(peak: _Peak, r: Sequence[float], n: int, cell_s: float) -> Maybe[PeriodEstimate]:
    """See that the peak comes again at its multiples, which also give it more exactly."""
    lag = peak.lag
    for times in range(2, int((len(r) - 2) / lag) + 1):
        again = _near(r, times * lag, max(1.5, 0.2 * lag))
        if again is None or again.height < (AGAIN if times == 2 else ALIKE):
            if times == 2:
                return NOT_PERIODIC
            break
        lag = again.lag / times
    return PeriodEstimate(lag * cell_s, peak.height, n / lag)
