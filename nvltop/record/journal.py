"""The lines of a recording, and what is needed to begin another segment in the middle of a run."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Final

from nvltop import __version__
from nvltop.model import Inventory, Item, Listening, LogLine, Reading, Tick
from nvltop.record.format import Mark, header
from nvltop.wire.line_codec import LineEncoder

ORDER: Final = {Inventory: 0, Listening: 1, Reading: 2, LogLine: 3, Tick: 4}
"""Order of the items that a segment repeats. Items of other kinds are not repeated."""
MAX_LOG_LINES: Final = 300
"""Number of log lines that a segment repeats: they explain what is found later."""
_JSON: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Newest:
    """The newest item of each kind, and the newest log lines: what a segment repeats."""

    def __init__(self) -> None:
        self._items: dict[object, Item] = {}
        self._log_lines: deque[LogLine] = deque(maxlen=MAX_LOG_LINES)

    def note(self, item: Item) -> None:
        """Store an item in place of the one before it, if its kind is repeated."""
        if isinstance(item, LogLine):
            self._log_lines.append(item)
        elif type(item) in ORDER:
            key = (item.gpu, item.group) if isinstance(item, Reading) else type(item)
            self._items[key] = item

    def items(self) -> list[Item]:
        """Return the items in the order in which a segment repeats them."""
        return sorted([*self._items.values(), *self._log_lines], key=lambda item: ORDER[type(item)])

    @property
    def tick(self) -> Tick | None:
        """The newest tick, if there was one."""
        tick = self._items.get(Tick)
        return tick if isinstance(tick, Tick) else None


class Journal:
    """Encodes items, and stores the newest of each kind."""

    def __init__(self, removed: tuple[str, ...], newest: Newest | None = None) -> None:
        """Take what has been removed from the items, for the header, and what was known before them."""
        self._removed = removed
        self._newest = newest or Newest()
        self._encoder = LineEncoder()

    def begin(self, marks: Sequence[Mark] = ()) -> list[bytes]:
        """Return a header and the newest items: the lines from here on can be read alone.

        `marks` are those of the previous segment. The lines must be written in blocks with a check line.
        """
        self._encoder = LineEncoder()
        newest, tick = self._newest.items(), self._newest.tick
        at = (tick.mono_s, tick.wall_s) if tick else None
        lines = [_line(header(__version__, self._removed, len(newest), at, marks))]
        for item in newest:
            lines += map(_line, self._encoder.lines(item))
        return lines

    def lines(self, item: Item) -> list[bytes]:
        """Return the lines of the next item."""
        self._newest.note(item)
        return [_line(value) for value in self._encoder.lines(item)]


def _line(value: object) -> bytes:
    return _JSON.encode(value).encode() + b"\n"
