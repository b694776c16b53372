"""The text below a list that shows its selected row in whole sentences."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from textual import events

from nvltop.tui.render.row import TextRun, end_with, fit
from nvltop.tui.widgets.rows_widget import RowsWidget

TITLE_LINES: Final = 1


class Details(RowsWidget):
    """Lines of text below a title, which counts those that do not fit; `turn` shows the others."""

    DEFAULT_CSS = "Details { height: 30%; min-height: 7; max-height: 50%; dock: bottom; }"

    _subject: Hashable = None
    _lines: Sequence[Sequence[TextRun]] = ()
    _top: int = 0

    def show_lines(self, subject: Hashable, lines: Sequence[Sequence[TextRun]]) -> None:
        """Show the lines about a subject; those of another one are shown from the first line on."""
        if subject != self._subject:
            self._subject, self._top = subject, 0
        self._lines = lines
        self._top = max(0, min(self._top, len(lines) - self._room))
        width, shown = self.size.width, lines[self._top : self._top + self._room]
        last = self._top + len(shown)
        is_cut = len(lines) > self._room
        words = f" lines {self._top + 1}-{last} of {len(lines)}, more: ] [ " if is_cut else ""
        title = fit([(end_with("", words, width), "title")], width, "title")
        self.show([title, *(fit(runs, width) for runs in shown)][: self.size.height])

    @property
    def _room(self) -> int:
        return max(1, self.size.height - TITLE_LINES)

    def turn(self, pages: int) -> None:
        """Show the next or previous lines."""
        self._scroll(pages * self._room)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move down by a line; the list does not move."""
        event.stop()
        self._scroll(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move up by a line; the list does not move."""
        event.stop()
        self._scroll(-1)

    def _scroll(self, by: int) -> None:
        self._top += by
        self.show_lines(self._subject, self._lines)
