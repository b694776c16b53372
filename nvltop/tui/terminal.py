"""Care of the terminal: signals that end the program cleanly, and a terminal that goes away."""

from __future__ import annotations

import asyncio
import locale
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Final

from nvltop.tui.glyphs import ASCII, UNICODE, Glyphs

HANGUP_EVERY_S: Final = 0.5
END_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def glyphs_for(unicode: bool) -> Glyphs:
    """Choose the characters: ASCII if asked, or if encoding or terminal cannot show others."""
    encoding = (getattr(sys.__stderr__, "encoding", None) or locale.getpreferredencoding(False)).lower()
    poor = os.environ.get("TERM", "") in ("linux", "dumb", "vt100", "vt220")
    return UNICODE if unicode and "utf" in encoding and not poor else ASCII


def screen_on_terminal() -> None:
    """Let Textual, which draws on stderr, draw on the terminal even if stderr goes to a file."""
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]


def end_on_signals(end: Callable[[int], None]) -> None:
    """Call `end` with the signal's number on TERM, HUP and QUIT; Textual alone leaves the screen behind."""
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, end, int(number))


def has_gone(fd: int = 0) -> bool:
    """Whether the terminal behind `fd` has been closed; it would be read in a busy loop for ever."""
    poll = select.poll()
    poll.register(fd, 0)
    try:
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except OSError:
        return True
