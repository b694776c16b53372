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

SOON_S: Final = 1.0
"""What is over sooner is not told."""
BIG_BYTES: Final = 1 << 20
"""A recording that takes more than a blink to read."""
COLUMNS: Final = 80
"""Of a terminal that does not know its width."""


class Line:
    """The line; as a context it is gone at the end, however that comes."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._told = ""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def tell(self, text: str) -> None:
        """Show `text` instead of what was shown before."""
        if not self._terminal:
            return
        text = clean(f"nvltop: {text}")[: _columns() - 1]
        if text != self._told:
            self._write(text)
            self._told = text

    def clear(self) -> None:
        """Take the line away; before anything else is printed."""
        if self._told:
            self._write("")
            self._told = ""

    def reading(self, path: str) -> Callable[[int, int], None]:
        """Return what tells how much of a file has been read, given bytes read and bytes in all."""

        def progress(done: int, total: int) -> None:
            if BIG_BYTES <= total != done:
                self.tell(f"{100 * done // total} % of {path} read")
            else:
                self.clear()

        return progress

    def _write(self, text: str) -> None:
        # Blanks and not an escape sequence: every terminal knows them.
        blank = " " * (len(self._told) - len(text))
        end = "\r" if not text else "\b" * len(blank)
        print(f"\r{text}{blank}{end}", end="", file=sys.stderr, flush=True)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def first_reading(tick: Tick, waited_s: float) -> str:
    """`GPU 1: nvmlDeviceGetNvLinkState for 3 s, 42 s in all`: what a slow start is waiting for."""
    told = f"{age(waited_s)} in all"
    if not tick.calls:
        return f"first reading of the node, {told}"
    call = max(tick.calls, key=lambda c: c.since_s)
    where = "driver" if call.gpu is None else f"GPU {call.gpu}"
    return f"{where}: {call.function} for {age(max(0.0, tick.mono_s - call.since_s))}, {told}"
