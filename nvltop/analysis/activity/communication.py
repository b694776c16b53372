"""How much of its time a GPU spends in communication, and how hard it uses the links while it does.

Pure. A burst fills some cells wholly, which tell its rate, and its first and last in part, which tell
by their rate how long. Bursts that fill no cell tell neither, unless the bounds are close together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from nvltop.analysis.activity.bursts import burst_level, ranges_above
from nvltop.model import Maybe, Missing

EDGE: Final = 0.15
"""Share of the bursts' level below which there is silence."""
BACKGROUND: Final = 0.1
"""The same of what never stops, from which on the traffic has no silences."""
LITTLE: Final = 0.002
"""Share of the practical limit below which there is no traffic to speak of."""
FULL: Final = 0.8
"""Share of the practical limit from which traffic without silences is one long exchange."""
CLOSE: Final = 0.05
"""Bounds of the share that lie no further apart tell it."""
SIMILAR: Final = 0.2
FILLS: Final = 1.2
"""Bursts that seem to last for fewer cells may be shorter than a cell."""
READ: Final = 0.75

GAPS: Final = Missing("too many readings are missing")
SHORT: Final = Missing("the bursts are shorter than the readings")
NO_PAUSE: Final = Missing("traffic without a pause: how much of it is waiting cannot be told")


@dataclass(frozen=True, slots=True)
class Communication:
    """The part of the time with traffic."""

    share: float
    """0…1."""
    rate: float
    """Bytes/s while there is traffic."""


def measure_communication(values: Sequence[float], most: float) -> Maybe[Communication]:
    """Return the share of the time with traffic.

    `values` are mean rates of cells of equal length, NaN where unread; `most` is what the links can
    carry in practice, in the same unit.
    """
    told = [v for v in values if v == v]
    if not told or len(told) < READ * len(values) or most <= 0:
        return GAPS
    if max(told) < LITTLE * most:
        return Communication(0.0, 0.0)
    low = sorted(told)[len(told) // 50]
    high = burst_level([v - low for v in told if v > low])
    if low > BACKGROUND * (low + high):
        rate = sum(told) / len(told)
        return Communication(1.0, rate) if rate >= FULL * most else NO_PAUSE
    return _bursts([v - low if v == v else 0.0 for v in values], len(told), high, most)


def _bursts(values: Sequence[float], told: int, high: float, most: float) -> Maybe[Communication]:
    cells, moved, unsure = 0.0, 0.0, 0.0
    short: list[tuple[float, float]] = []
    for a, b in ranges_above(values, EDGE * high):
        reach = values[max(0, a - 1) : b + 1]
        moved += sum(reach)
        if b - a > 2:
            top = median(values[a + 1 : b - 1])
            cells += sum(min(1.0, v / top) for v in reach)
        elif a == 0 or b == len(values):
            # Cut off: what it moved says nothing of its rate.
            cells += min(float(b - a), sum(reach) / high)
        else:
            short.append((sum(reach), max(reach)))
    for sent, _ in short:
        # Of bursts that are alike, one or another fills a cell if they are long enough to.
        top = max(t for s, t in short if abs(s - sent) <= SIMILAR * sent)
        length = sent / top
        if length < FILLS:
            least = min(sent / most, length)
            unsure += length - least
            length = (length + least) / 2
        cells += length
    if unsure > CLOSE * told:
        return SHORT
    return Communication(cells / told, moved / cells if cells else 0.0)
