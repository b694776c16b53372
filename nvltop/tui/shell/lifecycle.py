"""How the application ends: by a key, a signal, a failure, or because its terminal was closed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.style import Style
from textual import events
from textual.actions import ActionParseResult
from textual.dom import DOMNode
from textual.timer import Timer
from textual.widget import AwaitMount

from nvltop.analysis.select import NoSuchGpuError, select
from nvltop.frozen import frozen
from nvltop.model import Inventory
from nvltop.text import clean
from nvltop.tui.render import themes
from nvltop.tui.shell import terminal, textual_private
from nvltop.tui.shell.first_picture import FirstPicture
from nvltop.tui.shell.terminal_guard import TerminalGuard
from nvltop.tui.shell.textual_private import PrivateApp
from nvltop.tui.shell.textual_theme import css_variables, textual_theme
from nvltop.tui.shell.tty_driver import TtyDriver
from nvltop.tui.widgets.key_screen import KeyScreen

STALL_RETRY_S: Final = 0.03
"""Time after which drawing is tried again on a terminal that accepts no output, seconds."""
FILES_REPLACED: Final = "not possible: the files of nvltop were replaced while it ran; start it again"


@frozen
class ExitStatus:
    """Exit code of the application, and a message about it."""

    code: int = 0
    message: str = ""
    """Text that is printed after the terminal is restored; may be empty."""


def early_exit(inventory: Inventory, only: Sequence[str]) -> ExitStatus | None:
    """Return the exit status if there is nothing to show: no driver, no GPU, or no such GPU; else None."""
    if problem := inventory.problem:
        return ExitStatus(3, f"{problem.summary}; {problem.next_step}")
    try:
        select(inventory.gpus, only)
    except NoSuchGpuError as error:
        return ExitStatus(2, str(error))
    return None


class TerminalApp(PrivateApp[None]):
    """An application that ends once, in time, and leaves the terminal as it was found."""

    def __init__(self) -> None:
        self.fallback = textual_private.why_not_used(os.environ)
        """Why Textual draws and reads keys by itself; empty if it does not."""
        super().__init__(ansi_color=True, driver_class=None if self.fallback else TtyDriver)
        self.exit_status = ExitStatus()
        self.crashed: Exception | None = None
        self.guard = TerminalGuard()
        self._first_picture = FirstPicture(lambda: TtyDriver.bytes_written)
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._retry: Timer | None = None

    def on_load(self) -> None:
        """Handle failures of the event loop's callbacks like those of message handlers."""
        self._event_loop = asyncio.get_running_loop()
        self._event_loop.set_exception_handler(self._callback_failed)

    async def on_event(self, event: events.Event) -> None:
        """Handle an event; a key completely, before the next one.

        Textual posts keys to the widget that has the focus, and so those that were typed ahead to the one
        that had it before. Here a key that opens a page, prompt or dialog, or closes one, does so at once. It
        waits for no other widget but a dialog that the key before has opened.
        """
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded and self.screen_stack:
            screen = self.screen
            if isinstance(screen, KeyScreen) and self.can_run_bindings:
                await self._handle_key(event, screen)
                return
        await super().on_event(event)

    async def _handle_key(self, event: events.Key | events.Paste, screen: KeyScreen[Any]) -> None:
        """Use a key or paste as text, or run the binding of the key."""
        if not screen.is_mounted:
            await AwaitMount(screen, [screen])
        self.app_focus = True
        if not screen.take_text(event) and isinstance(event, events.Key):
            await self.run_binding(event.key)

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Perform an action; return whether it exists.

        Tabs, pages and files are imported by the first action that needs them. A package that is upgraded
        meanwhile must not end a screen that is open for days.
        """
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except ImportError:
            self.notify_user(FILES_REPLACED, True)
            return True

    def use_theme(self, name: str) -> Mapping[str, Style]:
        """Use one of nvltop's themes; return its styles by role. Textual gets to know no other one."""
        theme, color_system = themes.THEMES[name], self.console.color_system
        self.register_theme(textual_theme(name, theme, color_system))
        self.theme = f"nvltop-{name}"
        return theme.styles(color_system)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the CSS variables that Textual's own themes lack."""
        return css_variables(themes.DEFAULT.indexed)

    def refresh_css(self, animate: bool = True) -> None:
        """Use the variables of the current theme in all style sheets."""
        if self.screen_stack:
            super().refresh_css(animate)
        else:
            # Textual parses style sheets for the first screen anyway, after the theme was chosen.
            self.stylesheet.set_variables(self.get_css_variables())

    def notify_user(self, message: str, failed: bool) -> None:
        """Show a message, which may be empty, over the screen for some seconds."""
        if message:
            self.notify(clean(message), severity="error" if failed else "information", markup=False)

    @contextlib.contextmanager
    def sending(self) -> Iterator[Callable[[str], str]]:
        """Call the yielded function with a picture to get what to send: rows of the first one only once."""
        self._first_picture.begin()
        try:
            yield self._first_picture.new
        finally:
            self._first_picture.end()

    def is_terminal_busy(self, when_ready: Callable[[], None]) -> bool:
        """Return whether the terminal accepts no output now; `when_ready` is called when it may."""
        if isinstance(self.terminal_driver, TtyDriver):
            return self.terminal_driver.is_busy(when_ready)
        if self.is_headless or not sys.__stderr__ or not terminal.is_stalled(sys.__stderr__.fileno()):
            return False
        if self._retry is None:

            def retry() -> None:
                self._retry = None
                when_ready()

            # Textual's driver does not report it.
            self._retry = self.set_timer(STALL_RETRY_S, retry)
        return True

    def run_on_terminal(self, mouse: bool) -> None:
        """Run until the end, and restore the terminal."""
        self.guard.watch()
        self.guard.on_signals(self.signalled)
        # Our own driver reports the first byte that it sends; Textual's does not.
        self.guard.taken = bool(self.fallback)
        try:
            self.run(mouse=mouse)
            if self.fallback:
                self.guard.switch_reports_off()
        except Exception as error:
            self.crashed = self.crashed or error
        finally:
            self.guard.restore()

    def signalled(self, number: int) -> None:
        """End because of a signal, which may arrive between any two instructions."""
        status = ExitStatus(128 + number)
        if self.terminal_driver is None or self._event_loop is None:
            # The terminal is still untouched.
            raise SystemExit(status.code)
        self.exit_status = status
        self._end_in_time(status)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._event_loop.call_soon_threadsafe(self.leave, status)

    def leave(self, status: ExitStatus) -> None:
        """End, without waiting for a stalled terminal to accept the rest of the output."""
        self.exit_status = status
        self._end_in_time(status)
        self.exit()

    def _end_in_time(self, status: ExitStatus) -> None:
        if not self.is_headless:
            self.guard.end_in_time(status.code, self.close_source)

    def close_source(self) -> None:
        """Close the source of the data; for subclasses."""

    async def action_quit(self) -> None:
        """Leave."""
        self.leave(self.exit_status)

    def on_tty_driver_input_ended(self) -> None:
        """End at once if the terminal has been closed."""
        if terminal.is_closed():
            # There is nothing to restore. The child process ends when our pipe closes.
            self.close_source()
            os._exit(1)

    def handle_failure(self, error: Exception) -> bool:
        """End after a failure of ours: restore the terminal and write a report instead of a traceback."""
        if self.is_headless:
            return False
        # Screens that are half removed may fail at the end.
        if not self.is_exiting and self.crashed is None:
            self.crashed = error
            self.leave(ExitStatus(1))
        return True

    def _callback_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle failures of the loop's readers and timers, after which asyncio would go on."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, Exception):
            self.fail(error)
        else:
            loop.default_exception_handler(context)
