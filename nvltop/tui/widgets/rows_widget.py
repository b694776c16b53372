"""A widget that shows rows, and sends only the parts of them that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip

from nvltop.tui.render.cells import to_text
from nvltop.tui.render.row import Row, TextRun, text_of
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.plain_widget import PlainWidget

ColumnRange: TypeAlias = "tuple[int, int]"
"""First column, and the column after the last."""
EMPTY_ROW: Final[Row] = ()
END_OF_ROW: Final = ("", "")
MAX_GAP: Final = 6
"""Unchanged columns between two changes up to which both are sent as one: moving the cursor costs bytes."""


class RowsWidget(PlainWidget):
    """Rows of exactly the width of the widget.

    A row that did not change costs nothing. The changed parts of other rows are written directly to the
    terminal if possible; else Textual renders the line again and sends it up to the last change.
    """

    DEFAULT_CSS = "RowsWidget { height: 1fr; width: 1fr; }"

    def __init__(self, output: DirectOutput, id: str) -> None:
        super().__init__(id=id)
        self._output = output
        self._rows: Sequence[Row] = ()
        self._strips: dict[int, Strip] = {}

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        old, self._rows = self._rows, rows
        dirty = []
        for y in range(max(len(old), len(rows))):
            before = old[y] if y < len(old) else EMPTY_ROW
            after = rows[y] if y < len(rows) else EMPTY_ROW
            if before != after:
                self._strips.pop(y, None)
                dirty.append((y, changes(before, after)))
        if not dirty:
            return
        if self._output.is_active:
            self._put(dirty)
        else:
            width = self.size.width
            self.refresh(*(Region(0, y, parts[-1][1] or width, 1) for y, parts in dirty))

    def _put(self, dirty: Sequence[tuple[int, Sequence[ColumnRange]]]) -> None:
        at = self.region
        if not at:
            return
        # On a low screen a part of the widget may lie outside its tab, where another widget is.
        seen = self.screen.find_widget(self).visible_region
        blank = ((" " * at.width, ""),)
        for y, parts in dirty:
            if seen.y <= at.y + y < seen.bottom:
                row = self._rows[y] if y < len(self._rows) else blank
                for start, end in parts:
                    self._output.write_cells(
                        at.x, at.y + y, row, start, min(end or at.width, seen.right - at.x)
                    )

    def restyle(self) -> None:
        """Draw everything again, after a change of the styles."""
        self._strips.clear()
        self.refresh()

    def take_rows(self) -> tuple[Sequence[Row], dict[int, Strip]]:
        """Remove the rows without sending anything; return the argument of `put_back`."""
        before = self._rows, self._strips
        self._rows, self._strips = (), {}
        return before

    def put_back(self, before: tuple[Sequence[Row], dict[int, Strip]]) -> None:
        """Restore the rows that `take_rows` returned."""
        self._rows, self._strips = before

    def text(self) -> str:
        """Return the text of the rows, without styles."""
        return "\n".join(text_of(row) for row in self._rows)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines without border, padding or background, which Textual would add."""
        return [self.render_line(y).crop(crop.x, crop.right) for y in crop.line_range]

    def render_line(self, y: int) -> Strip:
        """Return one line of the widget."""
        strip = self._strips.get(y)
        if strip is None:
            if y >= len(self._rows):
                return Strip.blank(self.size.width)
            styles = self._output.styles.styles
            segments = [Segment(to_text(text), styles[role]) for text, role in self._rows[y]]
            strip = Strip(segments, sum(len(text) for text, _ in self._rows[y]))
            self._strips[y] = strip
        return strip


def changes(before: Row, after: Row) -> list[ColumnRange]:
    """Return the parts in which two different rows of the same width differ; (0, 0) is the whole row."""
    parts: list[ColumnRange] = []
    if not before or not after:
        return [(0, 0)]
    texts, _ = zip(*after, strict=True)
    widths = [*map(len, texts)]
    at = aligned = done = 0
    for aligned, (old_run, new_run) in enumerate(zip(before, after, strict=False)):
        if old_run == new_run:
            continue
        at, done = at + sum(widths[done:aligned]), aligned
        if len(old_run[0]) != widths[aligned]:
            break
        _compare(parts, at, old_run, new_run)
    else:
        aligned = min(len(before), len(after))
        at += sum(widths[done:aligned])
    # From here on the runs of the two rows differ in length: compare up to the next end of one.
    before, after = (*before[aligned:], END_OF_ROW), (*after[aligned:], END_OF_ROW)
    i = j = 0
    old = new = role = its = ""
    while True:
        if not old:
            (old, role), i = before[i], i + 1
        if not new:
            (new, its), j = after[j], j + 1
        if not old or not new:
            return parts if old == new else [(0, 0)]
        width = len(new)
        if old == new and role == its:
            old = new = ""
        else:
            width = min(len(old), width)
            _compare(parts, at, (old[:width], role), (new[:width], its))
            old, new = old[width:], new[width:]
        at += width


def _compare(parts: list[ColumnRange], at: int, before: TextRun, after: TextRun) -> None:
    """Add the difference of two runs of the same width at column `at`."""
    (old, role), (new, its) = before, after
    start, end = 0, len(new)
    if role == its:
        if old == new:
            return
        start, end = _common_start(old, new), end - _common_end(old, new)
    _join(parts, at + start, at + max(start, end))


def _join(parts: list[ColumnRange], start: int, end: int) -> None:
    """Add a part, or extend the last part if the gap between them is small."""
    if parts and start - parts[-1][1] < MAX_GAP:
        start = parts.pop()[0]
    parts.append((start, end))


def _common_start(a: str, b: str) -> int:
    """Return the length of the common prefix of two texts."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        # Comparing slices is much faster than comparing characters.
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: str, b: str) -> int:
    """Return the length of the common suffix of two texts."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[-middle:] == b[-middle:]:
            low = middle
        else:
            high = middle - 1
    return low
