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
    a, b = before.data, after.data
    assert isinstance(a, ComputeActivity)
    assert isinstance(b, ComputeActivity)
    is_same = a.source == b.source and a.note == b.note
    return is_same and 0 <= after.start_s - before.end_s < MAX_GAP_S and after.end_s > after.start_s


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
    if missing := first_missing(values):
        return missing
    total = sum(map(mul, cast(Sequence[float], values), lengths_s))
    return float(round(total / sum(lengths_s), 3))


class Thinning:
    """Chooses what is kept of a stream of items."""

    def __init__(self) -> None:
        self._taken_s: dict[str, float] = {}
        """Time of the last counters of each GPU that were kept, and of the last tick."""
        self._spans: defaultdict[str, list[Reading]] = defaultdict(list)
        """Adjacent compute activity of each GPU that covers less than a second so far."""

    def is_kept(self, item: Item) -> bool:
        """Return whether an item other than compute activity is kept."""
        if isinstance(item, Reading):
            if isinstance(item.data, LinkCounters) and item.gpu:
                return self._is_due(item.gpu, item.start_s)
        elif isinstance(item, Tick):
            return self._is_due("", item.mono_s)
        return True

    def join(self, item: Reading) -> list[Reading]:
        """Return what is kept of compute activity, and of that before it."""
        spans, kept = self._spans[item.gpu or ""], []
        if spans and not are_adjacent(spans[-1], item):
            kept.append(join(spans))
            spans.clear()
        spans.append(item)
        if not 0 < item.end_s - spans[0].start_s < SAMPLE_S * EARLY_SHARE:
            kept.append(join(spans))
            spans.clear()
        return kept

    def _is_due(self, key: str, now_s: float) -> bool:
        if 0 <= now_s - self._taken_s.get(key, -SAMPLE_S) < SAMPLE_S * EARLY_SHARE:
            return False
        self._taken_s[key] = now_s
        return True
