"""Series of numbers in which NaN stands for what was not read."""

from __future__ import annotations

from collections.abc import Sequence


def read_values(values: Sequence[float]) -> Sequence[float]:
    """Return the numbers that were read: the series itself if that is all of them, as it mostly is."""
    total = sum(values)
    return values if total == total else [v for v in values if v == v]
