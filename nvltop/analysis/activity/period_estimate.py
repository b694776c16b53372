"""The step period of a job, estimated from its traffic.

Pure. If bursts can be distinguished, the period is that of their pattern. If the traffic never pauses, the
period is taken from the autocorrelation, which has a peak at the period and at its multiples, and lower
peaks at parts of it that merely resemble each other (the small bursts of gradient accumulation). The result
is the smallest lag that fits as well as any other. If two lags fit about equally well there is no result,
because a wrong step period is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from nvltop.analysis.activity.autocorrelation import Autocorrelation, Peak, highest_near
from nvltop.analysis.activity.bursts import (
    AMBIGUOUS,
    MAX_PAUSE_SHARE,
    MIN_PERIODS,
    PAUSE_FACTOR,
    SILENCE_SHARE,
    BurstPattern,
    base_level,
    burst_level,
    find_bursts,
    find_pattern,
    ranges_above,
)
from nvltop.analysis.activity.traffic_series import MIN_READ_SHARE, TOO_MANY_GAPS
from nvltop.frozen import frozen
from nvltop.median import median
from nvltop.model import Maybe, Missing, known

MIN_PERIOD_CELLS: Final = 4.0
"""Shortest period, in cells: a shorter one cannot be distinguished from an alias of faster traffic."""
MAX_PERIOD_S: Final = 60.0
"""Longest period, seconds."""
MIN_CORRELATION: Final = 0.5
"""Correlation above which traffic is periodic."""
MIN_REPEAT_CORRELATION: Final = 0.3
"""Correlation that is required at twice the period, where the jitter of two steps adds up."""
EQUAL_HEIGHT: Final = 0.045
"""Distance from the highest peak below which a peak fits as well."""
EQUAL_HEIGHT_COARSE: Final = 0.12
"""Distance from the highest peak below which a peak fits as well, for periods below `FINE_CELLS`."""
ALIAS_SLACK: Final = 0.1
"""Addition to these distances for traffic that is mostly fast, whose aliases disturb the peaks."""
CERTAIN_HEIGHT: Final = 0.02
"""Distance from the highest peak above which the smallest equal peak is ambiguous."""
FINE_CELLS: Final = 8.0
"""Length of a period above which the position of edges between cells does not matter, in cells."""
FINE_PART_CELLS: Final = 10.0
"""Length of a part of a period above which the position of edges does not matter, in cells."""
MAX_HALF_CORRELATION: Final = 0.2
"""Correlation at half a short period above which the true period may be the half."""
MAX_BUMP: Final = 0.02
"""Height of a multiple above its neighbours above which the multiple may be the period."""
MAX_BUMP_COARSE: Final = 0.08
"""Height of a multiple above which it may be the period, for periods below `FINE_CELLS`."""
PART_SLACK: Final = 0.15
"""Distance from the best fit below which a part of the period (several bursts) may be the period."""
MIN_SLOW_SHARE: Final = 0.12
"""Share of the variance that must be slower than two cells."""
MIN_DEPTH: Final = 0.28
"""Standard deviation over mean below which a ripple may be an alias of bursts faster than the readings."""
ALIAS_FREE_CELLS: Final = 16.0
"""Length of a period above which it cannot be an alias, in cells."""
MAX_FLOOR: Final = 0.2
"""Rate between the bursts, over that of the bursts, above which a short period may be an alias."""
MOSTLY_SINGLE: Final = 0.9
"""Share of ranges of a single cell above which a short period may be an alias."""
MIN_SWING: Final = 0.9
"""Difference of highest and lowest rate, over the mean, above which a ripple cannot be an alias."""
LONGER_ADVANTAGE: Final = 0.1
"""Distance by which a longer period, not yet observed often enough, must fit better to cause doubt."""
ALIKE_DIFFERENCE: Final = 0.06
"""Difference of volumes below which bursts are alike, so that there is no longer period."""
ALIKE_BURSTS: Final = 12
"""Number of bursts that must be alike to exclude a longer period."""
MAX_PARTS: Final = 12
"""Number of periodic parts in a period above which the period may be that of a recurring pause."""
EVEN_BURSTS: Final = 0.1
"""Unevenness below which a burst pattern needs no confirmation by the autocorrelation."""

STEADY_TRAFFIC: Final = Missing("the traffic hardly changes")
TOO_FAST: Final = Missing("the traffic changes faster than it is read")
NOT_LONG_ENOUGH: Final = Missing("not seen for long enough")
NOT_PERIODIC: Final = Missing("the traffic does not repeat itself")


@frozen
class PeriodEstimate:
    """A step period found in a window of traffic."""

    period_s: float
    """Length of one period."""
    strength: float
    """Similarity of one period to the next, 0…1."""
    periods: float
    """Number of periods in the window."""


def estimate_period(channels: Sequence[Sequence[float]], cell_s: float) -> Maybe[PeriodEstimate]:
    """Return the common period of some series of rates.

    Each series holds one mean rate per `cell_s` seconds, oldest first, NaN where not read. All series have
    the same length.
    """
    total = [sum(column) for column in zip(*channels, strict=True)]
    first = next((i for i, v in enumerate(total) if v == v), len(total))
    total = total[first:]
    measured = [v for v in total if v == v]
    if len(total) < MIN_PERIODS * MIN_PERIOD_CELLS:
        return NOT_LONG_ENOUGH
    if len(measured) < MIN_READ_SHARE * len(total):
        return TOO_MANY_GAPS
    mean = sum(measured) / len(measured)
    spread = math.sqrt(sum((v - mean) ** 2 for v in measured) / len(measured))
    ranked = sorted(measured)
    swing = ranked[-1 - len(ranked) // 100] - ranked[len(ranked) // 100]
    if mean <= 0 or (spread < MIN_DEPTH * mean and swing < MIN_SWING * mean):
        return STEADY_TRAFFIC
    used = _without_pauses(total)
    deviations = [_deviation(c[first:], used) for c in channels]
    found = _burst_pattern([c[first:] for c in channels], total)
    answer = _combine(deviations, found, cell_s)
    if known(answer) and _may_be_alias(total, answer.period_s / cell_s):
        return TOO_FAST
    return answer


def _may_be_alias(total: Sequence[float], period: float) -> bool:
    """Return whether a short period may be an alias of a faster one.

    A fast burst that occasionally misses a reading makes single cells stand out. A fast ripple leaves a part
    of its rate in every reading.
    """
    if period >= ALIAS_FREE_CELLS:
        return False
    measured = sorted(v for v in total if v == v)
    low, high = measured[len(measured) // 50], measured[-1 - len(measured) // 50]
    if period < FINE_CELLS and low > MAX_FLOOR * high:
        return True
    middle = (low + high) / 2
    above = ranges_above([v if v == v else -math.inf for v in total], middle)
    below = ranges_above([-v if v == v else -math.inf for v in total], -middle)
    return _single_cells(below) or (low > MAX_FLOOR * high and _single_cells(above))


def _single_cells(ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether most ranges are a single cell long."""
    return sum(b - a <= 1 for a, b in ranges) >= MOSTLY_SINGLE * len(ranges)


