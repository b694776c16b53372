"""Care of the terminal: what it can show, a clean end on signals, and a terminal that stalls or goes."""

from __future__ import annotations

import contextlib
import fcntl
import locale
import os
import select
import signal
import struct
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from nvltop.tui.glyphs import ASCII, UNICODE, Glyphs

Modes: TypeAlias = "list[Any]"
"""What `termios.tcgetattr` returns."""

PATIENCE_S: Final = 2.0
"""How long a terminal may take to be restored."""
END_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
NO_SCREEN: Final = ("dumb", "emacs")
"""Values of TERM that obey no escape sequences; Textual would send them all the same."""
C_NAMES: Final = ("C", "POSIX")
COERCED: Final = "C.UTF-8"
NO_SIZE: Final = (24, 80)
"""Rows and columns of a terminal that does not know its size."""
POOR: Final = ("linux", "vt100", "vt220")
"""Values of TERM whose fonts lack the blocks of sparklines."""


def unfit() -> str:
    """Return why this terminal cannot show a live screen; empty if it can."""
    term = os.environ.get("TERM", "")
    return (
        f"a terminal with TERM={term} shows no live screen; use --once or --json" if term in NO_SCREEN else ""
    )


def glyphs_for(unicode: bool) -> Glyphs:
    """Choose the characters: ASCII if asked, or if encoding or terminal cannot show others."""
    encoding = (getattr(sys.__stderr__, "encoding", None) or locale.getpreferredencoding(False)).lower()
    poor = os.environ.get("TERM", "") in POOR
    return UNICODE if unicode and "utf" in encoding and not poor and not c_locale(os.environ) else ASCII


def c_locale(environ: Mapping[str, str]) -> bool:
    """Whether the user's locale is C, or none at all: Python then takes UTF-8, tmux and terminals do not.

    Python itself sets LC_CTYPE to C.UTF-8 in that case (PEP 538), so this value alone says nothing.
    """
    if everything := environ.get("LC_ALL"):
        return everything in C_NAMES
    kind = environ.get("LC_CTYPE", "")
    if kind and kind != COERCED:
        return kind in C_NAMES
    return environ.get("LANG", "") in ("", *C_NAMES)


def give_size(fd: int = 1) -> None:
    """Give a terminal that reports no size one, as screens of none are laid out again and again."""
    try:
        rows, columns, *pixels = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
        if not rows or not columns:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *NO_SIZE, *pixels))
    except OSError:
        pass  # no terminal: Textual says what it needs


def screen_on_terminal() -> None:
    """Let Textual, which draws on stderr, draw on the terminal even if stderr goes to a file."""
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]


def end_on_signals(end: Callable[[int], None]) -> None:
    """Call `end` with the number of an ending signal; Textual alone leaves the screen behind.

    It is called at once, between any two lines, as the event loop may be waiting for a stalled terminal.
    """
    for number in END_SIGNALS:
        signal.signal(number, lambda its, _: end(its))


def modes(fd: int = 0) -> Modes | None:
    """Return the terminal's modes, to be put back by `end_by_force`; None where there is no terminal."""
    return termios.tcgetattr(fd) if os.isatty(fd) else None


def end_by_force(code: int, found: Modes, fd: int = 0) -> None:
    """End in `PATIENCE_S` whatever happens: restoring a stalled terminal's screen would wait for it."""

    def force() -> None:
        # A terminal that has gone has no modes to put back.
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(fd, termios.TCSANOW, found)
        os._exit(code)

    timer = threading.Timer(PATIENCE_S, force)
    timer.daemon = True
    timer.start()


def stalled() -> bool:
    """Whether the terminal takes nothing now; frames drawn all the same would queue up, then block us."""
    if sys.__stderr__ is None:
        return False
    poll = select.poll()
    poll.register(sys.__stderr__.fileno(), select.POLLOUT)
    return not poll.poll(0)


def has_gone(fd: int = 0) -> bool:
    """Whether the terminal behind `fd` has been closed; it would be read in a busy loop for ever."""
    poll = select.poll()
    poll.register(fd, 0)
    try:
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except OSError:
        return True
