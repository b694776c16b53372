"""An order of rows that changes rarely, so that a row can be read and clicked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MIN_HOLD_S: Final = 2.0
"""Seconds for which the order does not change after it has changed, and after a key or click."""


class SteadyOrder:
    """The order of a table, held for `MIN_HOLD_S`; new rows are appended until it is sorted again."""

    def __init__(self) -> None:
        self._keys: list[Hashable] = []
        """The keys of the rows when they were last sorted."""
        self._criterion: Hashable = None
        self._sorted_s = self._touched_s = float("-inf")

    def note_selection(self, now_s: float) -> None:
        """Hold the order, because the user is selecting a row."""
        self._touched_s = now_s

    def apply(
        self, rows: Sequence[T], key: Callable[[T], Hashable], criterion: Hashable, now_s: float
    ) -> Sequence[T]:
        """Return rows in the order to show; `rows` are sorted by `criterion`, which the user has chosen.

        A change of the criterion takes effect at once.
        """
        keys = list(map(key, rows))
        if criterion == self._criterion:
            if keys == self._keys:
                return rows
            held = min(now_s - self._sorted_s, now_s - self._touched_s) < MIN_HOLD_S
            if held and now_s >= self._sorted_s:
                places = {its: place for place, its in enumerate(self._keys)}
                return sorted(rows, key=lambda row: places.get(key(row), len(places)))
        self._keys, self._criterion, self._sorted_s = keys, criterion, now_s
        return rows
