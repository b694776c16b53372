"""A source of items from a recording that is still being written, such as `ssh HOST nvltop --record -`."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Final

from nvltop.model import Item, RecordedSource, Tick
from nvltop.record.format import RecordingError
from nvltop.record.reader import RecordingReader

NAME: Final = "standard input"
MAX_WAITING: Final = 100_000
"""Number of items that may wait to be drained before reading pauses."""
PAUSE_S: Final = 0.05
"""Time in seconds between two checks whether reading can go on."""
LATE_INTERVALS: Final = 2.0
"""Number of intervals after which the clock goes on without a new frame, so that values become stale."""


class StreamSource(RecordedSource):
    """The items of a stream, as they arrive; a thread reads it.

    Times are those of the machine that records. The clock stands still between two frames, and goes on when
    the next frame is late.
    """

    def __init__(self, fd: int) -> None:
        """Read from a descriptor."""
        self.error: RecordingError | None = None
        """Why the stream cannot be read, if it cannot."""
        self.warning: str | None = None
        """One line about what was skipped or lost; set at the end."""
        self._file = os.fdopen(fd, "rb", buffering=0)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._items: deque[Item] = deque()
        self._at_end = False
        self._tick: Tick | None = None
        self._arrived_s = time.monotonic()
        self._shown_s = 0.0
        threading.Thread(target=self._read, name="stream", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and all its items have been drained."""
        return self._at_end and not self._items

    def fileno(self) -> int:
        """Return a descriptor that is readable when items wait."""
        return self._wake

    def drain(self) -> list[Item]:
        """Return the items that have arrived, without the frames' clock, which `tick` returns."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return []
        items: list[Item] = []
        while self._items:
            item = self._items.popleft()
            if isinstance(item, Tick):
                self._tick, self._arrived_s = item, time.monotonic()
            else:
                items.append(item)
        return items

    def tick(self) -> Tick:
        """Return the clock of the machine that records, and the state of its worker."""
        now_s = time.monotonic()
        if self._tick is None:
            return Tick(0.0, time.time(), 1.0, "starting")
        late_s = max(0.0, now_s - self._arrived_s - LATE_INTERVALS * max(1.0, self._tick.interval_s))
        self._shown_s = max(self._shown_s, round(self._tick.mono_s + late_s, 6))
        ahead_s = self._shown_s - self._tick.mono_s
        note = "no data has arrived for some seconds" if late_s else self._tick.note
        return replace(self._tick, mono_s=self._shown_s, wall_s=self._tick.wall_s + ahead_s, note=note)

    def set_interval(self, interval_s: float) -> None:
        """Do nothing: the recording machine chooses the interval."""

    def close(self) -> None:
        """Do nothing: the thread ends with the stream or the process."""

    def _read(self) -> None:
        try:
            with RecordingReader(NAME, file=self._file) as recording:
                for item in recording:
                    self._items.append(item)
                    os.eventfd_write(self._wake, 1)
                    while len(self._items) > MAX_WAITING:
                        time.sleep(PAUSE_S)
            self.warning = recording.warning
        except RecordingError as error:
            self.error = error
        self._at_end = True
        os.eventfd_write(self._wake, 1)
