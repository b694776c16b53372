"""What each GPU of a job does beside the others, and which of them the others wait for.

Pure. Ranks of a job do the same at the same time, so one that does not stands out: it joins the
exchange late, works at full power while the others spin, runs at a lower clock, is busy at other
times. A single one that differs from all others, which are alike, is named; else none is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from nvltop.analysis.activity.bursts import burst_ranges
from nvltop.model import Maybe, Missing, Rank, Straggler, known

MIN_RANKS: Final = 3
"""Of two that differ, either may be the odd one."""
LATE: Final = 0.08
"""Share of a period by which one must be late, and at least one cell."""
ALIKE: Final = 0.4
"""The others may lie so much of the distance apart."""
POWER: Final = 1.15
CLOCK: Final = 0.87
BUSY: Final = 20.0
"""Percent of utilisation."""
HALF: Final = 0.5
NOTHING: Final = 0.02
"""Share of what the others move below which it takes no part in the job."""
SAME: Final = 0.75
"""Who works while the others wait moves about what they do."""

NOT_TOLD: Final = Missing("its bursts cannot be told from those of the others")


def lateness(sent: Sequence[Sequence[float]], cell_s: float) -> list[Maybe[float]]:
    """Return by how many seconds each rank sends after the others, from its rates by cell."""
    total = [sum(v for v in column if v == v) for column in zip(*sent, strict=True)]
    bursts = burst_ranges(total) if total else []
    # Up to the middle of the silence: what one sends alone may be too little to count as the burst.
    bounds = list(pairwise([(a[1] + b[0]) // 2 for a, b in pairwise(bursts)]))
    found: list[Maybe[float]] = []
    for k, own in enumerate(sent):
        others = [s for i, s in enumerate(sent) if i != k]
        late = [
            there - here
            for a, b in bounds
            if (here := _middle([sum(c) for c in zip(*(s[a:b] for s in others), strict=True)])) is not None
            and (there := _middle(own[a:b])) is not None
        ]
        found.append(median(late) * cell_s if len(late) >= MIN_RANKS else NOT_TOLD)
    return found


def _middle(values: Sequence[float]) -> float | None:
    """Return the centre of what was moved, in cells; None if nothing was, or not all was read."""
    total = sum(values)
    return sum(i * v for i, v in enumerate(values)) / total if total > 0 else None


def find_straggler(ranks: Sequence[Rank], period_s: float, cell_s: float) -> Straggler | None:
    """Return the one rank that the others wait for; None if there is none, or more than one."""
    if len(ranks) < MIN_RANKS:
        return None
    found = [
        Straggler(rank.gpu, signs)
        for k, rank in enumerate(ranks)
        if (signs := tuple(_signs(rank, [*ranks[:k], *ranks[k + 1 :]], period_s, cell_s)))
    ]
    return found[0] if len(found) == 1 else None


def _signs(rank: Rank, others: Sequence[Rank], period_s: float, cell_s: float) -> Iterator[str]:
    """Say in what one rank differs from all others."""
    late = rank.late_s
    least = max(cell_s, LATE * period_s)
    if known(late) and late >= least:
        rest = [abs(o.late_s) for o in others if known(o.late_s)]
        if len(rest) == len(others) and max(rest) <= ALIKE * late:
            yield f"joins the exchange {late:.2g} s after the others"
    moved = _beside(rank, others, lambda r: r.moved_bytes_per_s)
    power = _beside(rank, others, lambda r: r.power_w)
    clock = _beside(rank, others, lambda r: r.sm_clock_mhz)
    util = _beside(rank, others, lambda r: r.util_percent)
    if power and power[0] >= POWER * power[1] and _moves_as_much(rank, others):
        yield f"draws {power[0]:.0f} W, the others {power[1]:.0f} W while they wait"
    if clock and clock[0] <= CLOCK * clock[1]:
        yield f"runs at {clock[0]:.0f} MHz, the others at {clock[1]:.0f} MHz"
    # The ends of a pipeline have less to do, and move less.
    if util and abs(util[0] - util[1]) >= BUSY and _moves_as_much(rank, others):
        yield f"is busy {util[0]:.0f} % of the time, the others {util[1]:.0f} %"
    little = moved and NOTHING * moved[1] < moved[0] < HALF * moved[1]
    if moved and power and little and power[0] < HALF * power[1]:
        yield f"moves {moved[0] / moved[1]:.0%} of what the others do, at less than half their power"


def _moves_as_much(rank: Rank, others: Sequence[Rank]) -> bool:
    rest = [v for o in others if known(v := o.moved_bytes_per_s)]
    own = rank.moved_bytes_per_s
    return known(own) and bool(rest) and own > 0 and SAME <= own / (median(rest) or own) <= 1 / SAME


def _beside(
    rank: Rank, others: Sequence[Rank], of: Callable[[Rank], Maybe[float]]
) -> tuple[float, float] | None:
    """Return a value and the median of the others', if it lies apart from all of them."""
    own = of(rank)
    rest = [v for o in others if known(v := of(o))]
    if isinstance(own, Missing) or len(rest) < len(others):
        return None
    usual = median(rest)
    spread = max(abs(v - usual) for v in rest)
    return (own, usual) if spread <= ALIKE * abs(own - usual) else None
