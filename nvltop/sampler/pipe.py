"""The worker's end of the pipe to the main process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from nvltop.model import Item, LinkCounters, Reading
from nvltop.sampler.schedule import BATCH_S, EARLY_SHARE, LATE_SHARE, START_S, RequestedInterval
from nvltop.wire.pipe_codec import Packer

_data_of: Final = attrgetter("data")


class Sender:
    """The worker's end of the pipe; can be used from any thread."""

    def __init__(self, fd: int, requested: RequestedInterval, frame_s: float = 0.0) -> None:
        """Send the readings of `frame_s` seconds together: those between two frames. 0: send them at once."""
        self._fd = fd
        self._requested = requested
        self._frame_s = frame_s
        self._started_s = time.monotonic()
        self._lock = threading.Lock()
        self._packer = Packer()
        self._waiting: list[Item] = []
        self._sent_s = 0.0

    def send(self, *items: Item) -> None:
        """Write items, or hold them back until items are written that are due.

        Block while the pipe is full; end the worker if the main process has ended.
        """
        with self._lock:
            self._waiting += items
            now = time.monotonic()
            if self._waiting and self._due(items, now):
                self._sent_s = now
                burst, self._waiting = self._packer.pack(self._waiting), []
                try:
                    while burst:
                        burst = burst[os.write(self._fd, burst) :]
                except OSError:
                    os._exit(0)

    def _due(self, items: Sequence[Item], now: float) -> bool:
        """Return whether to write now. Each write wakes the main process; only readings may wait."""
        if items and {*map(type, items)} != {Reading}:
            return True
        counted = LinkCounters in map(type, map(_data_of, items))
        waited_s = now - self._sent_s
        if self._frame_s and now - self._started_s > START_S:
            # The thread that has read link counters sends them at once, together with all that waits.
            return waited_s > self._frame_s * (1 - EARLY_SHARE if counted else 1 + LATE_SHARE)
        return counted or max(waited_s, self._requested.interval_s) > BATCH_S
