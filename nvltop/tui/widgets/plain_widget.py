"""A widget without border, padding and scrollbars."""

from __future__ import annotations

from textual.geometry import Size
from textual.widget import Widget


class PlainWidget(Widget):
    """Knows its size without looking itself up on the screen, and also while it is not shown."""

    @property
    def size(self) -> Size:
        """What it was laid out for last."""
        return self.outer_size
