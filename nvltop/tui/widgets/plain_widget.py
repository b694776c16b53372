"""A widget without border, padding and scrollbars."""

from __future__ import annotations

from textual.geometry import Size
from textual.widget import Widget


class PlainWidget(Widget):
    """A widget whose size is also known while it is hidden, and without a search for it on the screen."""

    expected_size = Size(0, 0)
    """The size that the first layout will give the widget; 0 x 0 if it is not known before."""

    @property
    def size(self) -> Size:
        """The size of the last layout, or the one that is expected of the first."""
        return self.outer_size or self.expected_size
