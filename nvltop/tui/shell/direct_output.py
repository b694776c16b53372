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

from nvltop.tui.render.cells import REST, shown
from nvltop.tui.render.row import Row

PROBE: Final = "x"
"""A text to see the escape sequences round it."""
MIXED: Final = "mixed"
"""Stands for the role of parts that have several, and their styles in them."""


class Ink:
    """The styles of a theme, by role."""

    def __init__(self) -> None:
        self.styles: dict[str, Style] = {}
        self._sequences: dict[str, tuple[str, str]] = {}
        """What is sent before and after a text, by role."""
        self._sent: dict[str, list[str]] | None = None
        """What goes straight to the terminal, by the role that it all has; None while Textual draws."""

    def use(self, theme: Mapping[str, Style]) -> None:
        """Draw in other styles from now on."""
        self.styles = dict(theme)
        self._sequences = {}

    @contextmanager
    def straight(self, console: Console, write: Callable[[str], None]) -> Iterator[None]:
        """Let what is put down meanwhile be written at once, all of it together."""
        if not self._sequences:
            self._sequences = {role: _around(style, console) for role, style in self.styles.items()}
            self._sequences[MIXED] = "", ""
        self._sent = {}
        try:
            yield
        finally:
            sent, self._sent = self._sent, None
        if sent:
            write("".join([text for role, texts in sent.items() for text in self._dressed(role, texts)]))

    def _dressed(self, role: str, texts: list[str]) -> tuple[str, ...]:
        before, after = self._sequences[role]
        return before, *texts, after

    @property
    def is_straight(self) -> bool:
        """Whether texts can be put down."""
        return self._sent is not None

    def put(self, x: int, y: int, row: Row, start: int, end: int) -> None:
        """Put a part of a row down; its column 0 stands at `x`, `y` of the screen."""
        assert self._sent is not None
        if any(REST in text for text, _ in row):
            start, end = _whole(row, start, end)
        runs = []
        at = 0
        for text, role in row:
            after = at + len(text)
            if after > start:
                runs.append((shown(text[max(0, start - at) : end - at]), role))
            if after >= end:
                break
            at = after
        place = f"\x1b[{y + 1};{x + start + 1}H"
        if len(runs) == 1:
            # A style is sent once for all parts that have it, wherever they stand.
            text, role = runs[0]
            self._sent.setdefault(role, []).append(place + text)
        else:
            texts = ["".join(self._dressed(role, [text])) for text, role in runs]
            self._sent.setdefault(MIXED, []).append(place + "".join(texts))


def _whole(row: Row, start: int, end: int) -> tuple[int, int]:
    """Widen a part so that no wide character is sent in half."""
    text = "".join(text for text, _ in row)
    start -= text[start : start + 1] == REST
    return start, end + (text[end : end + 1] == REST)


def _around(style: Style, console: Console) -> tuple[str, str]:
    before, _, after = Strip([Segment(PROBE, style)], len(PROBE)).render(console).partition(PROBE)
    return before, after
