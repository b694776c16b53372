"""The worker's end of the pipe to the main process."""

from __future__ import annotations

import os
import threading
import time

from nvltop.model import Item, LinkCounters, Reading
from nvltop.sampler.schedule import BATCH_S, RequestedInterval
from nvltop.wire.bursts import pack_burst


class Sender:
    """The worker's end of the pipe; can be used from any thread."""

    def __init__(self, fd: int, requested: RequestedInterval) -> None:
        self._fd = fd
        self._requested = requested
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._sent_s = 0.0

    def send(self, *items: Item) -> None:
        """Write items. Items that are not urgent are batched with the next counters.

        Block while the pipe is full; end the worker if the main process has ended.
        """
        with self._lock:
            self._waiting += items
            now = time.monotonic()
            waited = max(now - self._sent_s, self._requested.interval_s) > BATCH_S
            if self._waiting and (waited or any(map(_is_urgent, items))):
                self._sent_s = now
                burst, self._waiting = pack_burst(self._waiting), []
                try:
                    while burst:
                        burst = burst[os.write(self._fd, burst) :]
                except OSError:
                    os._exit(0)


def _is_urgent(item: Item) -> bool:
    """Return whether an item triggers a redraw; all others may arrive a little later."""
    return not isinstance(item, Reading) or isinstance(item.data, LinkCounters)
