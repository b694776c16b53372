"""A widget that shows rows and sends only what changed of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from nvltop.tui.ink import Ink
from nvltop.tui.paint.row import Row

NONE: Final[Row] = ()


class Lines(Widget):
    """Rows of exactly the widget's width.

    A row that did not change is not touched. Of the others the part that did goes straight to the terminal
    where that can be; else Textual renders and sends the line again, up to the last change.
    """

    DEFAULT_CSS = "Lines { height: 1fr; width: 1fr; }"

    def __init__(self, ink: Ink, id: str) -> None:
        super().__init__(id=id)
        self._ink = ink
        self._rows: Sequence[Row] = ()
        self._strips: dict[int, Strip] = {}

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows from now on."""
        old, self._rows = self._rows, rows
        changes = []
        for y in range(max(len(old), len(rows))):
            before = old[y] if y < len(old) else NONE
            after = rows[y] if y < len(rows) else NONE
            if before != after:
                self._strips.pop(y, None)
                changes.append((y, *changed(before, after)))
        if not changes:
            return
        if self._ink.is_straight:
            self._put(changes)
        else:
            self.refresh(*(Region(0, y, end or self.size.width, 1) for y, _, end in changes))

    def _put(self, changes: list[tuple[int, int, int]]) -> None:
        at = self.region
        blank = ((" " * at.width, ""),)
        for y, start, end in changes:
            if y < at.height:
                row = self._rows[y] if y < len(self._rows) else blank
                self._ink.put(at.x, at.y + y, row, start, min(end or at.width, at.width))

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
            styles = self._ink.styles
            segments = [Segment(text, styles[role]) for text, role in self._rows[y]]
            strip = Strip(segments, sum(len(text) for text, _ in self._rows[y]))
            self._strips[y] = strip
        return strip


def changed(before: Row, after: Row) -> tuple[int, int]:
    """Return from which up to which column two rows of the same width differ; (0, 0) if their widths do."""
    width = sum([len(text) for text, _ in after])
    if width != sum([len(text) for text, _ in before]):
        return 0, 0
    start = 0
    for (old, role), (new, its) in zip(before, after, strict=False):
        if old != new or role != its:
            start += _common_start(old, new) if role == its else 0
            break
        start += len(new)
    end = width
    for (old, role), (new, its) in zip(reversed(before), reversed(after), strict=False):
        if old != new or role != its:
            end -= _common_end(old, new) if role == its else 0
            break
        end -= len(new)
    return start, max(start, end)


def _common_start(a: str, b: str) -> int:
    """Return how many characters two texts share at their beginnings."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        # Comparing slices is far quicker than comparing characters.
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: str, b: str) -> int:
    """Return how many characters two texts share at their ends."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[-middle:] == b[-middle:]:
            low = middle
        else:
            high = middle - 1
    return low
