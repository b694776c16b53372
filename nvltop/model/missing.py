"""A value that could not be read, and why.

Every value that comes from a driver is a number or a `Missing`; nothing in nvltop stands in for an
unread value, least of all 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, TypeGuard, TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missing:
    """The absence of a value, with its reason."""

    reason: str
    """A few plain words, lower case, fit to stand behind "unknown:"."""


Maybe: TypeAlias = Union[T, Missing]  # noqa: UP007  (subscripted at run time, by the codec)
"""A value, or the reason why there is none."""

NOT_READ: Final = Missing("not read yet")
NOT_SUPPORTED: Final = Missing("not supported")
GPU_IS_LOST: Final = Missing("GPU is lost")
NOT_LISTED: Final = Missing("no longer listed by the driver")


def known(value: T | Missing) -> TypeGuard[T]:
    """Whether `value` was read (0 is known, `Missing` is not)."""
    return not isinstance(value, Missing)


def or_none(value: T | Missing) -> T | None:
    """The value, or None for JSON and for arithmetic that skips the unknown."""
    return None if isinstance(value, Missing) else value
