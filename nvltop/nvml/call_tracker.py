"""Which driver call each thread is in, in memory that the main process can see.

A call that is stuck in the driver can say nothing by itself; what it was called with stands here.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import threading
import time
from typing import Final

from nvltop.model import Call

SLOT: Final = struct.Struct("<di16s44s")
"""Start (CLOCK_MONOTONIC, 0 when idle), NVML index (-1 for none), thread name, function name."""
SLOTS: Final = 64
HEARTBEAT_OFFSET: Final = SLOT.size * SLOTS
"""Where the time of the worker's last heartbeat stands, as a double."""
_START: Final = struct.Struct("<d")
SIZE: Final = HEARTBEAT_OFFSET + _START.size
WAITING_CALLS: Final = frozenset({"nvmlEventSetWait_v2"})
"""Calls that wait by design: no cost, never stuck, and harmless to end in."""


class CallTracker:
    """A table of the calls under way: written by the worker's threads, read by the main process."""

    def __init__(self, fd: int | None = None) -> None:
        """Map the table behind `fd`, or a private one if there is none to share."""
        self._memory = mmap.mmap(-1, SIZE) if fd is None else mmap.mmap(fd, SIZE)
        self._lock = threading.Lock()
        self._taken = 0
        self._local = threading.local()
        self.calls = 0
        """Driver calls so far."""
        self.driver_s = 0.0
        """Seconds spent inside them."""
        self.driver_s_by_gpu: dict[int, float] = {}
        """The same by GPU (NVML index)."""

    def begin(self, function: str, gpu: int | None) -> float:
        """Note that this thread is about to call `function`; returns the start time."""
        now = time.monotonic()
        offset, name = self._slot()
        index = -1 if gpu is None else gpu
        SLOT.pack_into(self._memory, offset, now, index, name, function.encode()[:44])
        return now

    def end(self, function: str, start: float, gpu: int | None = None) -> None:
        """Note that the call, which was about `gpu`, came back."""
        now = time.monotonic()
        _START.pack_into(self._memory, self._slot()[0], 0.0)
        # Two threads may lose a count between them; it is a cost figure, not a reading.
        self.calls += 1
        if function not in WAITING_CALLS:
            self.driver_s += now - start
            if gpu is not None:
                self.driver_s_by_gpu[gpu] = self.driver_s_by_gpu.get(gpu, 0.0) + now - start

    def in_flight(self, before_s: float = math.inf) -> tuple[Call, ...]:
        """Return the calls that have begun (before a time, CLOCK_MONOTONIC) and not come back."""
        found = []
        starts = memoryview(self._memory)[:HEARTBEAT_OFFSET].cast("d")[:: SLOT.size // _START.size].tolist()
        for i in [i for i, since in enumerate(starts) if 0 < since < before_s]:
            since, gpu, thread, function = SLOT.unpack_from(self._memory, i * SLOT.size)
            if 0 < since < before_s:
                found.append(
                    Call(
                        thread=thread.rstrip(b"\0").decode("ascii", "replace"),
                        function=function.rstrip(b"\0").decode("ascii", "replace"),
                        gpu=None if gpu < 0 else gpu,
                        since_s=since,
                    )
                )
        return tuple(found)

    def heartbeat(self) -> None:
        """Note that the worker runs."""
        _START.pack_into(self._memory, HEARTBEAT_OFFSET, time.monotonic())

    @property
    def heartbeat_s(self) -> float:
        """CLOCK_MONOTONIC of the worker's last heartbeat; 0 before the first."""
        beat_s: float = _START.unpack_from(self._memory, HEARTBEAT_OFFSET)[0]
        return beat_s

    def _slot(self) -> tuple[int, bytes]:
        try:
            slot: tuple[int, bytes] = self._local.slot
        except AttributeError:
            with self._lock:
                index = min(self._taken, SLOTS - 1)
                self._taken += 1
            name = threading.current_thread().name.encode()[:16]
            slot = self._local.slot = (index * SLOT.size, name)
        return slot


def shared_memory() -> int:
    """Return a descriptor of anonymous memory of the table's size, to be inherited by the worker."""
    fd = os.memfd_create("nvltop-watch", 0)
    os.truncate(fd, SIZE)
    return fd
