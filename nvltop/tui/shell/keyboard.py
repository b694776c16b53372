"""Input from the terminal: keys, clicks, pasted text and answers to queries, in pieces of any size."""

from __future__ import annotations

import re
import time
from codecs import getincrementaldecoder
from typing import Any, Final

from textual import events
from textual.message import Message
from textual.messages import InBandWindowResize

from nvltop.tui.shell.textual_private import SafeParser

BRACKETED_PASTE_START: Final = "\x1b[200~"
BRACKETED_PASTE_END: Final = "\x1b[201~"
MAX_PASTE_CHARS: Final = 4097
"""Maximum length of pasted text: one more than a prompt takes, so that it refuses a longer text."""
PASTE_TIMEOUT_S: Final = 1.0
"""Time without input after which a paste ends even though its end marker is missing, seconds."""
CTRL_C: Final = "\x03"
MODE_REPORT: Final = re.compile(r"\x1b\[\?\d+;\d\$y")
"""DECRPM, the answer of a terminal to DECRQM: `CSI ? mode ; state $ y`."""
MAX_REPORT_CHARS: Final = 16
PUTTY_KEYS: Final = {f"\x1bO{letter}": f"f{number}" for number, letter in enumerate("TUVWXYZ[", 5)}
"""F5 to F12 of PuTTY's keyboard "VT100+"; its F1 to F4 are the usual sequences."""


class KeyboardInput:
    """Converts bytes from the terminal to Textual's messages."""

    def __init__(self) -> None:
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = SafeParser(PUTTY_KEYS)
        self._before = ""
        """The last characters, which may be the beginning of a marker or an answer."""
        self._paste: list[str] | None = None
        """Pieces of the text that is being pasted; None outside a paste."""
        self._pasted = 0
        self._received_s = 0.0
        self.answers = 0
        """Number of answers to queries that have arrived."""

    @property
    def pasting(self) -> bool:
        """Whether the input is inside a paste."""
        return self._paste is not None

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that some bytes contain or complete."""
        text = self._decode(data)
        if not text:
            # The first bytes of a character. The parser would take an empty text for the end of input.
            return []
        seen = self._before[-MAX_REPORT_CHARS:] + text
        known = len(seen) - len(text)
        self.answers += sum(found.end() > known for found in MODE_REPORT.finditer(seen))
        self._received_s = time.monotonic()
        found: list[Message] = []
        while text:
            text = self._inside(text, found) if self.pasting else self._outside(text, found)
        return found

    def tick(self) -> list[Message]:
        """Return the messages that result from a pause: the key Esc, or the end of a paste."""
        if self.pasting:
            late = time.monotonic() - self._received_s >= PASTE_TIMEOUT_S
            return [self._pasted_text()] if late else []
        return self._parsed(None)

    def _outside(self, text: str, found: list[Message]) -> str:
        """Parse text up to the beginning of a paste; return the rest."""
        kept = self._before[-(len(BRACKETED_PASTE_START) - 1) :]
        begin = (kept + text).find(BRACKETED_PASTE_START)
        if begin < 0:
            self._before = (self._before + text)[-MAX_REPORT_CHARS:]
            found += self._parsed(text)
            return ""
        end = begin + len(BRACKETED_PASTE_START) - len(kept)
        # The parser gets the markers only: it would store any amount of text between them.
        found += self._parsed(text[:end] + BRACKETED_PASTE_END)
        self._paste, self._pasted, self._before = [], 0, ""
        return text[end:]

    def _inside(self, text: str, found: list[Message]) -> str:
        """Collect pasted text; return the text after its end."""
        assert self._paste is not None
        if text == CTRL_C:
            found.append(self._pasted_text())
            return text
        whole = self._before + text
        end = whole.find(BRACKETED_PASTE_END)
        if end < 0:
            # The last characters may be the beginning of the end marker.
            keep = len(BRACKETED_PASTE_END) - 1
            self._keep(whole[:-keep])
            self._before = whole[-keep:]
            return ""
        self._keep(whole[:end])
        self._before = ""
        found.append(self._pasted_text())
        return whole[end + len(BRACKETED_PASTE_END) :]

    def _keep(self, text: str) -> None:
        assert self._paste is not None
        self._paste.append(text[: max(0, MAX_PASTE_CHARS - self._pasted)])
        self._pasted += len(self._paste[-1])

    def _pasted_text(self) -> Message:
        """End the paste and return it as a message."""
        assert self._paste is not None
        self._keep(self._before)
        text = "".join(self._paste)
        self._paste, self._before = None, ""
        return events.Paste(text.replace("\x00", ""))

    def _parsed(self, text: str | None) -> list[Message]:
        """Return the messages of Textual's parser for text, or a pause (None), without sizes and pastes."""
        try:
            found: list[Any] = list(self._parser.tick() if text is None else self._parser.feed(text))
        except Exception:  # the parser is a generator, which is unusable after a failure
            self._parser = SafeParser(PUTTY_KEYS)
            return []
        # The driver reports sizes, and this class reports pastes.
        unasked = (events.Resize, InBandWindowResize, events.Paste)
        return [message for message in found if not isinstance(message, unasked)]
