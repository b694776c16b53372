"""How each GPU of a job differs from the others, and which GPU the others wait for.

Pure. The ranks of a job do the same work at the same time. A straggler differs: it joins the exchange late,
works at full power while the others spin, runs at a lower clock, or is busy at other times. A GPU is named
only if it alone differs, and the others are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from operator import attrgetter, mul
from typing import Final

from nvltop.analysis.activity.bursts import burst_ranges
from nvltop.analysis.nan import has_nan
from nvltop.formatting import in_seconds
from nvltop.median import median
from nvltop.model import Maybe, Missing, Rank, Straggler, known

MIN_RANKS: Final = 3
"""Number of ranks below which no straggler can be named."""
MIN_LATE_BURSTS: Final = 3
"""Number of bursts below which the lateness of a rank is not known."""
MIN_LATE_SHARE: Final = 0.08
"""Share of the step period above which a rank is late, if that is also a cell or more."""
MAX_SPREAD: Final = 0.4
"""Spread of the other ranks, over their distance from the outlier, above which there is no outlier."""
MIN_POWER_RATIO: Final = 1.15
"""Power over the median of the others above which a rank works while the others wait."""
MAX_CLOCK_RATIO: Final = 0.87
"""SM clock over the median of the others below which a rank is slow."""
MIN_UTIL_DIFFERENCE: Final = 20.0
"""Difference of utilisation above which a rank is busy at other times, in percentage points."""
LITTLE_TRAFFIC: Final = 0.5
"""Traffic and power, over the median of the others, below which a rank does less than the others."""
MIN_TRAFFIC: Final = 0.02
"""Traffic, over the median of the others, below which a GPU does not take part in the job."""
SAME_TRAFFIC: Final = 0.75
"""Ratio of traffic above which a rank moves as much data as the others."""

RANK_VALUES: Final[tuple[Callable[[Rank], Maybe[float]], ...]] = (
    attrgetter("late_s"),
    attrgetter("moved_bytes_per_s"),
    attrgetter("power_w"),
    attrgetter("sm_clock_mhz"),
    attrgetter("util_percent"),
)
"""The values in which ranks are compared."""

NOT_SEPARABLE: Final = Missing("its bursts cannot be separated from those of the others")


def lateness(sent: Sequence[Sequence[float]], cell_s: float) -> list[Maybe[float]]:
    """Return how many seconds each rank sends after the others, from the rates by cell of all ranks."""
    total = list(map(sum, zip(*sent, strict=True)))
    if has_nan(total):
        total = [sum(v for v in column if v == v) for column in zip(*sent, strict=True)]
    bursts = burst_ranges(total) if total else []
    # Each range ends in the middle of the silence, so that it includes what one rank sends alone.
    bounds = list(pairwise([(a[1] + b[0]) // 2 for a, b in pairwise(bursts)]))
    centres = [_centres([own[a:b] for own in sent]) for a, b in bounds]
    found: list[Maybe[float]] = []
    for k in range(len(sent)):
        late = [pair[1] - pair[0] for own in centres if own and (pair := own[k])]
        found.append(median(late) * cell_s if len(late) >= MIN_LATE_BURSTS else NOT_SEPARABLE)
    return found


def _centres(sent: Sequence[Sequence[float]]) -> list[tuple[float, float] | None]:
    """Return for each rank the centre of the traffic of the others and of its own in one burst, in cells.

    None for a rank without traffic of its own or of the others; empty if a cell was not read.
    """
    sums = [sum(own) for own in sent]
    total = sum(sums)
    if total != total:
        return []
    moments = [sum(map(mul, own, count())) for own in sent]
    moment = sum(moments)
    return [
        ((moment - m) / (total - s), m / s) if s > 0 and total > s else None
        for s, m in zip(sums, moments, strict=True)
    ]


def find_straggler(ranks: Sequence[Rank], period_s: float, cell_s: float) -> Straggler | None:
    """Return the one rank that the others wait for; None if no rank or several ranks differ."""
    if len(ranks) < MIN_RANKS:
        return None
    found = [
        Straggler(ranks[k].gpu, signs)
        for k in _extremes(ranks)
        if (signs := tuple(_signs(ranks[k], [*ranks[:k], *ranks[k + 1 :]], period_s, cell_s)))
    ]
    return found[0] if len(found) == 1 else None


def _extremes(ranks: Sequence[Rank]) -> set[int]:
    """Return the ranks with the lowest or highest of any value; no other rank differs from all others."""
    found: set[int] = set()
    for value in RANK_VALUES:
        values = [value(r) for r in ranks]
        read = [v for v in values if known(v)]
        if len(read) == len(ranks):
            found |= {values.index(min(read)), values.index(max(read))}
    return found


def _signs(rank: Rank, others: Sequence[Rank], period_s: float, cell_s: float) -> Iterator[str]:
    """Yield how a rank differs from all others, as clauses."""
    late = rank.late_s
    least = max(cell_s, MIN_LATE_SHARE * period_s)
    if known(late) and late >= least:
        rest = [abs(o.late_s) for o in others if known(o.late_s)]
        if len(rest) == len(others) and max(rest) <= MAX_SPREAD * late:
            yield f"joins the exchange {in_seconds(late)} after the others"
    moved = _outlying(rank, others, lambda r: r.moved_bytes_per_s)
    power = _outlying(rank, others, lambda r: r.power_w)
    clock = _outlying(rank, others, lambda r: r.sm_clock_mhz)
    util = _outlying(rank, others, lambda r: r.util_percent)
    if power and power[0] >= MIN_POWER_RATIO * power[1] and _moves_as_much(rank, others):
        yield f"draws {power[0]:.0f} W, the others {power[1]:.0f} W while they wait"
    if clock and clock[0] <= MAX_CLOCK_RATIO * clock[1]:
        yield f"runs at {clock[0]:.0f} MHz, the others at {clock[1]:.0f} MHz"
    # The first and last stage of a pipeline have less to do, and move less.
    if util and abs(util[0] - util[1]) >= MIN_UTIL_DIFFERENCE and _moves_as_much(rank, others):
        yield f"is busy {util[0]:.0f} % of the time, the others {util[1]:.0f} %"
    little = moved and MIN_TRAFFIC * moved[1] < moved[0] < LITTLE_TRAFFIC * moved[1]
    if moved and power and little and power[0] < LITTLE_TRAFFIC * power[1]:
        yield f"moves {moved[0] / moved[1]:.0%} of what the others do, at less than half their power"


def _moves_as_much(rank: Rank, others: Sequence[Rank]) -> bool:
    """Return whether a rank moves about as much data as the others."""
    rest = [v for o in others if known(v := o.moved_bytes_per_s)]
    own = rank.moved_bytes_per_s
    return (
        known(own)
        and bool(rest)
        and own > 0
        and SAME_TRAFFIC <= own / (median(rest) or own) <= 1 / SAME_TRAFFIC
    )


def _outlying(
    rank: Rank, others: Sequence[Rank], value: Callable[[Rank], Maybe[float]]
) -> tuple[float, float] | None:
    """Return the value of a rank and the median of the others, if the rank is an outlier."""
    own = value(rank)
    rest = [v for o in others if known(v := value(o))]
    if isinstance(own, Missing) or len(rest) < len(others):
        return None
    usual = median(rest)
    spread = max(abs(v - usual) for v in rest)
    return (own, usual) if spread <= MAX_SPREAD * abs(own - usual) else None
