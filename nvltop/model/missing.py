"""Values that could not be read, with their reasons.

Each value of a driver is a value or a `Missing`. An unknown value is never replaced by another one, such
as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias, TypeGuard, TypeVar, Union, cast

from nvltop.frozen import frozen

T = TypeVar("T")
N = TypeVar("N", bound=float)


@frozen
class Missing:
    """The absence of a value, with its reason."""

    reason: str
    """A few words in lower case that can follow "unknown:"."""


Maybe: TypeAlias = Union[T, Missing]  # noqa: UP007  (subscripted at run time, by the codec)
"""A value, or the reason why there is none."""

NOT_READ: Final = Missing("not read yet")
NOT_SUPPORTED: Final = Missing("not supported")
INVALID_ARGUMENT: Final = Missing("invalid argument")
FUNCTION_NOT_FOUND: Final = Missing("driver is too old for this")
VERSION_NOT_SUPPORTED: Final = Missing("driver does not know this version of the call")
DEPRECATED: Final = Missing("deprecated")
UNSUPPORTED: Final = frozenset(
    (NOT_SUPPORTED, FUNCTION_NOT_FOUND, INVALID_ARGUMENT, VERSION_NOT_SUPPORTED, DEPRECATED)
)
"""Reasons for which a repeated call fails again: the board or driver does not have the value."""
GPU_IS_LOST: Final = Missing("GPU is lost")
NOT_LISTED: Final = Missing("no longer listed by the driver")
LOST_REASONS: Final = frozenset({GPU_IS_LOST.reason, NOT_LISTED.reason})
"""Reasons for which nothing of a GPU can be read any more."""


def known(value: T | Missing) -> TypeGuard[T]:
    """Whether `value` was read (0 is known, `Missing` is not)."""
    return not isinstance(value, Missing)


def or_none(value: T | Missing) -> T | None:
    """Return the value, or None for JSON and for arithmetic that skips the unknown."""
    return None if isinstance(value, Missing) else value


def first_missing(values: Iterable[Maybe[object]]) -> Missing | None:
    """Return the first value that could not be read, or None if all were read."""
    return next((value for value in values if isinstance(value, Missing)), None)


def all_known(values: Sequence[Maybe[float]]) -> bool:
    """Return whether all numbers were read."""
    try:
        sum(cast(Sequence[float], values))
    except TypeError:  # `Missing` cannot be added; a test of each number would cost more
        return False
    return True


def total(values: Sequence[Maybe[N]]) -> Maybe[N]:
    """Return the sum of the values, or the first `Missing` if any could not be read."""
    numbers = cast(Sequence[N], values)
    try:
        result = sum(numbers)
    except TypeError:
        # `Missing` cannot be added. It is rare, and a test of each value would cost more than the sum.
        if missing := first_missing(values):
            return missing
        raise
    return cast(N, math.fsum(numbers) if isinstance(result, float) else result)
