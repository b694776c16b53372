"""The way to the terminal and back: Textual's, but for what it costs while nothing happens."""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from typing import Any, Final

from textual import constants
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

CHUNK: Final = 4096
ESCAPE_S: Final = constants.ESCAPE_DELAY + 0.02
"""After so long without another byte an Esc is the key, not the beginning of a sequence."""


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
        self._parser = XTermParser(self._debug)

    def write(self, data: str) -> None:
        """Send text to the terminal."""
        Driver.written += len(data) if data.isascii() else len(data.encode())
        super().write(data)

    def run_input_thread(self) -> None:
        """Leave the reading to the event loop; the thread that Textual starts for it ends at once."""
        self._loop.call_soon_threadsafe(self._loop.add_reader, self.fileno, self._read)

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
        for event in self._parser.feed(self._decode(data)):
            self.process_message(event)
        self._loop.call_later(ESCAPE_S, self._look_at_escape)

    def _look_at_escape(self) -> None:
        for event in self._parser.tick():
            self.process_message(event)
