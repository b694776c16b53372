"""The lines of a recording, and what is needed to begin another segment in the middle of a run."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Final

from nvltop import __version__
from nvltop.model import Inventory, Item, Listening, LogLine, Reading, Tick
from nvltop.record.format import header
from nvltop.record.marks import Mark
from nvltop.wire.coder import Encoder

ORDER: Final = {Inventory: 0, Listening: 1, Reading: 2, LogLine: 3, Tick: 4}
"""Order of the items that a segment repeats. Items of other kinds are not repeated."""
MAX_LOG_LINES: Final = 300
"""Number of log lines that a segment repeats: they explain what is found later."""
_JSON: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Journal:
    """Encodes items, and stores the newest of each kind."""

    def __init__(self, removed: tuple[str, ...], numbered: bool = False) -> None:
        """Take what has been removed from the items, for the header.

        `numbered` declares that blocks end with a check line, which holds their number.
        """
        self._removed = removed
        self._numbered = numbered
        self._newest: dict[object, Item] = {}
        self._log_lines: deque[LogLine] = deque(maxlen=MAX_LOG_LINES)
        self._encoder = Encoder()

    def begin(self, marks: Sequence[Mark] = ()) -> list[bytes]:
        """Return a header and the newest items: the lines from here on can be read alone.

        `marks` are those of the previous segment.
        """
        self._encoder = Encoder()
        newest = [*self._newest.values(), *self._log_lines]
        newest.sort(key=lambda item: ORDER[type(item)])
        tick = self._newest.get(Tick)
        at = (tick.mono_s, tick.wall_s) if isinstance(tick, Tick) else None
        lines = [_line(header(__version__, self._removed, len(newest), self._numbered, at, marks))]
        for item in newest:
            lines += map(_line, self._encoder.lines(item))
        return lines

    def lines(self, item: Item) -> list[bytes]:
        """Return the lines of the next item."""
        if isinstance(item, LogLine):
            self._log_lines.append(item)
        elif type(item) in ORDER:
            key = (item.gpu, item.group) if isinstance(item, Reading) else type(item)
            self._newest[key] = item
        return [_line(value) for value in self._encoder.lines(item)]


def _line(value: object) -> bytes:
    return _JSON.encode(value).encode() + b"\n"
