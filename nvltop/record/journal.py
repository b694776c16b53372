"""The lines of a recording, and what it takes to begin another one in the middle of a run."""

from __future__ import annotations

import json
from collections import deque

from nvltop import __version__
from nvltop.model import Event, Inventory, Item, Listening, LogLine, Reading, Tick
from nvltop.record.format import header
from nvltop.wire.coder import Encoder

_ORDER = {Inventory: 0, Listening: 1, Reading: 2, LogLine: 3, Tick: 4}
MAX_LOG_LINES = 300
"""Log lines that another beginning repeats."""
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Journal:
    """Encodes items, and remembers the newest of each kind."""

    def __init__(self, removed: tuple[str, ...]) -> None:
        """Take what has been removed from the items, for the header."""
        self._removed = removed
        self._newest: dict[object, Item] = {}
        self._lines: deque[LogLine] = deque(maxlen=MAX_LOG_LINES)
        """The newest lines of the kernel log, which explain what is found later."""
        self._encoder = Encoder()

    def begin(self) -> list[bytes]:
        """Return a header and what is known so far: from here on the lines can be read on their own."""
        self._encoder = Encoder()
        newest = [*self._newest.values(), *self._lines]
        newest.sort(key=lambda item: _ORDER[type(item)])
        lines = [_line(header(__version__, self._removed, len(newest)))]
        for item in newest:
            lines += map(_line, self._encoder.lines(item))
        return lines

    def lines(self, item: Item) -> list[bytes]:
        """Return the lines of the next item."""
        if isinstance(item, LogLine):
            self._lines.append(item)
        elif not isinstance(item, Event):
            key = (item.gpu, item.group) if isinstance(item, Reading) else type(item)
            self._newest[key] = item
        return [_line(value) for value in self._encoder.lines(item)]


def _line(value: object) -> bytes:
    return _JSON.encode(value).encode() + b"\n"
