"""Threads that read GPUs in turn; a GPU that keeps the others waiting gets a thread of its own.

A call can be neither cancelled nor hurried. So when a lane has been at one GPU for too long, that lane
keeps this GPU alone, and a new thread goes on with the others: at most one thread a GPU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from nvltop.model import Reading
from nvltop.nvml.session import GpuReader

PATIENCE_S: Final = 0.4
"""How long the others wait for one GPU, once."""


class Lane:
    """GPUs that one thread reads in turn."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self.uuids = tuple(uuids)
        """Whose turn it is; only the watchdog takes some away."""
        self.ended = False
        """Its thread has nothing left to do, and ends."""
        self._at: tuple[str, float] | None = None

    def turn(self, readers: Sequence[GpuReader]) -> Iterator[GpuReader]:
        """Give the lane's readers one after the other."""
        for reader in readers:
            uuid = reader.device.uuid
            if uuid in self.uuids:
                self._at = uuid, time.monotonic()
                yield reader
                self._at = None

    def own(self, readings: Sequence[Reading]) -> list[Reading]:
        """Return those of its GPUs; of one that has been taken away newer ones have been sent."""
        return [r for r in readings if r.gpu in self.uuids]

    def blocked_by(self, now: float) -> str | None:
        """Return the GPU that the others of this lane have waited for long enough."""
        at = self._at
        return at[0] if at and len(self.uuids) > 1 and now - at[1] > PATIENCE_S else None


class Lanes:
    """All lanes that do one kind of work."""

    def __init__(self, name: str, work: Callable[[Lane], None]) -> None:
        self._name = name
        self._work = work
        self._lanes: list[Lane] = []
        self._count = 0

    @property
    def largest(self) -> Lane | None:
        """The lane with the most GPUs; of equal ones the newest, which is not the one that was slow."""
        return max(reversed(self._lanes), key=lambda lane: len(lane.uuids), default=None)

    def lane_of(self, uuid: str) -> Lane | None:
        """Return the lane that reads a GPU."""
        return next((lane for lane in self._lanes if uuid in lane.uuids), None)

    def cover(self, readers: Sequence[GpuReader]) -> None:
        """Start a lane for the GPUs that have none yet, and end those whose GPUs are no longer listed."""
        listed = {r.device.uuid for r in readers}
        for lane in self._lanes:
            if not listed.intersection(lane.uuids):
                lane.ended = True
        self._lanes = [lane for lane in self._lanes if not lane.ended]
        covered = {uuid for lane in self._lanes for uuid in lane.uuids}
        new = [r.device.uuid for r in readers if r.device.uuid not in covered]
        if new:
            self._start(new)

    def split(self, now: float) -> None:
        """Leave a GPU that keeps others waiting to its thread, and go on with the others in a new one."""
        for lane in tuple(self._lanes):
            slow = lane.blocked_by(now)
            if slow:
                others = [uuid for uuid in lane.uuids if uuid != slow]
                lane.uuids = (slow,)
                self._start(others)

    def _start(self, uuids: Sequence[str]) -> None:
        lane = Lane(uuids)
        self._lanes.append(lane)
        self._count += 1
        name = f"{self._name} {self._count}" if self._count > 1 else self._name
        threading.Thread(target=self._work, args=(lane,), name=name, daemon=True).start()
