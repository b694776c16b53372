"""The pipe between the worker and the main process: items in bursts, each burst after its length.

Both ends are one program, so a burst is packed as Python packs its own code (`marshal`), at a third
of what JSON costs. What is in it is checked all the same: the driver may say anything.
"""

from __future__ import annotations

import marshal
import os
import struct
import threading
import time
from dataclasses import replace
from typing import Final

from nvltop.codec import CodecError, decode, encode
from nvltop.model import Item, LinkCounters, Reading
from nvltop.sampler.cadence import WAIT_S

_LENGTH: Final = struct.Struct("<I")


class Sender:
    """The worker's end; from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._sent_s = 0.0

    def send(self, *items: Item) -> None:
        """Write items; what nobody waits for goes with the next that are.

        Waits if the main process is not reading, ends the worker if it is gone.
        """
        with self._lock:
            self._waiting += items
            now = time.monotonic()
            if self._waiting and (now - self._sent_s > WAIT_S or any(map(_pressing, items))):
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

    def take(self, chunk: bytes) -> list[Item]:
        """Return the items that are whole with this chunk."""
        data = self._rest + chunk
        items: list[Item] = []
        begin = 0
        while len(data) - begin >= _LENGTH.size:
            end = begin + _LENGTH.size + _LENGTH.unpack_from(data, begin)[0]
            if end > len(data):
                break
            for value in marshal.loads(data[begin + _LENGTH.size : end]):
                try:
                    items.append(decode(value))
                except CodecError:
                    self.garbled += 1  # it costs only itself
            begin = end
        self._rest = data[begin:]
        return items


def pack(items: list[Item]) -> bytes:
    """Return one burst."""
    values = marshal.dumps([encode(_in_microseconds(item)) for item in items])
    return _LENGTH.pack(len(values)) + values


def _pressing(item: Item) -> bool:
    """Whether a picture is drawn of this item: all else is as good a moment later."""
    return not isinstance(item, Reading) or isinstance(item.data, LinkCounters)


def _in_microseconds(item: Item) -> Item:
    """Return an item with its times in whole microseconds, which recordings keep exactly and in few bytes."""
    wall_s = round(item.wall_s, 6)
    if isinstance(item, Reading):
        # Much faster than `replace`, and there are many.
        start_s, end_s = round(item.start_s, 6), round(item.end_s, 6)
        return Reading(item.gpu, start_s, end_s, wall_s, item.data, item.problem)
    return replace(item, mono_s=round(item.mono_s, 6), wall_s=wall_s)
