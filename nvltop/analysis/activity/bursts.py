"""Bursts of traffic, cut out of a series of rates, and the order in which they repeat.

Pure. What a burst moved is an integral, so neither where its edges fall between two readings nor how
much the steps of a job tremble changes it: bursts distinguish gradient accumulation from noise where the
autocorrelation cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from nvltop.model import Maybe, Missing

EDGES: Final = (0.15, 0.3, 0.5, 0.65)
"""Shares of the bursts' level at which they may be cut; two that cut alike are believed."""
SAME_CUT: Final = 0.05
SILENCE: Final = 2
"""Cells that part two bursts; of shorter silences some would not be seen."""
SILENCE_OF_MANY: Final = 3
"""The same for bursts that differ: what moved is cut well enough to distinguish them."""
MIN_BURSTS: Final = 4
PERIODS: Final = 3
"""So many must have been seen."""
APART: Final = 3.5
"""Bursts that follow each other in fewer cells may be images of others between the readings."""
PAUSE: Final = 3.0
"""A silence that is so many times longer than the usual one, and rare, is no part of the rhythm."""
RARE: Final = 1 / 9
MAX_ORDER: Final = 32
"""Bursts in one step, at most."""
EVEN: Final = 0.25
"""Largest difference (root mean square, over the mean) of distances that repeat."""
ALIKE: Final = 0.12
ENOUGH: Final = 12
"""Of fewer bursts, those that differ more may be parts of a period not seen often enough."""
BLUR: Final = 1.0
"""Cells by which two distances may differ only because a burst is seen in whole cells."""
BETTER: Final = 2.0
BETTER_BY: Final = 0.00015
"""How much worse (in squares) a smaller order may repeat itself than the best, and still be the answer."""
CHANCE: Final = 80.0
"""And how much of that is chance, where only a few bursts can be held together."""
ON_GRID: Final = 0.05
"""Bursts whose distance is as near as this to a whole number of cells are all cut alike."""
OUTLIER: Final = 0.3
MANY: Final = 9
"""With more bursts than this and a long silence, a period is a step of many parts, or many steps and an
evaluation: nobody can know that."""
PAUSE_OF_MANY: Final = 1.5

AMBIGUOUS: Final = Missing("more than one period fits")
NO_PATTERN: Final = Missing("no bursts that repeat")


@dataclass(frozen=True, slots=True)
class Burst:
    """One stretch of traffic, and what follows up to the next."""

    at: float
    """Its middle, in cells."""
    moved: tuple[float, ...]
    """By channel, in the unit of the rates times cells."""
    silence: int = 0
    """Cells before it."""
    whole: bool = True
    """Whether all of it was read."""


@dataclass(frozen=True, slots=True)
class BurstPattern:
    """Bursts that repeat."""

    period: float
    """In cells."""
    order: int
    """Bursts in one period."""
    unevenness: float
    """Difference (root mean square) of the distances one period apart, over the mean distance."""
    bursts: int
    difference: float
    """Of what bursts one period apart moved (root mean square), over their mean."""


def burst_level(values: Sequence[float]) -> float:
    """Return the rate at which most of the data moved: that of the bursts, however rare they are."""
    total = sum(values)
    return sum(v * v for v in values) / total if total > 0 else 0.0


def ranges_above(values: Sequence[float], edge: float) -> list[tuple[int, int]]:
    """Return where a series stands above an edge, as ranges of cells."""
    found: list[tuple[int, int]] = []
    start = None
    for i, v in enumerate(values):
        if v > edge:
            if start is None:
                start = i
        elif start is not None:
            found.append((start, i))
            start = None
    if start is not None:
        found.append((start, len(values)))
    return found


