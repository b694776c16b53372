"""The way to the terminal and back: Textual's, but for what it costs while nothing happens."""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from textual import constants
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.message import Message

CHUNK: Final = 4096
ESCAPE_S: Final = constants.ESCAPE_DELAY + 0.02
"""After so long without another byte an Esc is the key, not the beginning of a sequence."""


class Parser(XTermParser):
    """Takes sequences whose numbers stand for no key as unknown ones; Textual's own would fail for good."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterator[Key]:
        with suppress(ValueError, OverflowError):
            yield from super()._sequence_to_key_events(sequence, alt)


class Driver(LinuxDriver):
    """Counts the bytes that it sends, and reads keys on the event loop.

    Textual's own waits for keys in a thread that looks up ten times a second, for days, and each time takes
    the interpreter from the thread that draws.
    """

    class InputEnded(Message):
        """No more keys will come."""

    written = 0
    """Bytes sent to the terminal so far."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = Parser(self._debug)

    def write(self, data: str) -> None:
        """Send text to the terminal."""
        Driver.written += len(data) if data.isascii() else len(data.encode())
        super().write(data)

    def run_input_thread(self) -> None:
        """Leave the reading to the event loop; the thread that Textual starts for it ends at once."""
        self._loop.call_soon_threadsafe(self._loop.add_reader, self.fileno, self._read)

    def start_application_mode(self) -> None:
        """Take the terminal; after a stop that could not be caught it is ours still, and to be drawn anew."""
        found = self.attrs_before
        self._must_signal_resume |= found is not None
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.attrs_before = found or self.attrs_before

    def stop_application_mode(self) -> None:
        """Give the terminal back as it was found."""
        super().stop_application_mode()
        self.attrs_before = None

    def disable_input(self) -> None:
        """Read no more, as while suspended and at the end."""
        self._loop.remove_reader(self.fileno)
        super().disable_input()

    def _read(self) -> None:
        try:
            data = os.read(self.fileno, CHUNK)
        except OSError:
            data = b""
        if not data:
            # The end of a file, or of the terminal; it would be readable for ever.
            self._loop.remove_reader(self.fileno)
            self.send_message(self.InputEnded())
            return
        # The first bytes of a character are no text yet, and no text would be the end to the parser.
        if text := self._decode(data):
            for event in self._parser.feed(text):
                self.process_message(event)
            self._loop.call_later(ESCAPE_S, self._look_at_escape)

    def _look_at_escape(self) -> None:
        for event in self._parser.tick():
            self.process_message(event)
