"""Values that are computed again only when what they depend on has changed.

What a value depends on is an argument, the key, so that a dependency cannot be forgotten in another place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The last value of a computation, and the key that it was computed for."""

    __slots__ = ("_key", "_value")

    _value: Value

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None

    def get(self, key: tuple[object, ...], compute: Callable[[], Value]) -> Value:
        """Return the last value if `key` equals its key, else compute the value."""
        if key != self._key:
            # First the value: if it fails, the key must not claim that there is one.
            self._value = compute()
        # An equal key too: its objects are those of the next call, which are then compared by identity.
        self._key = key
        return self._value


class MemoTable:
    """The last value of each of several computations, which differ by name."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[tuple[object, ...], Any]] = {}

    def get(self, name: Hashable, key: tuple[object, ...], compute: Callable[[], Value]) -> Value:
        """Return the last value of `name` if `key` equals its key, else compute the value."""
        entry = self._entries.get(name)
        if entry is None or entry[0] != key:
            entry = self._entries[name] = key, compute()
        value: Value = entry[1]
        return value
