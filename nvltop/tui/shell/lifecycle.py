"""How the screen ends: by a key, a signal, a failure of ours, or since its terminal has gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import App

from nvltop.analysis.select import NoSuchGpuError, select
from nvltop.model import Inventory
from nvltop.tui.shell import terminal
from nvltop.tui.shell.terminal_guard import TerminalGuard
from nvltop.tui.shell.tty_driver import TtyDriver


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How the screen ended."""

    code: int = 0
    message: str = ""
    """Told after the terminal is restored."""


def refused(inventory: Inventory, only: Sequence[str]) -> ExitStatus | None:
    """Return how a run ends that has nothing to show: no driver, no GPU, or none of those asked for."""
    if problem := inventory.problem:
        return ExitStatus(3, f"{problem.summary}; {problem.next_step}")
    try:
        select(inventory.gpus, only)
    except NoSuchGpuError as error:
        return ExitStatus(2, str(error))
    return None


class TerminalApp(App[None]):
    """Ends once, in time, and leaves the terminal as it was found."""

    def __init__(self) -> None:
        super().__init__(ansi_color=True, driver_class=TtyDriver)
        self.outcome = ExitStatus()
        self.crashed: Exception | None = None
        self.guard = TerminalGuard()

    def watch_ends(self) -> None:
        """Listen to failures of the loop's callbacks."""
        asyncio.get_running_loop().set_exception_handler(self._failed)

    def signalled(self, number: int) -> None:
        """End on a signal, which comes between any two instructions."""
        outcome = ExitStatus(128 + number)
        driver = self._driver
        if driver is None:
            # The terminal has not been touched yet.
            raise SystemExit(outcome.code)
        self.outcome = outcome
        self._end_in_time(outcome)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            driver._loop.call_soon_threadsafe(self.leave, outcome)

    def leave(self, outcome: ExitStatus) -> None:
        """End; what a stalled terminal is still to be sent is not waited for."""
        self.outcome = outcome
        self._end_in_time(outcome)
        self.exit()

    def _end_in_time(self, outcome: ExitStatus) -> None:
        if not self.is_headless:
            self.guard.end_in_time(outcome.code, self.close_source)

    def close_source(self) -> None:
        """Let go of what is read, where nothing is left to be told to."""

    async def action_quit(self) -> None:
        """Leave."""
        self.leave(self.outcome)

    def on_tty_driver_input_ended(self) -> None:
        """End at once if the terminal has gone."""
        if terminal.has_gone():
            # Nothing can be restored where nothing is left; the child ends with our pipe.
            self.close_source()
            os._exit(1)

    def _handle_exception(self, error: Exception) -> None:
        """End on a failure of ours: the terminal is restored, and a report written instead of a traceback."""
        if self.is_headless:
            super()._handle_exception(error)
        elif not self._exit and self.crashed is None:  # at the end, screens fail that are half there
            self.crashed = error
            self.leave(ExitStatus(1))

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take failures of the loop's readers and timers as those of messages: asyncio would go on."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, Exception):
            self._handle_exception(error)
        else:
            loop.default_exception_handler(context)
