"""Bursts of items for the pipe: a JSON list on a line.

The receiver validates the items, because the driver may return anything. Python's `marshal` would cost a
quarter of JSON, but is not safe for untrusted input.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

from nvltop.model import Event, Inventory, Item, Listening, LogLine, Reading
from nvltop.text import clean
from nvltop.wire.codec import decode, encode
from nvltop.wire.decoding import CodecError

_to_json: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Encoder created once; `json.dumps` creates one on each call."""
_TIMES: Final[dict[type, list[int]]] = {
    kind: [
        place for place, f in enumerate(fields(kind), 1) if f.name in ("mono_s", "start_s", "end_s", "wall_s")
    ]
    for kind in (Event, Inventory, Listening, LogLine, Reading)
}
"""Positions of the times in an encoded item."""


class Receiver:
    """The main process's end of the pipe; accepts the bytes in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self.rejected = 0
        """Number of invalid items: the driver returned values that not even the readers reject."""
        self.rejection = ""
        """Why the last invalid item was rejected; empty if none was."""

    def feed(self, chunk: bytes) -> list[Item]:
        """Return the items that are complete with this chunk."""
        *bursts, self._rest = (self._rest + chunk).split(b"\n")
        items: list[Item] = []
        for burst in bursts:
            try:
                values = json.loads(burst)
            except ValueError:
                values = None
            value: Any
            for value in values if isinstance(values, list) else [None]:
                try:
                    if isinstance(value, str):
                        raise CodecError(clean(value))  # the worker itself has rejected it
                    items.append(decode(value))
                except CodecError as error:
                    self.rejected += 1  # only this item is lost
                    self.rejection = str(error)
        return items


def pack_burst(items: list[Item]) -> bytes:
    """Return one burst; an item that cannot be encoded is replaced by the reason."""
    return _to_json([_encoded(item) for item in items]).encode() + b"\n"


def _encoded(item: Item) -> list[Any] | str:
    try:
        return _in_microseconds(item)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        what = item.group if isinstance(item, Reading) else type(item).__name__
        return f"{what}: {error}"


def _in_microseconds(item: Item) -> list[Any]:
    """Encode an item with times in whole microseconds, which recordings store exactly and compactly."""
    values = encode(item)
    for place in _TIMES[type(item)]:
        values[place] = round(values[place], 6)
    return values
