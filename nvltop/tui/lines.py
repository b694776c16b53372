"""A widget that shows rows and redraws only those that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from nvltop.tui.paint.row import Row


class Lines(Widget):
    """Rows of exactly the widget's width.

    Textual's cost is the re-rendered line, and it sends a dirty line again from its left edge: so a
    row that did not change is not touched.
    """

    DEFAULT_CSS = "Lines { height: 1fr; width: 1fr; }"

    def __init__(self, styles: Mapping[str, Style], id: str) -> None:
        super().__init__(id=id)
        self._roles = styles
        self._rows: Sequence[Row] = ()
        self._strips: dict[int, Strip] = {}

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows from now on."""
        old = self._rows
        self._rows = rows
        width = self.size.width
        for y in range(max(len(old), len(rows))):
            if y >= len(old) or y >= len(rows) or old[y] != rows[y]:
                self._strips.pop(y, None)
                self.refresh(Region(0, y, width, 1))

    def text(self) -> str:
        """Return what is shown, without styles."""
        return "\n".join("".join(text for text, _ in row) for row in self._rows)

    def render_line(self, y: int) -> Strip:
        """Return one line of the widget."""
        strip = self._strips.get(y)
        if strip is None:
            if y >= len(self._rows):
                return Strip.blank(self.size.width)
            segments = [Segment(text, self._roles[role]) for text, role in self._rows[y]]
            strip = Strip(segments, sum(len(text) for text, _ in self._rows[y]))
            self._strips[y] = strip
        return strip
