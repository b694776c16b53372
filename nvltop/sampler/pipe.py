"""The pipe between the worker and the main process: items in bursts, each a JSON list on a line.

What is in them is checked: the driver may say anything. Python's `marshal` would cost a quarter of
JSON, but trusts what it reads.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import fields
from typing import Any, Final

from nvltop.codec import CodecError, decode, encode
from nvltop.model import Event, Inventory, Item, LinkCounters, Reading
from nvltop.sampler.schedule import WAIT_S, Pace
from nvltop.text import clean

_to_json: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Made once: `json.dumps` makes one each time."""
_TIMES: Final[dict[type, list[int]]] = {
    kind: [
        place for place, f in enumerate(fields(kind), 1) if f.name in ("mono_s", "start_s", "end_s", "wall_s")
    ]
    for kind in (Event, Inventory, Reading)
}
"""Where the times of an item are in what stands for it."""


class Sender:
    """The worker's end; from any thread."""

    def __init__(self, fd: int, pace: Pace) -> None:
        self._fd = fd
        self._pace = pace
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._sent_s = 0.0

    def send(self, *items: Item) -> None:
        """Write items; what nobody waits for goes with the next counters, if these come soon.

        Waits if the main process is not reading, ends the worker if it is gone.
        """
        with self._lock:
            self._waiting += items
            now = time.monotonic()
            waited = max(now - self._sent_s, self._pace.interval_s) > WAIT_S
            if self._waiting and (waited or any(map(_pressing, items))):
                self._sent_s = now
                burst, self._waiting = pack(self._waiting), []
                try:
                    while burst:
                        burst = burst[os.write(self._fd, burst) :]
                except OSError:
                    os._exit(0)


class Receiver:
    """Puts together what comes out of the pipe in any pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self.garbled = 0
        """Items that were none: what the driver said was garbage beyond what the readers catch."""
        self.refused = ""
        """Why the last of them was refused."""

    def take(self, chunk: bytes) -> list[Item]:
        """Return the items that are whole with this chunk."""
        *bursts, self._rest = (self._rest + chunk).split(b"\n")
        items: list[Item] = []
        for burst in bursts:
            try:
                values = json.loads(burst)
            except ValueError:
                values = None
            for value in values if isinstance(values, list) else [None]:
                try:
                    if isinstance(value, str):
                        raise CodecError(clean(value))  # the worker itself has refused it
                    items.append(decode(value))
                except CodecError as error:
                    self.garbled += 1  # it costs only itself
                    self.refused = str(error)
        return items


def pack(items: list[Item]) -> bytes:
    """Return one burst; an item that cannot be encoded costs only itself, and says why."""
    return _to_json([_encoded(item) for item in items]).encode() + b"\n"


def _encoded(item: Item) -> list[Any] | str:
    try:
        return _in_microseconds(item)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        what = item.group if isinstance(item, Reading) else type(item).__name__
        return f"{what}: {error}"


def _pressing(item: Item) -> bool:
    """Whether a picture is drawn of this item: all else is as good a moment later."""
    return not isinstance(item, Reading) or isinstance(item.data, LinkCounters)


def _in_microseconds(item: Item) -> list[Any]:
    """Encode with times in whole microseconds, which recordings keep exactly and in few bytes."""
    values = encode(item)
    for place in _TIMES[type(item)]:
        values[place] = round(values[place], 6)
    return values