def _burst_pattern(channels: Sequence[Sequence[float]], total: Sequence[float]) -> Maybe[BurstPattern]:
    """Return the pattern of the bursts in `total`, whose volumes are compared by channel."""
    holes = [i for i, v in enumerate(total) if v != v]
    filled = [[v if v == v else 0.0 for v in c] for c in channels]
    return find_pattern(find_bursts(filled, [v if v == v else 0.0 for v in total], holes), holes)


def _without_pauses(total: Sequence[float]) -> list[bool]:
    """Return for each cell whether it was read and is not in a pause, a long and rare silence."""
    used = [v == v for v in total]
    measured = [v for v in total if v == v]
    low = base_level(measured)
    high = burst_level([v - low for v in measured if v > low])
    edge = low + SILENCE_SHARE * high
    gaps = ranges_above([-v if v == v else -math.inf for v in total], -edge)
    inner = [(a, b) for a, b in gaps if a > 0 and b < len(total)]
    if len(inner) < MIN_PERIODS:
        return used
    usual = median(b - a for a, b in inner)
    long = [(a, b) for a, b in inner if b - a > PAUSE_FACTOR * usual]
    if len(long) > MAX_PAUSE_SHARE * len(inner):
        long = []
    # The length of a silence at either end of the window is not known.
    long += [(a, b) for a, b in gaps if (a == 0 or b == len(total)) and b - a > PAUSE_FACTOR * usual]
    for a, b in long:
        for i in range(a + (round(usual) if a else 0), b):
            used[i] = False
    return used


def _deviation(values: Sequence[float], used: Sequence[bool]) -> list[float]:
    """Return the deviation of a series from its mean, 0 in cells that are not used."""
    measured = [v for v, use in zip(values, used, strict=True) if use and v == v]
    mean = sum(measured) / len(measured) if measured else 0.0
    return [v - mean if use and v == v else 0.0 for v, use in zip(values, used, strict=True)]


def _smooth(x: Sequence[float]) -> list[float]:
    """Return a series smoothed to attenuate frequencies near half the sampling rate, where aliases appear."""
    return [(a + 2 * b + c) / 4 for a, b, c in zip(x, x[1:], x[2:], strict=False)]


