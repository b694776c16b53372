"""Textual's driver for terminals, changed to cost less while nothing happens and never to block."""

from __future__ import annotations

import codecs
import os
import select
import signal
import termios
import time
from contextlib import suppress
from typing import Any, Final

from textual import constants
from textual.message import Message

from nvltop.text import ASCII_SUBSTITUTES, c_locale, char_width
from nvltop.tui.shell import terminal, terminal_guard
from nvltop.tui.shell.keyboard import PASTE_TIMEOUT_S, KeyboardInput
from nvltop.tui.shell.textual_private import OpenDriver

CHUNK_BYTES: Final = 4096
ESCAPE_TIMEOUT_S: Final = constants.ESCAPE_DELAY + 0.02
"""Time without further input after which Esc is the key, not the beginning of a sequence, seconds."""
SYNC_QUERY: Final = "\x1b[?2026$p"
"""DECRQM: asks whether synchronized output is supported. Answers come in the order of the queries."""
WRITE_RETRY_S: Final = 0.05
INTERRUPT_TIMEOUT_S: Final = 0.2
ANSWER_TIMEOUT_S: Final = 1.0
"""Time that a terminal gets to answer a query, seconds; a slow line needs a part of it."""


class TerminalFile:
    """The terminal as a file for Textual's writer thread; ignores output once the guard restores it."""

    def __init__(self, file: Any, its: terminal_guard.TerminalGuard) -> None:
        self._fd = file.fileno()
        # Textual's own characters, such as the borders of menus, may not exist in the locale's encoding.
        codecs.register_error("cells", _in_cells)
        self._encoding = "ascii" if c_locale(os.environ) else file.encoding
        self._guard = its

    def fileno(self) -> int:
        """Return the terminal's descriptor."""
        return int(self._fd)

    def write(self, text: str) -> None:
        """Send text; block while the terminal accepts no output."""
        data = memoryview(text.encode(self._encoding, "cells"))
        self._guard.taken |= not self._guard.silent
        while data and not self._guard.silent:
            try:
                data = data[os.write(self._fd, data[:CHUNK_BYTES]) :]
            except BlockingIOError:  # another program that has it open made it non-blocking
                select.select([], [self._fd], [], WRITE_RETRY_S)

    def flush(self) -> None:
        """Do nothing: the output is not buffered."""


def _in_cells(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks by others of the same width; an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(ASCII_SUBSTITUTES.get(c, "-" * char_width(c)) for c in lacking), error.end


class TtyDriver(OpenDriver):
    """A driver that counts the bytes that it sends, reads keys on the event loop, and never blocks.

    Textual's driver reads keys in a thread that wakes up ten times a second, and each time takes the
    interpreter from the thread that draws.
    """

    class InputEnded(Message):
        """The input has ended: the terminal was closed."""

    bytes_written = 0
    """Bytes sent to the terminal so far."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard: terminal_guard.TerminalGuard = self.application.guard
        self.output = TerminalFile(self.output, self._guard)
        self._keyboard = KeyboardInput()
        self._listening = False
        """Whether input is read."""
        self._query_sent_s: float | None = None
        """When the query was sent that is not answered yet (CLOCK_MONOTONIC); None if all are."""
        self._answers = False
        """Whether this terminal is known to answer queries."""
        self._dropped = False
        """Whether output was dropped because the terminal accepted none."""

    def terminal_size(self) -> tuple[int, int]:
        """Return columns and rows of the terminal."""
        return terminal.size(self.fileno)

    def write(self, data: str) -> None:
        """Send text to the terminal; if too much is queued, drop it and draw everything again later."""
        queue = self.unwritten
        if queue and (self._dropped or queue.full()):
            if (queue.full() and terminal.is_stalled()) or (self._dropped and not queue.empty()):
                self._dropped = True
                return
            if self._dropped:
                self._dropped = False
                self.loop.call_soon_threadsafe(self.application.action_redraw)
        TtyDriver.bytes_written += len(data) if data.isascii() else len(data.encode())
        super().write(data)

    def enable_mouse(self) -> None:
        """Switch reports of clicks and the wheel on."""
        if self.has_mouse:
            self.write(terminal_guard.MOUSE_ON)

    def disable_mouse(self) -> None:
        """Do nothing: `disable_input` has switched all reports off."""

    def query_synchronized_output(self) -> None:
        """Ask the terminal whether it supports synchronized output."""
        self._query_sent_s = time.monotonic()
        self.write(SYNC_QUERY)

    def run_input_thread(self) -> None:
        """Read on the event loop instead; the thread that Textual starts for this method ends at once."""
        self.loop.call_soon_threadsafe(self._listen)

    def _listen(self) -> None:
        if self._listening:
            self.loop.add_reader(self.fileno, self._read)

    def start_application_mode(self) -> None:
        """Switch the terminal to the screen; after SIGSTOP, which did not restore it, draw it again."""
        found = self.attrs_before
        if found is not None:
            self.resume_after_stop()
        self._listening = True
        self._guard.interrupt = self._interrupt
        signal.signal(signal.SIGURG, lambda *_: None)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.attrs_before = found or self.attrs_before

    def stop_application_mode(self) -> None:
        """Restore the state in which the terminal was found."""
        self.disable_input()
        if self.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        self.attrs_before = None
        self.write(terminal_guard.SCREEN_OFF)

    def close(self) -> None:
        """Wait until everything is sent, except at exit on a stalled terminal: the guard restores that."""
        writer = self.writer
        if writer is None or (self._guard.ending and terminal.is_stalled()):
            return
        lives = writer.is_alive()
        super().close()
        self._guard.taken &= not lives

    def _interrupt(self) -> None:
        """Make the writer thread return from a `write` that blocks, by a signal."""
        writer = self.writer
        if writer and writer.ident and writer.is_alive():
            signal.pthread_kill(writer.ident, signal.SIGURG)
            writer.join(INTERRUPT_TIMEOUT_S)

    def disable_input(self) -> None:
        """Stop reading: while suspended, and at the end."""
        if self._listening:
            self._listening = False
            self.loop.remove_reader(self.fileno)
            self._await_answers()
            super().disable_input()

    def _await_answers(self) -> None:
        """Read until the terminal has answered all queries: the shell would take an answer for typed text.

        A terminal that is known to answer, by now at the latest, gets another query after its reports are
        switched off. Its answer comes after everything that was sent before.
        """
        self.write(terminal_guard.REPORTS_OFF)
        self._await_answer()
        if self._answers:
            self.query_synchronized_output()
            self._await_answer()
        self._query_sent_s = None

    def _await_answer(self) -> None:
        """Read until the query that was sent is answered, or for `ANSWER_TIMEOUT_S` after it."""
        while self._query_sent_s is not None:
            left_s = self._query_sent_s + ANSWER_TIMEOUT_S - time.monotonic()
            if left_s <= 0 or not select.select([self.fileno], [], [], left_s)[0]:
                return
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
