"""What a terminal can show, how large it is, and whether it takes bytes or has gone."""

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
"""Values of TERM, in lower case, that obey no escape sequences. Rich takes `dumb` and `unknown` in any case
for 80 columns and 25 lines, whatever the terminal says."""
DEFAULT_SIZE: Final = (24, 80)
"""Rows and columns of a terminal that does not know its size."""
MAX_SIZE: Final = (500, 1000)
"""Rows and columns that are used at most: a terminal may report any number up to 65535."""
SIZE_VARIABLES: Final = ("COLUMNS", "LINES")
"""Rich and Python believe them before the terminal; who exports them never changes them again."""
TERMS_WITHOUT_BLOCKS: Final = ("linux", "vt100", "vt220")
"""Values of TERM whose fonts lack the blocks of sparklines."""


def why_unusable() -> str:
    """Return why this terminal cannot show a live screen; empty if it can."""
    term = os.environ.get("TERM", "")
    if term.lower() not in TERMS_WITHOUT_SCREEN:
        return ""
    return f"a terminal with TERM={term} shows no live screen; use --once or --json"


def glyphs_for(unicode: bool) -> Glyphs:
    """Choose the characters: ASCII if asked, or if encoding or terminal cannot show others."""
    encoding = (getattr(sys.__stderr__, "encoding", None) or locale.getpreferredencoding(False)).lower()
    poor = os.environ.get("TERM", "") in TERMS_WITHOUT_BLOCKS
    return UNICODE if unicode and "utf" in encoding and not poor and not c_locale(os.environ) else ASCII


def ensure_size(fd: int = 1) -> None:
    """Give a terminal that reports no size one, as screens of none are laid out again and again."""
    try:
        rows, columns, *pixels = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
        if not rows or not columns:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *DEFAULT_SIZE, *pixels))
    except OSError:
        pass  # no terminal: Textual says what it needs


def size(fd: int) -> tuple[int, int]:
    """Return columns and rows of the terminal behind `fd`, at most `MAX_SIZE`."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        columns = rows = 0
    return min(columns or DEFAULT_SIZE[1], MAX_SIZE[1]), min(rows or DEFAULT_SIZE[0], MAX_SIZE[0])


def ignore_size_variables() -> None:
    """Let nobody in this process believe the environment about the size."""
    for name in SIZE_VARIABLES:
        os.environ.pop(name, None)


def draw_on_terminal() -> None:
    """Let Textual, which draws on stderr, draw on the terminal even if stderr goes to a file."""
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]


def is_stalled() -> bool:
    """Whether the terminal takes nothing now; frames drawn all the same would queue up, then block us."""
    if sys.__stderr__ is None:
        return False
    poll = select.poll()
    poll.register(sys.__stderr__.fileno(), select.POLLOUT)
    return not poll.poll(0)


def is_closed(fd: int = 0) -> bool:
    """Whether the terminal behind `fd` has been closed; it would be read in a busy loop for ever."""
    poll = select.poll()
    poll.register(fd, 0)
    try:
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except OSError:
        return True
