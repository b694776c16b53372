"""A widget without border, padding and scrollbars."""

from __future__ import annotations

from textual.geometry import Size
from textual.widget import Widget


class PlainWidget(Widget):
    """A widget whose size is also known while it is hidden, and without a search for it on the screen."""

    @property
    def size(self) -> Size:
        """The size of the last layout."""
        return self.outer_size
