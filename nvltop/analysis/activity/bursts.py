"""Bursts of traffic in a series of rates, and the order in which they repeat.

Pure. The volume of a burst is an integral. It depends neither on where the edges of the burst fall between
two readings nor on the jitter of the job's steps. Bursts therefore distinguish gradient accumulation from
noise where the autocorrelation cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import mul, sub
from typing import Final

from nvltop.frozen import frozen
from nvltop.median import median
from nvltop.model import Maybe, Missing

CUT_LEVELS: Final = (0.15, 0.3, 0.5, 0.65)
"""Shares of the burst level at which bursts may be cut; a cut is accepted if two levels agree on it."""
SILENCE_SHARE: Final = CUT_LEVELS[0]
"""Share of the burst level below which there is silence."""
MAX_CUT_DIFFERENCE: Final = 0.05
"""Share of the bursts by which the cuts at two levels may differ and still agree."""
MIN_SILENCE: Final = 2
"""Length of a silence below which it may be missed, in cells."""
MIN_MIXED_SILENCE: Final = 3
"""Length of a silence below which the volumes of different bursts cannot be separated, in cells."""
MIN_BURSTS: Final = 4
"""Number of bursts below which no pattern is searched for."""
MIN_PERIODS: Final = 3
"""Number of periods that must have been observed."""
MIN_DISTANCE: Final = 3.5
"""Distance of bursts below which they may be aliases of faster bursts, in cells."""
PAUSE_FACTOR: Final = 3.0
"""Multiple of the usual silence above which a rare silence is a pause, not part of the pattern."""
MAX_PAUSE_SHARE: Final = 1 / 9
"""Share of the silences that may be pauses; longer silences that are more frequent belong to the pattern."""
MAX_ORDER: Final = 32
"""Largest number of bursts in one step."""
MAX_UNEVENNESS: Final = 0.25
"""Largest difference of distances one period apart (root mean square, over the mean distance)."""
MAX_DIFFERENCE: Final = 0.12
"""Difference of volumes one period apart above which `MANY_BURSTS` are needed."""
MANY_BURSTS: Final = 12
"""Number of bursts below which bursts that differ may be parts of a longer period."""
MAX_CELL_ERROR: Final = 1.0
"""Difference of two distances that is an effect of the cells, in cells."""
SCORE_FACTOR: Final = 2.0
"""Factor by which the squared error of a smaller order may exceed that of the best order."""
SCORE_SLACK: Final = 0.00015
"""Amount by which the squared error of a smaller order may exceed that of the best order."""
CHANCE_FACTOR: Final = 80.0
"""Addition to `SCORE_FACTOR` for chance, divided by the number of pairs of bursts that are compared."""
GRID_TOLERANCE: Final = 0.05
"""Distance from a complete number of cells below which all bursts are cut in the same way, in cells."""
MAX_OUTLIER_SHARE: Final = 0.3
"""Deviation from the median period above which a period is an outlier."""
MAX_CERTAIN_ORDER: Final = 9
"""Bursts per period above which a period with a long silence is ambiguous: it may be one step of many
parts, or many steps and an evaluation."""
MIXED_PAUSE_FACTOR: Final = 1.5
"""Multiple of the usual distance above which a silence in such a period is long."""

AMBIGUOUS: Final = Missing("more than one period fits")
NO_PATTERN: Final = Missing("no bursts that repeat")


@frozen
class Burst:
    """One burst, including the traffic up to the next burst."""

    at: float
    """Centre of the burst, in cells."""
    moved: tuple[float, ...]
    """Volume by channel, in the unit of the rates times cells."""
    silence: int = 0
    """Length of the silence before the burst, in cells."""
    complete: bool = True
    """Whether every cell of the burst was read."""


@frozen
class BurstPattern:
    """Bursts that repeat."""

    period: float
    """Length of one period, in cells."""
    order: int
    """Number of bursts in one period."""
    unevenness: float
    """Difference of distances one period apart (root mean square, over the mean distance)."""
    bursts: int
    """Number of bursts that were compared."""
    difference: float
    """Difference of volumes one period apart (root mean square, over the mean volume)."""


def burst_level(values: Sequence[float]) -> float:
    """Return the rate at which most of the data moved: the rate of the bursts, however rare they are."""
    total = sum(values)
    return sum(map(mul, values, values)) / total if total > 0 else 0.0


def base_level(values: Sequence[float]) -> float:
    """Return the rate between the bursts: the second percentile of the rates."""
    return sorted(values)[len(values) // 50]


def ranges_above(values: Sequence[float], threshold: float) -> list[tuple[int, int]]:
    """Return the ranges of cells in which a series exceeds `threshold`."""
    found: list[tuple[int, int]] = []
    start = None
    for i, v in enumerate(values):
        if v > threshold:
            if start is None:
                start = i
        elif start is not None:
            found.append((start, i))
            start = None
    if start is not None:
        found.append((start, len(values)))
    return found


def burst_ranges(values: Sequence[float]) -> list[tuple[int, int]]:
    """Return the bursts of a series as ranges of cells; none if no silences separate them."""
    low = base_level(values)
    high = burst_level([v - low for v in values if v > low])
    cuts = [ranges_above(values, low + share * high) for share in CUT_LEVELS]
    # Short silences appear at the higher levels only, or only some of them at the lower levels.
    agreed = [b for a, b in pairwise(cuts) if abs(len(a) - len(b)) <= MAX_CUT_DIFFERENCE * len(a)]
    most = max(reversed(agreed), key=len, default=[])
    short = sum(b[0] - a[1] < MIN_SILENCE for a, b in pairwise(most))
    return most if len(most) >= MIN_BURSTS and short <= MAX_CUT_DIFFERENCE * len(most) else []


def find_bursts(
    channels: Sequence[Sequence[float]], total: Sequence[float], holes: Sequence[int] = ()
) -> list[Burst]:
    """Return the bursts of a series, except those at its ends, which may be incomplete.

    `holes` are the cells that were not read; their rates are 0.
    """
    ranges = burst_ranges(total)
    if not ranges:
        return []
    # A burst includes the traffic up to the next one: small traffic in between always counts with the former.
    usual = round(median(b[0] - a[0] for a, b in pairwise(ranges)))
    stops = [b[0] - 1 for b in ranges[1:]] + [ranges[-1][0] - 1 + usual]
    found = []
    before = 0
    for (start, end), stop in zip(ranges, stops, strict=True):
        if start > 0 and stop <= len(total):
            near = range(start - 1, min(stop, end + 1))
            at = sum((i + 0.5) * total[i] for i in near) / sum(total[i] for i in near)
            moved = tuple(sum(c[start - 1 : stop]) for c in channels)
            complete = not any(start - 1 <= hole < stop for hole in holes)
            found.append(Burst(at, moved, start - before, complete))
        before = end
    return found


def find_pattern(found: Sequence[Burst], holes: Sequence[int] = ()) -> Maybe[BurstPattern]:
    """Return the pattern in which bursts repeat.

    A distance across one of the `holes` (cells that were not read) is ignored.
    """
    distances = [b.at - a.at if _comparable(a, b, holes) else math.nan for a, b in pairwise(found)]
    measured = [d for d in distances if d == d]
    sizes = _size_scores(found)
    if len(found) < MIN_BURSTS or not sizes or not measured or median(measured) < MIN_DISTANCE:
        return NO_PATTERN
    if _smallest_order(sizes, len(found)) == 1:
        # If all bursts are alike, each is a step, and a rare long silence is a pause. If they differ, the
        # silence before a bigger burst is part of the step.
        distances = _without_pauses(distances, PAUSE_FACTOR * median(measured))
    spacing = _distance_scores(distances, list(sizes))
    if not spacing:
        return NO_PATTERN
    blur = (MAX_CELL_ERROR / (2 * median(measured))) ** 2
    order = max(
        _smallest_order(spacing, len(measured), blur), _smallest_order_by_size(sizes, found, measured)
    )
    if order not in spacing or order > len(found) // MIN_PERIODS:
        return AMBIGUOUS
    period = _mean_period(distances, order)
    if order > 1 and sum(b.silence < MIN_MIXED_SILENCE for b in found) > MAX_CUT_DIFFERENCE * len(found):
        return NO_PATTERN
    if order > MAX_CERTAIN_ORDER and max(measured) > MIXED_PAUSE_FACTOR * median(measured):
        return AMBIGUOUS
    difference = math.sqrt(sizes.get(order, 0.0))
    if len(found) < MANY_BURSTS and difference > MAX_DIFFERENCE:
        return AMBIGUOUS
    uneven = math.sqrt(spacing[order])
    if not period or uneven > MAX_UNEVENNESS:
        return NO_PATTERN
    return BurstPattern(period, order, uneven, len(found), difference)


def _comparable(a: Burst, b: Burst, holes: Sequence[int]) -> bool:
    """Return whether the distance of two bursts was read completely."""
    return a.complete and b.complete and not any(a.at <= hole <= b.at for hole in holes)


def _size_scores(found: Sequence[Burst]) -> dict[int, float]:
    """Return the mean squared difference of volumes `order` bursts apart, by order."""
    measured = [sum(b.moved) for b in found if b.complete]
    mean = sum(measured) / len(measured) if measured else 1.0
    unknown = [math.nan] * len(found[0].moved) if found else []
    channels = list(zip(*(b.moved if b.complete else unknown for b in found), strict=True))
    scores = {}
    for order in range(1, min(MAX_ORDER, len(found) // 2) + 1):
        by_channel = [map(abs, map(sub, c, c[order:])) for c in channels]
        changes = [min(1.0, d / mean) ** 2 for d in map(sum, zip(*by_channel, strict=True)) if d == d]
        if changes:
            scores[order] = sum(changes) / len(changes)
    return scores


def _without_pauses(distances: Sequence[float], longest: float) -> list[float]:
    """Return the distances with NaN for those that exceed `longest`, if these are rare."""
    measured = [d for d in distances if d == d]
    if sum(d > longest for d in measured) > MAX_PAUSE_SHARE * len(measured):
        return list(distances)
    return [d if d <= longest else math.nan for d in distances]


def _distance_scores(distances: Sequence[float], orders: Sequence[int]) -> dict[int, float]:
    """Return the mean squared difference of distances `order` bursts apart, by order."""
    measured = [d for d in distances if d == d]
    mean_distance = sum(measured) / len(measured)
    scores = {}
    for order in orders:
        changes = [
            min(1.0, (d - MAX_CELL_ERROR) / mean_distance) ** 2 if d > MAX_CELL_ERROR else 0.0
            for d in map(abs, map(sub, distances, distances[order:]))
            if d == d
        ]
        if len(changes) >= order:
            scores[order] = sum(changes) / len(changes)
    return scores


def _smallest_order(scores: Mapping[int, float], count: int, slack: float = 0.0) -> int:
    """Return the smallest order that fits `count` values about as well as the best order."""
    most = (
        min((SCORE_FACTOR + CHANCE_FACTOR / (count - o)) * score for o, score in scores.items())
        + SCORE_SLACK
        + slack
    )
    return next(order for order, score in scores.items() if score <= most)


def _smallest_order_by_size(
    sizes: Mapping[int, float], found: Sequence[Burst], measured: Sequence[float]
) -> int:
    """Return the smallest order that explains the volumes of the bursts.

    If a burst begins or ends within a cell, part of its volume is attributed to its neighbour. That effect
    repeats with the multiple of the step that is closest to a complete number of cells: with a step of 10.4
    cells, every fifth burst is cut in the same way, and every second one nearly so.
    """
    order = _smallest_order(sizes, len(found))
    mean_distance = sum(measured) / len(measured)
    if order == 1 or abs(mean_distance - round(mean_distance)) < GRID_TOLERANCE:
        return order
    length = max(1.0, median(measured) - median(b.silence for b in found))
    return _smallest_order(sizes, len(found), (CUT_LEVELS[0] / length) ** 2)


def _mean_period(distances: Sequence[float], order: int) -> float:
    """Return the mean length of `order` bursts without a pause; 0 if it cannot be determined."""
    spans = [sum(distances[i : i + order]) for i in range(len(distances) - order + 1)]
    read = [s for s in spans if s == s]
    if not read:
        return 0.0
    usual = median(read)
    # With as many short as long spans the median lies between them, and close to none.
    near = [s for s in read if abs(s - usual) <= MAX_OUTLIER_SHARE * usual]
    return sum(near) / len(near) if near else 0.0
