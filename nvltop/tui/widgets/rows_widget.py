"""A widget that shows rows, and sends only the parts of them that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from textual.errors import NoWidget
from textual.geometry import Region
from textual.strip import Strip

from nvltop.tui.render.cells import to_text
from nvltop.tui.render.row import Row, section, text_of
from nvltop.tui.render.row_changes import Piece, changes, row_width
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.plain_widget import PlainWidget

EMPTY_ROW: Final[Row] = ()


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
                # Rows whose runs differ may still have the same cells.
                if pieces := changes(before, after):
                    dirty.append((y, pieces))
        if not dirty:
            return
        if self._output.is_active:
            self._put(dirty)
        else:
            self.refresh(*(Region(0, y, pieces[-1][0] + len(pieces[-1][1]), 1) for y, pieces in dirty))

    def _put(self, dirty: Sequence[tuple[int, Sequence[Piece]]]) -> None:
        try:
            place = self.screen.find_widget(self)
        except NoWidget:
            return
        # On a low screen a part of the widget may lie outside its tab, where another widget is.
        at, seen = place.region, place.visible_region
        if not at:
            return
        top, bottom, width = seen.y - at.y, seen.bottom - at.y, min(at.width, seen.right - at.x)
        for y, pieces in dirty:
            if top <= y < bottom:
                row = self._rows[y] if y < len(self._rows) else EMPTY_ROW
                self._output.write_cells(at.x, at.y + y, row, pieces, width)

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
            # Not cut to the size of the widget, which may still be that of the layout before.
            row = self._rows[y]
            runs = section(row, 0, row_width(row))
            segments = [Segment(to_text(text), styles[role]) for text, role in runs]
            strip = Strip(segments, sum(len(text) for text, _ in runs))
            self._strips[y] = strip
        return strip
