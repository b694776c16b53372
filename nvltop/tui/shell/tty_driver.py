"""The driver of the terminal, which costs little while nothing happens and never blocks."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from textual import constants, events
from textual.geometry import Size
from textual.message import Message

from nvltop.tui.shell import terminal, terminal_guard
from nvltop.tui.shell.keyboard import PASTE_TIMEOUT_S, KeyboardInput
from nvltop.tui.shell.terminal_output import TerminalOutput
from nvltop.tui.shell.textual_private import OpenDriver

CHUNK_BYTES: Final = 4096
ESCAPE_TIMEOUT_S: Final = constants.ESCAPE_DELAY + 0.02
"""Time without further input after which Esc is the key, not the beginning of a sequence, seconds."""
SCREEN_ON: Final = "\x1b[?1049h"
"""Switches to the alternate screen."""
MODES_ON: Final = "\x1b[?2004h\x1b[?7l\x1b[?1004h\x1b[?25l"
"""Bracketed paste, no line wrap, reports of the focus, and no cursor."""
KEYBOARD_ON: Final = "" if constants.DISABLE_KITTY_KEY else "\x1b[>25u"
"""Kitty's keyboard protocol: unambiguous keys (1), all of them (8), with their text (16)."""
KEYBOARD_OFF: Final = "\x1b[<u" if KEYBOARD_ON else ""
"""Takes the last `KEYBOARD_ON` from the terminal's stack, on which another one would stay after the end."""
SYNC_QUERY: Final = "\x1b[?2026$p"
"""DECRQM: asks whether synchronized output is supported. Answers come in the order of the queries."""
ANSWER_TIMEOUT_S: Final = 1.0
"""Time that a terminal gets to answer a query, seconds; a slow line needs a part of it."""
INPUT_FLAGS_OFF: Final = termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.IGNCR
LOCAL_FLAGS_OFF: Final = termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG
"""Modes that would take keys, or change them."""


