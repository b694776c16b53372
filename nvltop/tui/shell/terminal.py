"""Properties of the terminal: what it can show, its size, and whether it accepts output or is closed."""

from __future__ import annotations

import fcntl
import locale
import os
import select
import struct
import sys
import termios
from typing import Final

from nvltop.text import c_locale
from nvltop.tui.render.glyphs import ASCII, UNICODE, Glyphs

TERMS_WITHOUT_SCREEN: Final = ("dumb", "emacs", "unknown")
"""Values of TERM, in lower case, of terminals without escape sequences. Rich assumes 80 columns and 25 lines
for `dumb` and `unknown`, whatever the terminal reports."""
DEFAULT_SIZE: Final = (24, 80)
"""Rows and columns assumed for a terminal that does not report a size."""
MAX_SIZE: Final = (500, 1000)
"""Maximum rows and columns that are used: a terminal may report up to 65535."""
SIZE_VARIABLES: Final = ("COLUMNS", "LINES")
"""Environment variables that Rich and Python prefer to the size that the terminal reports."""
TERMS_WITHOUT_BLOCKS: Final = ("linux", "vt100", "vt220")
"""Values of TERM of terminals whose fonts lack the block characters of sparklines."""


def why_unusable() -> str:
    """Return why this terminal cannot show a live screen; empty if it can."""
    term = os.environ.get("TERM", "")
    if term.lower() not in TERMS_WITHOUT_SCREEN:
        return ""
    return f"a terminal with TERM={term} shows no live screen; use --once or --json"


def glyphs_for(unicode: bool) -> Glyphs:
    """Return the character set: ASCII if `unicode` is False or the terminal cannot show other characters."""
    encoding = (getattr(sys.__stderr__, "encoding", None) or locale.getpreferredencoding(False)).lower()
    poor = os.environ.get("TERM", "") in TERMS_WITHOUT_BLOCKS
    return UNICODE if unicode and "utf" in encoding and not poor and not c_locale(os.environ) else ASCII


def ensure_size(fd: int = 1) -> None:
    """Set a size for a terminal that reports none: Textual lays out an empty screen again and again."""
    try:
        rows, columns, *pixels = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
        if not rows or not columns:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *DEFAULT_SIZE, *pixels))
    except OSError:
        pass  # not a terminal: Textual reports what it needs


def size(fd: int) -> tuple[int, int]:
    """Return columns and rows of the terminal behind `fd`, at most `MAX_SIZE`."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        columns = rows = 0
    return min(columns or DEFAULT_SIZE[1], MAX_SIZE[1]), min(rows or DEFAULT_SIZE[0], MAX_SIZE[0])


def ignore_size_variables() -> None:
    """Remove the environment variables that override the size of the terminal."""
    for name in SIZE_VARIABLES:
        os.environ.pop(name, None)


def draw_on_terminal() -> None:
    """Make Textual, which writes to stderr, write to stdout if stderr is not a terminal."""
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]  # Final in typeshed, not in Python


def reopen(fd: int) -> int | None:
    """Open the terminal of `fd` again for output that never blocks; return the descriptor, None on failure.

    O_NONBLOCK belongs to the open file description, and the shell shares that of `fd`. Opening fails if the
    terminal belongs to another user, as after `su`.
    """
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return None
    if os.isatty(own) and os.path.sameopenfile(own, fd):
        return own
    os.close(own)
    return None


def is_stalled(fd: int) -> bool:
    """Whether the terminal of `fd` accepts no output now: a write would block."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return not poll.poll(0)


def is_closed(fd: int = 0) -> bool:
    """Whether the terminal of `fd` was closed; reading from it would return at once every time."""
    poll = select.poll()
    poll.register(fd, 0)
    try:
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except OSError:
        return True
