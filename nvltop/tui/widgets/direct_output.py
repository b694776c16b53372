"""Direct output of changed cells to the terminal, without Textual's compositor.

Textual's compositor costs some milliseconds per frame, however little has changed, and sends each changed
line from its left edge. That is too much for a dashboard whose tables change in place each second and which
stays open for days. Therefore changes of a screen that consists of rows only are written to the
terminal cell by cell. Textual draws everything else: the first frame, another tab, menus, messages, another
size. Textual keeps no copy of the screen but renders the widgets, so both ways show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from nvltop.tui.render.cells import SECOND_HALF, to_text
from nvltop.tui.render.row import Row, section
from nvltop.tui.render.row_changes import Piece, cells_between
from nvltop.tui.widgets.style_table import StyleTable


class DirectOutput:
    """Collects the changed cells of a frame and writes them to the terminal at once."""

    def __init__(self, styles: StyleTable) -> None:
        self.styles = styles
        self._sequences: dict[str, tuple[str, str]] = {}
        self.layout: object = None
        """Another object whenever widgets may have moved."""
        self._texts: dict[tuple[str, str], list[str]] | None = None
        """Positioned texts of the frame by the escape sequences of their style; None while Textual draws."""

    @contextmanager
    def frame(self, console: Console, write: Callable[[str], None], layout: object = None) -> Iterator[None]:
        """Collect the cells that are written meanwhile, and pass them to `write` together at the end.

        `layout` is another object whenever widgets may have moved.
        """
        self.layout = object() if layout is None else layout
        self._sequences = self.styles.sequences(console)
        self._texts = {}
        try:
            yield
        finally:
            collected, self._texts = self._texts, None
        if collected:
            # A style is sent once for all of its texts, wherever they are.
            styled = ["".join((before, *texts, after)) for (before, after), texts in collected.items()]
            write("".join(styled))

    @property
    def is_active(self) -> bool:
        """Whether cells can be written directly now."""
        return self._texts is not None

    def write_cells(self, x: int, y: int, row: Row, pieces: Sequence[Piece], width: int) -> None:
        """Write some cells of a row whose column 0 is at `x`, `y` of the screen, up to column `width`."""
        assert self._texts is not None
        column, text, _ = pieces[-1]
        if column + len(text) > width:
            row = tuple(section(row, 0, width))
            pieces = [(at, cells[: width - at], role) for at, cells, role in pieces if at < width]
        whole = "".join([text for _, text, _ in pieces])
        if to_text(whole) is not whole:
            pieces = list(_without_halves(row, pieces))
        texts, sequences, line, x = self._texts, self._sequences, f"\x1b[{y + 1};", x + 1
        for column, text, role in pieces:
            texts.setdefault(sequences[role], []).append(f"{line}{x + column}H{text}")


def _without_halves(row: Row, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield pieces of a row as text for the terminal, widened so that they do not split a wide character."""
    cells = "".join([text for text, _ in row])
    for start, text, _ in pieces:
        end = start + len(text)
        start -= cells[start : start + 1] == SECOND_HALF
        end += cells[end : end + 1] == SECOND_HALF
        for column, part, role in cells_between(row, start, end):
            yield column, to_text(part), role