def _combine(
    deviations: Sequence[Sequence[float]], found: Maybe[BurstPattern], cell_s: float
) -> Maybe[PeriodEstimate]:
    """Return the period from the burst pattern if the autocorrelation confirms it, else from the latter."""
    smooth = [_smooth(x) for x in deviations]
    before = sum(v * v for x in deviations for v in x)
    slow = sum(v * v for x in smooth for v in x) / before
    if slow < MIN_SLOW_SHARE:
        return TOO_FAST
    n = len(smooth[0])
    longest = min(n / MIN_PERIODS, MAX_PERIOD_S / cell_s * 1.01)
    # Lags beyond the longest period only serve to detect that a longer one fits better.
    r = Autocorrelation(smooth, min(n // 2, math.ceil(2 * longest) + 2))
    if found == AMBIGUOUS:
        return AMBIGUOUS
    if known(found) and (answer := _from_bursts(found, r, n, cell_s)):
        return answer
    return _from_correlation(r, n, slow, cell_s)


def _high_peaks(r: Autocorrelation) -> list[Peak]:
    """Return the peaks at which traffic is periodic."""
    return [p for p in r.peaks if p.height >= MIN_CORRELATION]


def _from_bursts(
    found: BurstPattern, r: Autocorrelation, n: int, cell_s: float
) -> Maybe[PeriodEstimate] | None:
    """Return the period of a burst pattern; None if the autocorrelation does not confirm it."""
    if found.period < 0.99 * MIN_PERIOD_CELLS:
        return TOO_FAST
    if found.period * cell_s > MAX_PERIOD_S * 1.01:
        return NOT_PERIODIC
    top = highest_near(r, found.period, max(1.0, 0.1 * found.period))
    height = top.height if top else 0.0
    if height < MIN_REPEAT_CORRELATION and found.unevenness > EVEN_BURSTS:
        return None
    doubtful = found.difference > ALIKE_DIFFERENCE or found.bursts < ALIKE_BURSTS
    if doubtful or found.order > 1:
        peaks = _high_peaks(r)
        seen = max((p.height for p in peaks if p.lag <= n / MIN_PERIODS), default=height)
        if doubtful and any(p.height > max(seen, height) + LONGER_ADVANTAGE for p in peaks):
            return AMBIGUOUS
        if found.order > 1 and _may_be_parts(found, peaks, r, seen):
            return AMBIGUOUS
    return PeriodEstimate(
        found.period * cell_s, max(height, 1 - 2 * found.unevenness), found.bursts / found.order
    )


def _may_be_parts(found: BurstPattern, peaks: Sequence[Peak], r: Sequence[float], best: float) -> bool:
    """Return whether the bursts of a period may be alike and only appear different because they are short."""
    part = found.period / found.order
    near = EQUAL_HEIGHT_COARSE if part < FINE_PART_CELLS else 0.0
    if any(p.lag < 0.9 * found.period and p.height > best - near for p in peaks):
        return True
    top = highest_near(r, part, max(1.0, 0.2 * part))
    least = max(best - PART_SLACK, (top.height if top else 0.0) + PART_SLACK)
    return any(
        p.height >= least and abs(found.period / p.lag - round(found.period / p.lag)) < 0.1
        for p in peaks
        if part * 1.3 < p.lag < 0.7 * found.period
    )


def _from_correlation(r: Autocorrelation, n: int, slow: float, cell_s: float) -> Maybe[PeriodEstimate]:
    """Return the smallest lag that fits about as well as the best one, unless that is ambiguous."""
    peaks = _high_peaks(r)
    best = max((p.height for p in peaks), default=0.0)
    for peak in peaks:
        half = peak.lag / 2
        if half < MIN_PERIOD_CELLS and max(r[math.floor(half)], r[math.ceil(half)]) > MAX_HALF_CORRELATION:
            return TOO_FAST
        fine = peak.lag >= FINE_CELLS
        short = best - peak.height
        if short > (EQUAL_HEIGHT if fine else EQUAL_HEIGHT_COARSE) + ALIAS_SLACK * (1 - slow):
            continue
        if peak.lag < 0.99 * MIN_PERIOD_CELLS:
            return TOO_FAST
        if short > (CERTAIN_HEIGHT if fine else EQUAL_HEIGHT) or peak.lag > MAX_PARTS * peaks[0].lag:
            return AMBIGUOUS
        if peak.lag > min(n / MIN_PERIODS, MAX_PERIOD_S / cell_s * 1.01):
            return NOT_LONG_ENOUGH
        return (
            AMBIGUOUS
            if _has_longer_period(peak.lag, r, MAX_BUMP if fine else MAX_BUMP_COARSE)
            else _refine(peak, r, n, cell_s)
        )
    return NOT_PERIODIC


def _has_longer_period(lag: float, r: Sequence[float], bump: float) -> bool:
    """Return whether a multiple of a lag fits better than the multiples beside it."""
    tops = [highest_near(r, k * lag, max(1.0, 0.2 * lag)) for k in range(1, int((len(r) - 2) / lag) + 1)]
    heights = [t.height if t else 0.0 for t in tops]
    return any(b > max(a, c) + bump for a, b, c in zip(heights, heights[1:], heights[2:], strict=False))


def _refine(peak: Peak, r: Sequence[float], n: int, cell_s: float) -> Maybe[PeriodEstimate]:
    """Return the period refined by the peaks at its multiples, or `NOT_PERIODIC` if these are missing."""
    lag = peak.lag
    for times in range(2, int((len(r) - 2) / lag) + 1):
        again = highest_near(r, times * lag, max(1.5, 0.2 * lag))
        if again is None or again.height < (MIN_REPEAT_CORRELATION if times == 2 else MIN_CORRELATION):
            if times == 2:
                return NOT_PERIODIC
            break
        lag = again.lag / times
    return PeriodEstimate(lag * cell_s, peak.height, n / lag)
