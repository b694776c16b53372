"""Scrolling of lists that follow their selection."""

from __future__ import annotations


def first_shown(before: int, selected: int, count: int, height: int) -> int:
    """Return the first row to show so that the selected one is seen, moved no more than needed."""
    top = min(before, max(0, count - height))
    return max(0, min(selected, max(top, selected - height + 1)))
