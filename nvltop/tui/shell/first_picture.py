"""The first picture: at the start, Textual sends all rows up to four times."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

START_S: Final = 1.0
"""Time in which rows are not sent twice, seconds: later on, that may repair a screen that was damaged."""
_PIECES: Final = re.compile(r"\x1b\[(\d+);\d+H[^\x1b]*(?:\x1b\[[\d;]*m[^\x1b]*)*")
"""Text that moves the cursor to a row (group 1), and then only prints there."""


class FirstPicture:
    """Leaves out of the output at the start what the terminal shows already."""

    def __init__(self, bytes_sent: Callable[[], int]) -> None:
        """Initialize; `bytes_sent` returns the number of bytes sent to the terminal so far."""
        self._bytes_sent = bytes_sent
        self._begun_s = time.monotonic()
        self._sent = 0
        """Number of bytes after the last picture: if there are more, other output may have changed rows."""
        self._due = 0
        """Number of bytes after this picture, at least, if none is dropped."""
        self._shown: dict[str, frozenset[str]] = {}
        """Pieces of each row that were sent together, by its number."""

    def begin(self) -> None:
        """Note that a picture will be sent, and forget what was shown if anything else was sent."""
        if self._bytes_sent() != self._sent:
            self._shown.clear()

    def new(self, text: str) -> str:
        """Return the part of a picture that the terminal does not show yet."""
        if time.monotonic() - self._begun_s > START_S:
            self._shown.clear()
        else:
            text = "".join(self._new(text))
        self._due = self._bytes_sent() + len(text)
        return text

    def _new(self, text: str) -> Iterator[str]:
        end = 0
        for row, pieces in groupby(_PIECES.finditer(text), key=lambda piece: piece[1]):
            found = list(pieces)
            if found[0].start() != end:
                yield text[end : found[0].start()]
            end = found[-1].end()
            shown = frozenset(piece[0].rstrip("\n") for piece in found)
            if not shown <= self._shown.get(row, frozenset()):
                self._shown[row] = shown
                yield text[found[0].start() : end]
        yield text[end:]

    def end(self) -> None:
        """Note that the picture was sent, unless a stalled terminal did not accept it."""
        self._sent = self._bytes_sent()
        if self._sent < self._due:
            self._shown.clear()
