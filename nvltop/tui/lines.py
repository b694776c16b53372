"""A widget that shows rows and sends only what changed of them."""

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

    Textual's cost is the re-rendered line, and it sends a dirty line again from the widget's left edge
    to the dirty region's right one: so a row that did not change is not touched, and of the others
    only the columns up to the last change are sent.
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
        dirty = []
        for y in range(max(len(old), len(rows))):
            before = old[y] if y < len(old) else ()
            after = rows[y] if y < len(rows) else ()
            if before != after:
                self._strips.pop(y, None)
                dirty.append(Region(0, y, last_change(before, after) or self.size.width, 1))
        if dirty:
            self.refresh(*dirty)

    def forget(self) -> None:
        """Draw everything anew, as after a change of the styles."""
        self._strips.clear()
        self.refresh()

    def text(self) -> str:
        """Return what is shown, without styles."""
        return "\n".join("".join(text for text, _ in row) for row in self._rows)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return some lines; there is no border, padding or background that Textual would have to add."""
        return [self.render_line(y).crop(crop.x, crop.right) for y in crop.line_range]

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


def last_change(before: Row, after: Row) -> int:
    """Return up to which column two rows of the same width differ; 0 if their widths do."""
    width = sum(len(text) for text, _ in after)
    if width != sum(len(text) for text, _ in before):
        return 0
    same = 0
    for (old, role), (new, its) in zip(reversed(before), reversed(after), strict=False):
        if (old, role) != (new, its):
            return width - same - (_common_end(old, new) if role == its else 0)
        same += len(new)
    return width - same


def _common_end(a: str, b: str) -> int:
    """Return how many characters two texts share at their ends."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        # Comparing slices is far quicker than comparing characters.
        middle = (low + high + 1) // 2
        if a[-middle:] == b[-middle:]:
            low = middle
        else:
            high = middle - 1
    return low
