"""Unknown numbers as NaN, wherever series of numbers are packed or added up.

A packed array cannot hold a `Missing`, and a sum cannot add one; a sum with NaN is NaN by itself. NaN is the
only number that differs from itself: `x != x` tests a number for it without a call, as the modules of
`analysis` do in loops, and `has_nan` tests a series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from nvltop.model import Maybe, Missing


def has_nan(values: Sequence[float]) -> bool:
    """Return whether any number is NaN; the numbers are finite or NaN."""
    total = sum(values)
    return total != total


def without_nan(values: Sequence[float]) -> Sequence[float]:
    """Return the numbers that are known: the series itself if all are, as they mostly are."""
    return [v for v in values if v == v] if has_nan(values) else values


def or_nan(value: Maybe[float]) -> float:
    """Return a number, NaN if it is missing."""
    return math.nan if isinstance(value, Missing) else value


def all_or_nan(values: Sequence[Maybe[float]]) -> Sequence[float]:
    """Return numbers with NaN for those that are missing; the series itself if none is."""
    numbers = cast(Sequence[float], values)
    try:
        sum(numbers)
    except TypeError:  # `Missing` cannot be added; it is rare, and a test of each number would cost more
        return list(map(or_nan, values))
    return numbers
