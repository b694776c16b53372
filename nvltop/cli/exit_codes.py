"""How a run ends: exit codes, and the error that carries one."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_DRIVER: Final = 3
NO_VERDICT: Final = 3
"""Of `--check`."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""

EXIT_CODES: Final = {
    OK: "done",
    FAILED: "failed while running",
    USAGE: "wrong usage",
    NO_DRIVER: "no driver, no NVML or no GPU",
}
"""What users are told of exit codes; those of `--check` are its own."""


class CommandError(Exception):
    """The run ends here; the message is one line for the user."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def usage_error(message: str) -> CommandError:
    """Return the error for a command line that means nothing."""
    return CommandError(message, USAGE)


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the run as an exit does, so that files get their last lines.

    Signals that are ignored from outside (`nohup`) stay ignored; a second one ends the process at once.
    """
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
