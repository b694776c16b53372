"""Output to the terminal that never blocks the event loop, without a thread for it."""

from __future__ import annotations

import asyncio
import codecs
import os
import select
import time
from collections.abc import Callable
from typing import Final

from nvltop.text import ASCII_SUBSTITUTES, c_locale, char_width
from nvltop.tui.shell import terminal
from nvltop.tui.shell.terminal_guard import TerminalGuard

MAX_UNSENT_BYTES: Final = 1 << 16
"""Unsent bytes from which further text is refused: what Linux itself keeps for a pseudoterminal."""
SHARED_CHUNK_BYTES: Final = 256
"""Bytes that are written at once to a terminal that may block: it is then rarely full in between."""
SHARED_TIME_S: Final = 0.02
"""Time for which such a terminal is written to before the event loop goes on, seconds.

A slow line always accepts a few bytes more, and a write of more of them waits until they are gone.
"""


class TerminalOutput:
    """Sends text to the terminal now, or when it accepts output again; what it does not accept is kept."""

    def __init__(self, guard: TerminalGuard, encoding: str) -> None:
        self._guard = guard
        self._fd, self._is_own = guard.output_fd()
        # Textual's own characters, such as the borders of menus, may not exist in the locale's encoding.
        codecs.register_error("cells", _in_cells)
        self._encoding = "ascii" if c_locale(os.environ) else encoding
        self._unsent = b""
        self._when_sent: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that waits until the terminal accepts output; None while nothing waits."""

    @property
    def is_waiting(self) -> bool:
        """Whether text waits for the terminal."""
        return bool(self._unsent)

    @property
    def is_full(self) -> bool:
        """Whether too much text waits for more of it."""
        return len(self._unsent) >= MAX_UNSENT_BYTES

    def when_sent(self, call: Callable[[], None]) -> None:
        """Call a function once nothing waits any more, on the event loop."""
        if call not in self._when_sent:
            self._when_sent.append(call)

    def write(self, text: str) -> int:
        """Send text, and return its bytes; nothing is sent once the guard restores the terminal."""
        data = text.encode(self._encoding, "cells")
        if not self._guard.silent:
            self._guard.taken = True
            self._unsent += data
            self._send()
            if self._unsent and not self._loop:
                self._loop = asyncio.get_running_loop()
                self._loop.add_writer(self._fd, self._writable)
        return len(data)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is sent, by default without a limit; return whether it is."""
        while self._unsent and not self._guard.silent:
            if not select.select([], [self._fd], [], timeout_s)[1]:
                break
            self._send()
        if self._loop:
            self._loop.remove_writer(self._fd)
            self._loop = None
        return not self._unsent

    def send_while_waiting_for(self, fd: int, timeout_s: float) -> bool:
        """Send until there is something to read on `fd`, or for a time; return whether there is."""
        readable, _, _ = select.select([fd], [self._fd] if self._unsent else [], [], timeout_s)
        self._send()
        return bool(readable)

    def _send(self) -> None:
        """Send what the terminal accepts."""
        unsent = self._unsent
        end_s = time.monotonic() + SHARED_TIME_S
        try:
            while unsent:
                if self._is_own:
                    unsent = unsent[os.write(self._fd, unsent) :]
                elif time.monotonic() > end_s or terminal.is_stalled(self._fd):
                    break
                else:
                    unsent = unsent[os.write(self._fd, unsent[:SHARED_CHUNK_BYTES]) :]
        except BlockingIOError:
            pass
        except OSError:
            # The terminal was closed, which its input reports.
            unsent = b""
        self._unsent = unsent

    def _writable(self) -> None:
        self._send()
        if not self._unsent:
            self.flush()
            calls, self._when_sent = self._when_sent, []
            for call in calls:
                call()


def _in_cells(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks by others of the same width; an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(ASCII_SUBSTITUTES.get(c, "-" * char_width(c)) for c in lacking), error.end
