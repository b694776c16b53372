"""Scrolling of lists: the selected row stays visible."""

from __future__ import annotations


def first_shown(before: int, selected: int, count: int, height: int) -> int:
    """Return the first row to show: as close to the one shown `before` as keeps the selected row visible."""
    top = min(before, max(0, count - height))
    return max(0, min(selected, max(top, selected - height + 1)))
