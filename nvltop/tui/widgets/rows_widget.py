"""A widget that shows rows, and sends only the parts of them that changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from rich.segment import Segment
from textual.errors import NoWidget
from textual.geometry import Region
from textual.strip import Strip

from nvltop.tui.render.cells import to_text
from nvltop.tui.render.row import Row, section, text_of
from nvltop.tui.render.row_changes import Compared, Piece, changes, row_width
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.plain_widget import PlainWidget

EMPTY_ROW: Final[Row] = ()


class _Place(NamedTuple):
    """Where a widget is on the screen, and which of its rows and columns are visible."""

    x: int
    y: int
    top: int
    """First visible row."""
    bottom: int
    """Row after the last visible one."""
    width: int


NOWHERE: Final = _Place(0, 0, 0, 0, 0)


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
        self._layout: object = None
        """The layout that the place is of."""
        self._place = NOWHERE

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        if rows is self._rows:
            return
        old, self._rows = self._rows, rows
        dirty = []
        compared: Compared = {}
        for y, (before, after) in enumerate(zip_longest(old, rows, fillvalue=EMPTY_ROW)):
            if before is not after and before != after:
                self._strips.pop(y, None)
                # Rows whose runs differ may still have the same cells.
                if pieces := changes(before, after, compared):
                    dirty.append((y, pieces))
        if not dirty:
            return
        if self._output.is_active:
            self._put(dirty)
        else:
            self.refresh(*(Region(0, y, pieces[-1][0] + len(pieces[-1][1]), 1) for y, pieces in dirty))

    def _put(self, dirty: Sequence[tuple[int, Sequence[Piece]]]) -> None:
        if self._layout is not self._output.layout:
            self._layout, self._place = self._output.layout, self._find_place()
        left, above, top, bottom, width = self._place
        for y, pieces in dirty:
            if top <= y < bottom:
                row = self._rows[y] if y < len(self._rows) else EMPTY_ROW
                self._output.write_cells(left, above + y, row, pieces, width)

    def _find_place(self) -> _Place:
        try:
            place = self.screen.find_widget(self)
        except NoWidget:
            return NOWHERE
        # On a low screen a part of the widget may lie outside its tab, where another widget is.
        at, seen = place.region, place.visible_region
        if not at:
            return NOWHERE
        return _Place(at.x, at.y, seen.y - at.y, seen.bottom - at.y, min(at.width, seen.right - at.x))

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
