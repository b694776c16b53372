"""What the terminal sends: keys, clicks, pasted text and answers, however broken it arrives."""

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
MAX_PASTE_CHARS: Final = 4096
"""Characters of a paste that are kept; the only place for them is a prompt of one line."""
PASTE_TIMEOUT_S: Final = 1.0
"""A paste whose end does not come ends when nothing has arrived for so long."""
CTRL_C: Final = "\x03"
MODE_REPORT: Final = re.compile(r"\x1b\[\?\d+;\d\$y")
"""DECRPM, a terminal's answer to DECRQM: `CSI ? mode ; state $ y`."""
MAX_REPORT_CHARS: Final = 16
PUTTY_KEYS: Final = {f"\x1bO{letter}": f"f{number}" for number, letter in enumerate("TUVWXYZ[", 5)}
"""F5 to F12 of PuTTY's keyboard "VT100+"; F1 to F4 are the usual ones."""


class KeyboardInput:
    """FrameScheduler bytes from the terminal into Textual's messages."""

    def __init__(self, debug: bool = False) -> None:
        self._debug = debug
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = SafeParser(PUTTY_KEYS, debug)
        self._before = ""
        """The last characters, in which a marker or an answer may have begun."""
        self._paste: list[str] | None = None
        """Pieces of the text that is being pasted; None while there is none."""
        self._pasted = 0
        self._heard_s = 0.0
        self.answers = 0
        """Answers to queries that have arrived."""

    @property
    def pasting(self) -> bool:
        """Whether a paste has begun and not ended."""
        return self._paste is not None

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that bytes bring."""
        text = self._decode(data)
        if not text:
            # The first bytes of a character: no text yet, and no text would be the end to the parser.
            return []
        seen = self._before[-MAX_REPORT_CHARS:] + text
        known = len(seen) - len(text)
        self.answers += sum(found.end() > known for found in MODE_REPORT.finditer(seen))
        self._heard_s = time.monotonic()
        found: list[Message] = []
        while text:
            text = self._inside(text, found) if self.pasting else self._outside(text, found)
        return found

    def tick(self) -> list[Message]:
        """Return what has become clear as nothing more has come: the key Esc, the end of a paste."""
        if self.pasting:
            late = time.monotonic() - self._heard_s >= PASTE_TIMEOUT_S
            return [self._pasted_text()] if late else []
        return self._parsed(None)

    def _outside(self, text: str, found: list[Message]) -> str:
        """Parse up to where a paste begins; return what is left."""
        kept = self._before[-(len(BRACKETED_PASTE_START) - 1) :]
        begin = (kept + text).find(BRACKETED_PASTE_START)
        if begin < 0:
            self._before = (self._before + text)[-MAX_REPORT_CHARS:]
            found += self._parsed(text)
            return ""
        end = begin + len(BRACKETED_PASTE_START) - len(kept)
        # The parser sees the marks alone: it would keep any amount of text between them.
        found += self._parsed(text[:end] + BRACKETED_PASTE_END)
        self._paste, self._pasted, self._before = [], 0, ""
        return text[end:]

    def _inside(self, text: str, found: list[Message]) -> str:
        """Collect pasted text; return what comes after its end."""
        assert self._paste is not None
        if text == CTRL_C:
            found.append(self._pasted_text())
            return text
        whole = self._before + text
        end = whole.find(BRACKETED_PASTE_END)
        if end < 0:
            # The mark may have begun.
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
        """Return what Textual's parser makes of text, or of a pause (None), without unasked sizes."""
        try:
            found: list[Any] = list(self._parser.tick() if text is None else self._parser.feed(text))
        except Exception:  # the parser is a generator: it never works again after a failure
            self._parser = SafeParser(PUTTY_KEYS, self._debug)
            return []
        # Sizes come from the terminal's driver, and pastes from here.
        unasked = (events.Resize, InBandWindowResize, events.Paste)
        return [message for message in found if not isinstance(message, unasked)]
