"""Exit codes, and the error that carries one."""

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
"""Exit code of `--check` without a verdict."""
NO_ANSWER: Final = 3
"""Exit code of `--explain` and `--compare` for every failure."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as in shells."""

EXIT_CODES: Final = {
    OK: "success",
    FAILED: "runtime error",
    USAGE: "usage error",
    NO_DRIVER: "no driver, no NVML or no GPU; Prometheus does not answer",
}
"""Exit codes and their meanings, as `--help` shows them; `--check` has its own."""


class CommandError(Exception):
    """An error that ends the run; the message is one line for the user."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def usage_error(message: str) -> CommandError:
    """Return the error for an invalid command line."""
    return CommandError(message, USAGE)


@contextlib.contextmanager
def exit_on_signals() -> Iterator[None]:
    """Exit normally on SIGTERM and SIGHUP, so that files are completed.

    Signals that the parent ignores (`nohup`) stay ignored; a second signal ends the process at once.
    """
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]

    def end_run(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        sys.exit(128 + number)

    before = {number: signal.signal(number, end_run) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
