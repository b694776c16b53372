"""Direct output of changed cells to the terminal, without Textual's compositor.

Textual's compositor costs some milliseconds per frame, however little has changed, and sends each changed
line from its left edge. That is too much for a dashboard whose tables change in place each second and which
stays open for days. Therefore changes of a screen that consists of rows only are written to the
terminal cell by cell. Textual draws everything else: the first frame, another tab, menus, messages, another
size. Textual keeps no copy of the screen but renders the widgets, so both ways show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console

from nvltop.tui.render.cells import SECOND_HALF, to_text
from nvltop.tui.render.row import ColumnRange, Row, section
from nvltop.tui.widgets.style_table import MIXED_ROLE, StyleTable


class DirectOutput:
    """Collects the changed cells of a frame and writes them to the terminal at once."""

    def __init__(self, styles: StyleTable) -> None:
        self.styles = styles
        self._sequences: dict[str, tuple[str, str]] = {}
        self._texts: dict[str, list[str]] | None = None
        """Positioned texts of the frame by role; None while Textual draws."""

    @contextmanager
    def frame(self, console: Console, write: Callable[[str], None]) -> Iterator[None]:
        """Collect the cells that are written meanwhile, and pass them to `write` together at the end."""
        self._sequences = self.styles.sequences(console)
        self._texts = {}
        try:
            yield
        finally:
            collected, self._texts = self._texts, None
        if collected:
            pieces: list[str] = []
            for role, texts in collected.items():
                before, after = self._sequences[role]
                pieces += (before, *texts, after)
            write("".join(pieces))

    @property
    def is_active(self) -> bool:
        """Whether cells can be written directly now."""
        return self._texts is not None

    def write_cells(self, x: int, y: int, row: Row, parts: Iterable[ColumnRange]) -> None:
        """Write some parts of a row whose column 0 is at `x`, `y` of the screen."""
        assert self._texts is not None
        whole = "".join([text for text, _ in row])
        is_narrow = to_text(whole) is whole
        for start, end in parts:
            if not is_narrow:
                start, end = _with_both_halves(whole, start, end)
            runs = section(row, start, end)
            if not is_narrow:
                runs = [(to_text(text), role) for text, role in runs]
            place = f"\x1b[{y + 1};{x + start + 1}H"
            if len(runs) == 1:
                # The style is sent once for all texts of its role, wherever they are.
                text, role = runs[0]
                self._texts.setdefault(role, []).append(place + text)
                continue
            pieces = [place]
            for text, role in runs:
                before, after = self._sequences[role]
                pieces += (before, text, after)
            self._texts.setdefault(MIXED_ROLE, []).append("".join(pieces))


def _with_both_halves(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a range of columns so that it does not split a wide character."""
    start -= text[start : start + 1] == SECOND_HALF
    return start, end + (text[end : end + 1] == SECOND_HALF)
