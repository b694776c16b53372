"""Threads that read GPUs in turn; a GPU that delays the others gets a thread of its own.

A driver call cannot be cancelled. When a thread has waited for one GPU for too long, it keeps only this GPU,
and a new thread takes over the others. There is at most one thread per GPU. In the same way, a guest
that blocks the thread keeps it, and a new thread takes over all GPUs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final

from nvltop.model import Reading
from nvltop.sampler.task import Guests, Task

if TYPE_CHECKING:
    # The worker checks the NVML package before it loads what uses it.
    from nvltop.nvml.session import GpuReader

SPLIT_AFTER_S: Final = 0.4
"""Time in seconds after which a GPU that has not answered yet is separated from the others."""
GUEST: Final = "guest"
"""What stands for the UUID of a GPU while a guest is being done."""


class PollThread:
    """The GPUs that one thread reads in turn."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self.uuids = tuple(uuids)
        """UUIDs of the GPUs; only the watchdog removes some."""
        self.ended = False
        """Set when none of the GPUs is left: they are not listed any more, or another thread reads them."""
        self.guests = Guests()
        """Tasks that this thread does after its own work."""
        self._reading: tuple[str, float] | None = None
        """UUID of the GPU that is being read, or `GUEST`, and when that began."""

    def readers_in_turn(self, readers: Sequence[GpuReader]) -> Iterator[GpuReader]:
        """Yield the readers of this thread's GPUs, and record which GPU is being read."""
        for reader in readers:
            uuid = reader.device.uuid
            if uuid in self.uuids:
                self._reading = uuid, time.monotonic()
                yield reader
                self._reading = None

    def of_own_gpus(self, readings: Sequence[Reading]) -> list[Reading]:
        """Return the readings of this thread's GPUs; another thread has sent newer ones of a removed GPU."""
        return [r for r in readings if r.gpu in self.uuids]

    def guests_in_turn(self, now_s: float, slack_s: float) -> Iterator[Task]:
        """Yield the guests that are due now or within `slack_s`, and record that one is being done."""
        while task := self.guests.take(now_s, slack_s):
            self._reading = GUEST, time.monotonic()
            yield task
            self._reading = None

    def blocked_by(self, now: float) -> str | None:
        """Return the GPU, or `GUEST`, that has blocked the thread for longer than `SPLIT_AFTER_S`."""
        reading = self._reading
        return reading[0] if reading and now - reading[1] > SPLIT_AFTER_S else None


class PollThreads:
    """All poll threads that do one kind of work."""

    def __init__(self, name: str, work: Callable[[PollThread], None]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        """Held while the list of threads changes."""
        self._threads: list[PollThread] = []
        self._count = 0

    @property
    def largest(self) -> PollThread | None:
        """The thread with the most GPUs; among equals the newest, which was not slow."""
        return max(reversed(self._threads), key=lambda thread: len(thread.uuids), default=None)

    def thread_of(self, uuid: str) -> PollThread | None:
        """Return the thread that reads a GPU; None if there is none."""
        return next((thread for thread in self._threads if uuid in thread.uuids), None)

    def cover(self, readers: Sequence[GpuReader]) -> None:
        """Start a thread for GPUs that have none, and end threads whose GPUs are no longer listed."""
        listed = {r.device.uuid for r in readers}
        with self._lock:
            for thread in self._threads:
                if not listed.intersection(thread.uuids):
                    thread.ended = True
            self._threads = [thread for thread in self._threads if not thread.ended]
            covered = {uuid for thread in self._threads for uuid in thread.uuids}
            new = [r.device.uuid for r in readers if r.device.uuid not in covered]
            if new:
                self._start(new)

    def split(self, now: float) -> list[Task]:
        """Start a new thread for the GPUs that wait for a slow one or a guest, which keeps the old thread.

        Return the other guests of the old thread, for which there is no thread any more.
        """
        released: list[Task] = []
        if not any(map(PollThread.blocked_by, self._threads, repeat(now))):
            return released
        with self._lock:
            for thread in tuple(self._threads):
                slow = thread.blocked_by(now)
                if not slow:
                    continue
                released += thread.guests.close()
                others = [uuid for uuid in thread.uuids if uuid != slow]
                if others:
                    thread.uuids = tuple(uuid for uuid in thread.uuids if uuid == slow)
                    thread.ended = not thread.uuids
                    self._start(others)
            self._threads = [thread for thread in self._threads if not thread.ended]
        return released

    def _start(self, uuids: Sequence[str]) -> None:
        thread = PollThread(uuids)
        self._threads.append(thread)
        self._count += 1
        name = f"{self._name} {self._count}" if self._count > 1 else self._name
        threading.Thread(target=self._work, args=(thread,), name=name, daemon=True).start()
