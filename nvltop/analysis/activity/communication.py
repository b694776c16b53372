"""The share of the time that a GPU spends in communication, and its rate meanwhile.

Pure. The inner cells of a burst show its rate, and its first and last cell show how much of the cell it
fills. A burst that fills no cell shows neither its rate nor its length, only bounds of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from nvltop.analysis.activity.bursts import SILENCE_SHARE, base_level, burst_level, ranges_above
from nvltop.analysis.activity.traffic_series import MIN_READ_SHARE, TOO_MANY_GAPS
from nvltop.frozen import frozen
from nvltop.median import median
from nvltop.model import Maybe, Missing, known

MAX_BASE_SHARE: Final = 0.1
"""Share of the burst level above which the rate between bursts is no longer a silence."""
MIN_TRAFFIC_SHARE: Final = 0.002
"""Share of the practical limit below which a GPU carries no traffic."""
CONTINUOUS_LEVEL: Final = 0.8
"""Share of the practical limit above which traffic without silences is continuous communication."""
MAX_UNCERTAINTY: Final = 0.05
"""Largest distance between the bounds of the share for which their middle is returned."""
SIMILAR_VOLUME: Final = 0.2
"""Relative difference of volumes below which two bursts are alike."""
MIN_RESOLVED_CELLS: Final = 1.2
"""Apparent length below which a burst may be shorter than a cell, in cells."""
BURSTS_TOO_SHORT: Final = Missing("the bursts are shorter than the readings")
NEVER_PAUSES: Final = Missing("traffic without a pause: the share that is waiting cannot be determined")


@frozen
class Communication:
    """The share of the time with traffic, and the rate meanwhile."""

    share: float
    """Share of the time, 0…1."""
    rate: float
    """Bytes/s while there is traffic."""


def measure_communication(values: Sequence[float], most: float) -> Maybe[Communication]:
    """Return the share of the time with traffic.

    `values` are mean rates of cells of equal length, NaN where not read. `most` is the rate that the links
    reach in practice, in the same unit.
    """
    read = [v for v in values if v == v]
    if not read or len(read) < MIN_READ_SHARE * len(values) or most <= 0:
        return TOO_MANY_GAPS
    if max(read) < MIN_TRAFFIC_SHARE * most:
        return Communication(0.0, 0.0)
    low = base_level(read)
    high = burst_level([v - low for v in read if v > low])
    if low > MAX_BASE_SHARE * (low + high):
        rate = sum(read) / len(read)
        return Communication(1.0, rate) if rate >= CONTINUOUS_LEVEL * most else NEVER_PAUSES
    found = _measure_bursts([v - low if v == v else 0.0 for v in values], len(read), high, most)
    return Communication(found.share, found.rate + low) if known(found) and found.share else found


def _measure_bursts(values: Sequence[float], read: int, high: float, most: float) -> Maybe[Communication]:
    """Return the share of the time in bursts, and their rate above the rate between them.

    `high` is the level of the bursts, and `read` the number of cells that were read.
    """
    cells, moved, unsure = 0.0, 0.0, 0.0
    short: list[tuple[float, float]] = []
    for a, b in ranges_above(values, SILENCE_SHARE * high):
        reach = values[max(0, a - 1) : b + 1]
        moved += sum(reach)
        if b - a > 2:
            inner = values[a + 1 : b - 1]
            top = median(inner)
            cells += sum([v / top if v < top else 1.0 for v in reach])
            # A cell below the others contains a pause, or has another rate.
            unsure += sum([abs(1 - v / top) for v in inner])
        elif a == 0 or b == len(values):
            # The burst is cut off by the window, so its volume does not show its rate.
            cells += min(float(b - a), sum(reach) / high)
        else:
            short.append((sum(reach), max(reach)))
    highest_first = sorted(short, key=itemgetter(1), reverse=True)
    for sent, _ in short:
        # Of several similar bursts at least one fills a cell, if they are long enough.
        margin = SIMILAR_VOLUME * sent
        top = next(t for s, t in highest_first if -margin <= s - sent <= margin)
        length = sent / top
        if length < MIN_RESOLVED_CELLS:
            least = min(sent / most, length)
            unsure += length - least
            length = (length + least) / 2
        cells += length
    if unsure > MAX_UNCERTAINTY * read:
        return BURSTS_TOO_SHORT
    return Communication(cells / read, moved / cells if cells else 0.0)