def burst_ranges(values: Sequence[float]) -> list[tuple[int, int]]:
    """Return the bursts of a series as ranges of cells; none if it has no silences that part them."""
    low = sorted(values)[len(values) // 50]
    high = burst_level([v - low for v in values if v > low])
    cuts = [ranges_above(values, low + edge * high) for edge in EDGES]
    # Short silences show at the higher edges only, and then not all of them at the lower ones.
    alike = [b for a, b in pairwise(cuts) if abs(len(a) - len(b)) <= SAME_CUT * len(a)]
    most = max(reversed(alike), key=len, default=[])
    short = sum(b[0] - a[1] < SILENCE for a, b in pairwise(most))
    return most if len(most) >= MIN_BURSTS and short <= SAME_CUT * len(most) else []


def find_bursts(
    channels: Sequence[Sequence[float]], total: Sequence[float], holes: Sequence[int] = ()
) -> list[Burst]:
    """Return the bursts but for one at either end of the series, which may be cut off.

    At the `holes`, cells that were not read, the rates are 0.
    """
    ranges = burst_ranges(total)
    if not ranges:
        return []
    # What follows a burst up to the next belongs to it: a small one in the middle would fall to either side.
    usual = round(median(b[0] - a[0] for a, b in pairwise(ranges)))
    stops = [b[0] - 1 for b in ranges[1:]] + [ranges[-1][0] - 1 + usual]
    found = []
    before = 0
    for (start, end), stop in zip(ranges, stops, strict=True):
        if start > 0 and stop <= len(total):
            near = range(start - 1, min(stop, end + 1))
            at = sum((i + 0.5) * total[i] for i in near) / sum(total[i] for i in near)
            moved = tuple(sum(c[start - 1 : stop]) for c in channels)
            whole = not any(start - 1 <= hole < stop for hole in holes)
            found.append(Burst(at, moved, start - before, whole))
        before = end
    return found


def find_pattern(found: Sequence[Burst], holes: Sequence[int] = ()) -> Maybe[BurstPattern]:
    """Return how bursts repeat.

    A distance over one of the `holes` (cells that were not read) says nothing.
    """
    distances = [b.at - a.at if _unbroken(a, b, holes) else math.nan for a, b in pairwise(found)]
    measured = [d for d in distances if d == d]
    sizes = _sizes(found)
    if len(found) < MIN_BURSTS or not sizes or not measured or median(measured) < APART:
        return NO_PATTERN
    if _smallest(sizes, len(found)) == 1:
        # Bursts that are all alike are a step each; in front of a bigger one a silence is part of the step.
        distances = _without_pauses(distances, PAUSE * median(measured))
    spacing = _spacing(distances, list(sizes))
    if not spacing:
        return NO_PATTERN
    blur = (BLUR / (2 * median(measured))) ** 2
    order = max(_smallest(spacing, len(measured), blur), _smallest_of_sizes(sizes, found, measured))
    if order not in spacing or order > len(found) // PERIODS:
        return AMBIGUOUS
    period = _period(distances, order)
    if order > 1 and sum(b.silence < SILENCE_OF_MANY for b in found) > SAME_CUT * len(found):
        return NO_PATTERN
    if order > MANY and max(measured) > PAUSE_OF_MANY * median(measured):
        return AMBIGUOUS
    difference = math.sqrt(sizes.get(order, 0.0))
    if len(found) < ENOUGH and difference > ALIKE:
        return AMBIGUOUS
    uneven = math.sqrt(spacing[order])
    if not period or uneven > EVEN:
        return NO_PATTERN
    return BurstPattern(period, order, uneven, len(found), difference)


def _unbroken(a: Burst, b: Burst, holes: Sequence[int]) -> bool:
    return a.whole and b.whole and not any(a.at <= hole <= b.at for hole in holes)


def _sizes(found: Sequence[Burst]) -> dict[int, float]:
    """Return by how much bursts differ from those one period earlier in what they move, by order; squared."""
    measured = [sum(b.moved) for b in found if b.whole]
    mean = sum(measured) / len(measured) if measured else 1.0
    scores = {}
    for order in range(1, min(MAX_ORDER, len(found) // 2) + 1):
        changes = [
            min(1.0, sum(abs(p - q) for p, q in zip(a.moved, b.moved, strict=True)) / mean) ** 2
            for a, b in zip(found, found[order:], strict=False)
            if a.whole and b.whole
        ]
        if changes:
            scores[order] = sum(changes) / len(changes)
    return scores


def _without_pauses(distances: Sequence[float], longest: float) -> list[float]:
    """Forget distances that are long and rare."""
    measured = [d for d in distances if d == d]
    if sum(d > longest for d in measured) > RARE * len(measured):
        return list(distances)
    return [d if d <= longest else math.nan for d in distances]


def _spacing(distances: Sequence[float], orders: Sequence[int]) -> dict[int, float]:
    """Return by how much distances differ from those one period earlier, by order; squared."""
    measured = [d for d in distances if d == d]
    pace = sum(measured) / len(measured)
    scores = {}
    for order in orders:
        changes = [
            min(1.0, max(0.0, abs(a - b) - BLUR) / pace) ** 2
            for a, b in zip(distances, distances[order:], strict=False)
            if a == a and b == b
        ]
        if len(changes) >= order:
            scores[order] = sum(changes) / len(changes)
    return scores


def _smallest(scores: Mapping[int, float], count: int, slack: float = 0.0) -> int:
    """Return the smallest order that explains so many values about as well as the best."""
    most = min((BETTER + CHANCE / (count - o)) * score for o, score in scores.items()) + BETTER_BY + slack
    return next(order for order, score in scores.items() if score <= most)


def _smallest_of_sizes(sizes: Mapping[int, float], found: Sequence[Burst], measured: Sequence[float]) -> int:
    """Return the smallest order that explains what bursts move.

    Where a burst begins and ends between two readings, some of it falls to its neighbour. That repeats with
    the multiple of the step that fits the readings best: of a step of 10.4 readings, each fifth burst is cut
    alike, and each second one nearly so.
    """
    order = _smallest(sizes, len(found))
    pace = sum(measured) / len(measured)
    if order == 1 or abs(pace - round(pace)) < ON_GRID:
        return order
    length = max(1.0, median(measured) - median(b.silence for b in found))
    return _smallest(sizes, len(found), (EDGES[0] / length) ** 2)


def _period(distances: Sequence[float], order: int) -> float:
    """Return the mean length of so many bursts without a pause; 0 if there are none, or no usual length."""
    spans = [sum(distances[i : i + order]) for i in range(len(distances) - order + 1)]
    whole = [s for s in spans if s == s]
    if not whole:
        return 0.0
    usual = median(whole)
    # Of as many short ones as long ones the median lies in between, near none of them.
    near = [s for s in whole if abs(s - usual) <= OUTLIER * usual]
    return sum(near) / len(near) if near else 0.0
