"""What is told of work that takes long: a line on the terminal that overwrites itself and goes away.

It is for somebody who waits: on stderr, and only if that is a terminal; stdout carries data.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from nvltop.formatting import age
from nvltop.model import Tick
from nvltop.text import clean

SHOW_AFTER_S: Final = 1.0
"""What is over sooner is not told."""
LARGE_FILE_BYTES: Final = 1 << 20
"""A recording that takes more than a blink to read."""
DEFAULT_COLUMNS: Final = 80
"""Of a terminal that does not know its width."""


class StatusLine:
    """The line; as a context it is gone at the end, however that comes."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show `text` instead of what was shown before."""
        if not self._terminal:
            return
        text = clean(f"nvltop: {text}")[: _columns() - 1]
        if text != self._shown:
            self._write(text)
            self._shown = text

    def clear(self) -> None:
        """Take the line away; before anything else is printed."""
        if self._shown:
            self._write("")
            self._shown = ""

    def file_progress(self, path: str) -> Callable[[int, int], None]:
        """Return what tells how much of a file has been read, given bytes read and bytes in all."""

        def progress(done: int, total: int) -> None:
            if LARGE_FILE_BYTES <= total != done:
                self.show(f"{100 * done // total} % of {path} read")
            else:
                self.clear()

        return progress

    def _write(self, text: str) -> None:
        # Blanks and not an escape sequence: every terminal knows them.
        blank = " " * (len(self._shown) - len(text))
        end = "\r" if not text else "\b" * len(blank)
        print(f"\r{text}{blank}{end}", end="", file=sys.stderr, flush=True)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


def startup_progress(tick: Tick, waited_s: float) -> str:
    """`GPU 1: nvmlDeviceGetNvLinkState for 3 s, 42 s in all`: what a slow start is waiting for."""
    told = f"{age(waited_s)} in all"
    if not tick.calls:
        return f"first reading of the node, {told}"
    call = max(tick.calls, key=lambda c: c.since_s)
    where = "driver" if call.gpu is None else f"GPU {call.gpu}"
    return f"{where}: {call.function} for {age(max(0.0, tick.mono_s - call.since_s))}, {told}"
