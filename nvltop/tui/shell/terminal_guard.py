"""Restoring the terminal to the state in which it was found, whichever way the process ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import termios
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from nvltop.tui.shell import terminal
from nvltop.tui.shell.watchdog import Watchdog

TtyModes: TypeAlias = "list[Any]"
"""What `termios.tcgetattr` returns."""

EXIT_TIMEOUT_S: Final = 2.0
"""Time after which the process exits even if the event loop has not ended, seconds."""
RESTORE_TIMEOUT_S: Final = 0.5
"""Time for which restoring a terminal that accepts no output is tried, seconds."""
WRITE_RETRY_S: Final = 0.01

END_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in (
        "SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM",
        "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGSYS", "SIGTRAP",
    )
    if hasattr(signal, name)
)  # fmt: skip
"""Signals whose default action ends the process, except SIGSEGV, SIGBUS, SIGFPE and SIGILL: Python runs
handlers between two instructions, so it would return to the faulty instruction again and again. For these,
see `TerminalGuard.watch`."""

MOUSE_ON: Final = "\x1b[?1000h\x1b[?1006h"
"""Switches on reports of clicks and the wheel (1000) in the SGR format (1006), but not of movements."""
MOUSE_OFF: Final = "".join(f"\x1b[?{mode}l" for mode in (1000, 1002, 1003, 1005, 1006, 1015, 1016))
REPORTS_OFF: Final = f"{MOUSE_OFF}\x1b[?1004l\x1b[?2004l\x1b[?2048l"
"""Switches off all reports of the terminal: mouse, focus, bracketed paste, sizes."""
SCREEN_OFF: Final = "\x1b[?2026l\x1b[?7h\x1b[<u\x1b[0m\x1b[999;1H\r\n\x1b[K\x1b[?1049l\x1b[?25h"
"""Leaves the screen: resets synchronized output, line wrap, keyboard protocol and style, goes to the last
line (for terminals without an alternate screen), leaves the alternate screen, and shows the cursor."""
STRING_TERMINATOR: Final = "\x1b\\"
"""Ends an escape sequence that was sent in part."""


class TerminalGuard:
    """Restores the terminal once, if it was changed (`taken`)."""

    def __init__(self, fd: int = 0) -> None:
        self._taken = False
        self.ending = False
        """Whether the process is about to exit."""
        self.silent = False
        """Whether nothing of the screen may be sent any more."""
        self._fd = fd
        self._output: tuple[int, bool] | None = None
        self._found: TtyModes | None = termios.tcgetattr(fd) if os.isatty(fd) else None

        self._watchdog: Watchdog | None = None

    @property
    def taken(self) -> bool:
        """Whether the terminal shows the screen: from its first byte until after its last."""
        return self._taken

    @taken.setter
    def taken(self, taken: bool) -> None:
        if taken != self._taken and self._watchdog:
            self._watchdog.report(taken)
        self._taken = taken

    def output_fd(self) -> tuple[int, bool]:
        """Return the descriptor for output, and whether it is non-blocking, as only one of our own may be."""
        if self._output is None:
            assert sys.__stderr__
            shared = sys.__stderr__.fileno()
            own = terminal.reopen(shared)
            self._output = (shared, False) if own is None else (own, True)
        return self._output

    def watch(self) -> None:
        """Start the watchdog, which restores the terminal if this process is killed."""
        if self._found and sys.__stderr__:
            leave = f"{STRING_TERMINATOR}{REPORTS_OFF}{SCREEN_OFF}"
            self._watchdog = Watchdog(sys.__stderr__.fileno(), self._found, leave)

    def on_signals(self, end: Callable[[int], None]) -> None:
        """Call `end` with the number of each signal that ends the process, without the event loop."""
        for number in END_SIGNALS:
            signal.signal(number, lambda its, _: end(its))

    def end_in_time(self, code: int, last: Callable[[], None]) -> None:
        """Call `last` and exit with `code` after `EXIT_TIMEOUT_S`, unless the process has ended before.

        Must be called in the main thread. It uses a timer signal, because a thread cannot always be started.
        """
        if self.ending or self._found is None:
            return
        self.ending = True

        def force(*_: object) -> None:
            with contextlib.suppress(Exception):
                last()
            self.restore()
            os._exit(code)

        signal.signal(signal.SIGALRM, force)
        signal.setitimer(signal.ITIMER_REAL, EXIT_TIMEOUT_S)
        atexit.register(_stop_timer)

    def switch_reports_off(self) -> None:
        """Switch off reports that Textual's own driver leaves on; it has restored everything else."""
        self.taken = False
        if sys.__stderr__:
            sys.__stderr__.write(REPORTS_OFF)
            sys.__stderr__.flush()

    def restore(self) -> None:
        """Leave the screen and restore the modes, without waiting for the terminal.

        Output that is queued for the terminal is dropped: it belongs to the screen.
        """
        if not self.taken:
            return
        self.taken, self.silent = False, True
        # A process in the background is stopped when it changes the modes.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with contextlib.suppress(OSError, ValueError, AttributeError, termios.error):
            self._send(self.output_fd()[0], f"{STRING_TERMINATOR}{REPORTS_OFF}{SCREEN_OFF}".encode())
        with contextlib.suppress(OSError, termios.error):
            if self._found:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._found)

    def _send(self, fd: int, data: bytes) -> None:
        """Send bytes ahead of all queued output; try for at most `RESTORE_TIMEOUT_S`."""
        blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)
        try:
            rest, end_s = data, time.monotonic() + RESTORE_TIMEOUT_S
            while rest and time.monotonic() < end_s:
                if rest == data:
                    # Makes room even if the other side does not read.
                    termios.tcflush(fd, termios.TCOFLUSH)
                try:
                    rest = rest[os.write(fd, rest) :]
                except BlockingIOError:
                    time.sleep(WRITE_RETRY_S)
        finally:
            os.set_blocking(fd, blocking)


def _stop_timer() -> None:
    """Flush the standard streams, the last step that can block, and stop the timer of the forced exit.

    Python then resets the handlers of signals, after which the timer would kill the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    signal.setitimer(signal.ITIMER_REAL, 0)
