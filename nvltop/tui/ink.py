"""How roles look, and the short way of what changed of them to the terminal.

Textual's compositor costs some milliseconds a frame, however little has changed, and sends each changed
line from its left edge on. A dashboard whose tables change in place several times a second and is left
open for days cannot afford that. So what changes of a picture that already stands is written straight to
the terminal, cell by cell; all else (the first picture, tabs, menus, messages, another size) is
Textual's, which keeps no copy of the screen but asks the widgets: both ways show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from nvltop.tui.paint.row import Row

PROBE: Final = "x"
"""A text to see the escape sequences round it."""


class Ink:
    """The styles of a theme, by role."""

    def __init__(self) -> None:
        self.styles: dict[str, Style] = {}
        self._sequences: dict[str, tuple[str, str]] = {}
        """What is sent before and after a text, by role."""
        self._sent: list[str] | None = None
        """What goes straight to the terminal; None while Textual draws."""

    def use(self, theme: Mapping[str, Style]) -> None:
        """Draw in other styles from now on."""
        self.styles = dict(theme)
        self._sequences = {}

    @contextmanager
    def straight(self, console: Console, write: Callable[[str], None]) -> Iterator[None]:
        """Let what is put down meanwhile be written at once, all of it together."""
        if not self._sequences:
            self._sequences = {role: _around(style, console) for role, style in self.styles.items()}
        self._sent = []
        try:
            yield
        finally:
            sent, self._sent = self._sent, None
        if sent:
            write("".join(sent))

    @property
    def is_straight(self) -> bool:
        """Whether texts can be put down."""
        return self._sent is not None

    def put(self, x: int, y: int, row: Row, start: int, end: int) -> None:
        """Put a part of a row down; its column 0 stands at `x`, `y` of the screen."""
        assert self._sent is not None
        self._sent.append(f"\x1b[{y + 1};{x + start + 1}H")
        at = 0
        for text, role in row:
            after = at + len(text)
            if after > start:
                before_it, behind_it = self._sequences[role]
                self._sent.append(f"{before_it}{text[max(0, start - at) : end - at]}{behind_it}")
            if after >= end:
                return
            at = after


def _around(style: Style, console: Console) -> tuple[str, str]:
    before, _, after = Strip([Segment(PROBE, style)], len(PROBE)).render(console).partition(PROBE)
    return before, after