class TtyDriver(OpenDriver):
    """A driver that counts the bytes that it sends, and uses the event loop where Textual's has threads.

    Textual's driver reads keys in a thread that wakes up ten times a second, and writes in another one. Both
    take the interpreter from the thread that draws.
    """

    class InputEnded(Message):
        """The input has ended: the terminal was closed."""

    bytes_written = 0
    """Bytes sent to the terminal so far."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        assert sys.__stdin__
        assert sys.__stderr__
        self.fileno = sys.__stdin__.fileno()
        super().__init__(*arguments, **options)
        self._guard: terminal_guard.TerminalGuard = self.application.guard
        self.output = TerminalOutput(self._guard, sys.__stderr__.encoding)
        self._keyboard = KeyboardInput()
        self._found: list[Any] | None = None
        """The modes in which the terminal was found; None while it is not in use."""
        self._listening = False
        """Whether input is read."""
        self._is_resuming = False
        """Whether the application was stopped and goes on."""
        self._query_sent_s: float | None = None
        """When the query was sent that is not answered yet (CLOCK_MONOTONIC); None if all are."""
        self._answers = False
        """Whether this terminal is known to answer queries."""
        self._refused = False
        """Whether output was left out because the terminal accepted none."""
        self._is_open = False
        """Whether the terminal shows the screen."""
        self._continued = False
        """Whether SIGCONT has arrived since the process was last to be stopped."""
        signal.signal(signal.SIGTSTP, self._handle_tstp)
        signal.signal(signal.SIGCONT, self._handle_cont)

    def _handle_tstp(self, *_: object) -> None:
        self._call_soon(self._suspend)

    def _handle_cont(self, *_: object) -> None:
        self._continued = True
        self._call_soon(self._resume)

    def _call_soon(self, call: Callable[[], None]) -> None:
        """Call a function on the event loop: a signal may arrive between any two instructions."""
        with suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(call)

    @property
    def can_suspend(self) -> bool:
        """Whether the process can be suspended."""
        return True

    def terminal_size(self) -> tuple[int, int]:
        """Return columns and rows of the terminal."""
        return terminal.size(self.fileno)

    def write(self, data: str) -> None:
        """Send text to the terminal; if too much is unsent, leave it out and draw everything again later."""
        output = self.output
        if not self._is_open:
            return
        if output.is_waiting and (self._refused or output.is_full):
            self._refused = True
            output.when_sent(self._draw_again)
            return
        TtyDriver.bytes_written += output.write(data)

    def _draw_again(self) -> None:
        self._refused = False
        self.application.action_redraw()

    def is_busy(self, when_ready: Callable[[], None]) -> bool:
        """Return whether the terminal accepts no output now; `when_ready` is called when it does."""
        if not self.output.is_waiting:
            return False
        self.output.when_sent(when_ready)
        return True

    def send_modes(self) -> None:
        """Switch the modes on; a terminal may have lost them, for example when its window was reset."""
        self.write((terminal_guard.MOUSE_ON if self.has_mouse else "") + MODES_ON)

    def _query(self) -> None:
        """Ask the terminal whether it supports synchronized output."""
        # Apple's terminal prints the end of the query.
        if os.isatty(self.fileno) and os.environ.get("TERM_PROGRAM", "") != "Apple_Terminal":
            self._query_sent_s = time.monotonic()
            self.write(SYNC_QUERY)

    def start_application_mode(self) -> None:
        """Switch the terminal to the screen; after SIGSTOP, which did not restore it, draw it again."""
        if self._is_in_background():
            return
        signal.signal(signal.SIGWINCH, lambda *_: self._report_size())
        self._report_size()
        if self._is_open:
            self.write(KEYBOARD_OFF)
        self._is_open = True
        # From its first byte on, the guard has something to restore.
        self.write(SCREEN_ON)
        with suppress(termios.error):
            modes = termios.tcgetattr(self.fileno)
            if self._found is None:
                self._found = [*modes[:6], [*modes[6]]]
            else:
                self._is_resuming = True
            modes[0] &= ~INPUT_FLAGS_OFF
            modes[3] &= ~LOCAL_FLAGS_OFF
            modes[6][termios.VMIN] = 1
            termios.tcsetattr(self.fileno, termios.TCSANOW, modes)
        self.send_modes()
        self.write(KEYBOARD_ON)
        self._query()
        self._listening = True
        self.loop.add_reader(self.fileno, self._read)
        if self._is_resuming:
            self._is_resuming = False
            self.send_message(self.SignalResume())

    def _is_in_background(self) -> bool:
        """Return whether another process group has the terminal; the kernel stops this one if it has.

        The shell's `bg` lets a stopped application go on without the terminal.
        """

        def stop(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)

        numbers = signal.SIGTTOU, signal.SIGTTIN
        for number in numbers:
            signal.signal(number, stop)
        try:
            termios.tcsetattr(self.fileno, termios.TCSANOW, termios.tcgetattr(self.fileno))
        except termios.error:
            return os.isatty(self.fileno)
        finally:
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)
        return False

    def _report_size(self) -> None:
        size = Size(*self.terminal_size())
        self.send_message(events.Resize(size, size))

    def stop_application_mode(self) -> None:
        """Restore the state in which the terminal was found."""
        self.disable_input()
        if self._found is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self._found)
        self._found = None
        self.write(terminal_guard.SCREEN_OFF)
        self._is_open = False

    def close(self) -> None:
        """Wait until everything is sent, except at exit on a stalled terminal: the guard restores that."""
        if self._flush() and not self._is_open:
            self._guard.taken = False

    def _flush(self) -> bool:
        return self.output.flush(0 if self._guard.ending else None)

    def _suspend(self) -> None:
        """Stop the job as the kernel does on Ctrl-Z, with the terminal as it was found."""
        if self.restarts:
            self.suspend_application_mode()
            self._is_resuming = True
        # Unlike SIGSTOP, this does not stop a process that no shell continues, as with `ssh -t HOST nvltop`.
        # It goes to the whole job, as that of the kernel: with `uv run nvltop` the shell waits for `uv`.
        self._continued = False
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._handle_tstp)
        if not self._continued:
            self._resume()

    def _resume(self) -> None:
        if self.restarts:
            self.resume_application_mode()

    def disable_input(self) -> None:
        """Stop reading: while suspended, and at the end."""
        if self._listening:
            self._listening = False
            self.loop.remove_reader(self.fileno)
            # What follows must not be left out.
            self._flush()
            self._await_answers()
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
            with suppress(termios.error):
                termios.tcflush(self.fileno, termios.TCIFLUSH)

    def _await_answers(self) -> None:
        """Read until the terminal has answered all queries: the shell would take an answer for typed text.

        A terminal that is known to answer, by now at the latest, gets another query after its reports are
        switched off. Its answer comes after everything that was sent before.
        """
        self.write(terminal_guard.REPORTS_OFF)
        self._await_answer()
        if self._answers:
            self._query()
            self._await_answer()
        self._query_sent_s = None

    def _await_answer(self) -> None:
        """Read until the query that was sent is answered, or for `ANSWER_TIMEOUT_S` after it."""
        while self._query_sent_s is not None:
            left_s = self._query_sent_s + ANSWER_TIMEOUT_S - time.monotonic()
            if left_s <= 0:
                return
            if not self.output.send_while_waiting_for(self.fileno, left_s):
                continue
            try:
                data = os.read(self.fileno, CHUNK_BYTES)
            except OSError:
                return
            if not data:
                return
            self._take(data)

    def _take(self, data: bytes) -> list[Message]:
        """Return the messages in some bytes, and note answers to queries."""
        before = self._keyboard.answers
        messages = self._keyboard.feed(data)
        if self._keyboard.answers > before:
            self._answers, self._query_sent_s = True, None
        return messages

    def _read(self) -> None:
        try:
            data = os.read(self.fileno, CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            # The end of a file, or the terminal was closed: the descriptor would stay readable.
            self.loop.remove_reader(self.fileno)
            self.send_message(self.InputEnded())
            return
        for message in self._take(data):
            self.process_message(message)
        self.loop.call_later(ESCAPE_TIMEOUT_S, self._handle_pause)
        if self._keyboard.pasting:
            self.loop.call_later(PASTE_TIMEOUT_S + ESCAPE_TIMEOUT_S, self._handle_pause)

    def _handle_pause(self) -> None:
        for message in self._keyboard.tick():
            self.process_message(message)
