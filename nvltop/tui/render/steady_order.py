"""An order of rows that changes seldom, so that a row can be read and clicked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MIN_HOLD_S: Final = 2.0
"""Shortest time between two changes of the order, and from the last key or click to the next, seconds."""


class SteadyOrder:
    """Keeps the order of a table for a while; rows that come are put at the end until it is sorted again."""

    def __init__(self) -> None:
        self._positions: dict[Hashable, int] = {}
        self._criterion: Hashable = None
        self._sorted_s = self._touched_s = float("-inf")

    def note_selection(self, now_s: float) -> None:
        """Note that the user is choosing a row."""
        self._touched_s = now_s

    def apply(
        self, rows: Sequence[T], key: Callable[[T], Hashable], by: Hashable, now_s: float
    ) -> Sequence[T]:
        """Return rows in the order to show; `rows` come sorted `by` what the user has chosen.

        A change of `by` takes effect at once.
        """
        held = min(now_s - self._sorted_s, now_s - self._touched_s) < MIN_HOLD_S
        if by == self._criterion and held and now_s >= self._sorted_s:
            last = len(self._positions)
            return sorted(rows, key=lambda row: self._positions.get(key(row), last))
        places: dict[Hashable, int] = {key(row): place for place, row in enumerate(rows)}
        if by != self._criterion or places != self._positions:
            self._sorted_s = now_s
        self._positions, self._criterion = places, by
        return rows
