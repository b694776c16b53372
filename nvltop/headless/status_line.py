"""A transient progress line for long operations.

It is written to stderr, and only if that is a terminal: stdout carries data.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from nvltop.text import clean

LARGE_FILE_BYTES: Final = 1 << 20
"""Size from which reading a file shows its progress."""
DEFAULT_COLUMNS: Final = 80
"""Width of a terminal that does not report one."""


class StatusLine:
    """The progress line; as a context manager it is cleared on exit."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show `text` instead of the previous text."""
        if not self._terminal:
            return
        text = clean(f"nvltop: {text}")[: _columns() - 1]
        if text != self._shown:
            self._write(text)
            self._shown = text

    def clear(self) -> None:
        """Clear the line; call this before anything else is printed."""
        if self._shown:
            self._write("")
            self._shown = ""

    def file_progress(self, path: str) -> Callable[[int, int], None]:
        """Return a callback that shows how much of a file was read, from the bytes read and the file size."""

        def progress(done: int, total: int) -> None:
            if LARGE_FILE_BYTES <= total != done:
                self.show(f"{100 * done // total} % of {path} read")
            else:
                self.clear()

        return progress

    def _write(self, text: str) -> None:
        # Blanks instead of an escape sequence: every terminal supports them.
        blank = " " * (len(self._shown) - len(text))
        end = "\r" if not text else "\b" * len(blank)
        print(f"\r{text}{blank}{end}", end="", file=sys.stderr, flush=True)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS
