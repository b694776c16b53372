"""What is kept of items once they are some minutes old: one reading of the link counters a second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import mul
from typing import Final, cast

from nvltop.model import ComputeActivity, Item, LinkCounters, Maybe, Reading, Tick
from nvltop.model.missing import first_missing

SAMPLE_S: Final = 1.0
"""Time between two readings of link counters that are kept, and between two ticks, seconds."""
EARLY_SHARE: Final = 0.9
"""Share of `SAMPLE_S` after which the next reading is kept."""
MAX_GAP_S: Final = 0.01
"""Longest gap between two spans of compute activity that are joined, seconds."""


def are_adjacent(before: Reading, after: Reading) -> bool:
    """Return whether the compute activity of one span can be joined to that of the span before."""
    if not 0 <= after.start_s - before.end_s < MAX_GAP_S or after.end_s <= after.start_s:
        return False
    a, b = before.data, after.data
    assert isinstance(a, ComputeActivity)
    assert isinstance(b, ComputeActivity)
    return a.source == b.source and a.note == b.note


def join(spans: Sequence[Reading]) -> Reading:
    """Return compute activity over adjacent spans: means over quarters of a second become one over all."""
    first, last = spans[0], spans[-1]
    if first is last:
        return last
    lengths_s = [span.end_s - span.start_s for span in spans]
    data = [span.data for span in spans]
    newest = data[-1]
    assert isinstance(newest, ComputeActivity)
    sm, tensor, dram = zip(
        *[(d.sm, d.tensor, d.dram) for d in data if isinstance(d, ComputeActivity)], strict=True
    )
    joined = ComputeActivity(
        _mean(sm, lengths_s),
        _mean(tensor, lengths_s),
        _mean(dram, lengths_s),
        newest.power_w,
        newest.source,
        newest.note,
    )
    return Reading(last.gpu, first.start_s, last.end_s, last.wall_s, joined, last.problem)


def _mean(values: Sequence[Maybe[float]], lengths_s: Sequence[float]) -> Maybe[float]:
    try:
        total = sum(map(mul, cast(Sequence[float], values), lengths_s))
    except TypeError:
        # `Missing` cannot be multiplied. A test of each value would cost more than the sum.
        if missing := first_missing(values):
            return missing
        raise
    return float(round(total / sum(lengths_s), 3))


class Thinning:
    """Chooses what is kept of a stream of items."""

    def __init__(self) -> None:
        self._taken_s: dict[str, float] = {}
        """Time of the last counters of each GPU that were kept, and of the last tick."""
        self._spans: defaultdict[str, list[Reading]] = defaultdict(list)
        """Adjacent compute activity of each GPU that covers less than a second so far."""

    def is_kept(self, item: Item) -> bool:
        """Return whether an item other than a reading is kept."""
        return not isinstance(item, Tick) or self._is_due("", item.mono_s)

    def choose(self, reading: Reading) -> tuple[bool, Reading | None]:
        """Return whether a reading is kept, and what is kept before it in place of earlier ones."""
        data = reading.data
        if isinstance(data, LinkCounters) and reading.gpu:
            return self._is_due(reading.gpu, reading.start_s), None
        return self._join(reading) if isinstance(data, ComputeActivity) else (True, None)

    def _join(self, reading: Reading) -> tuple[bool, Reading | None]:
        spans, joined = self._spans[reading.gpu or ""], None
        if spans and not are_adjacent(spans[-1], reading):
            joined = join(spans)
            spans.clear()
        spans.append(reading)
        is_kept = False
        if not 0 < reading.end_s - spans[0].start_s < SAMPLE_S * EARLY_SHARE:
            is_kept = len(spans) == 1
            joined = joined if is_kept else join(spans)
            spans.clear()
        return is_kept, joined

    def _is_due(self, key: str, now_s: float) -> bool:
        if 0 <= now_s - self._taken_s.get(key, -SAMPLE_S) < SAMPLE_S * EARLY_SHARE:
            return False
        self._taken_s[key] = now_s
        return True
