"""The driver call that each thread is executing, in memory that the main process can read.

A thread that hangs in the driver cannot report anything, so it records each call before it starts.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from nvltop.model import Call

SLOT: Final = struct.Struct("<di16s44s")
"""Entry of one thread: start (CLOCK_MONOTONIC, 0 when idle), NVML index (-1 for none), thread, function."""
SLOTS: Final = 64
"""Number of entries; further threads share the last one."""
HEARTBEAT_OFFSET: Final = SLOT.size * SLOTS
"""Offset of the time of the worker's last heartbeat, a double."""
_START: Final = struct.Struct("<d")
SIZE: Final = HEARTBEAT_OFFSET + _START.size
"""Size of the table, bytes."""
WAITING_CALLS: Final = frozenset({"nvmlEventSetWait_v2", "nvmlEventSetWait_v3"})
"""Calls that wait by design: they have no cost, do not count as hung, and may be aborted."""


class CallTracker:
    """A table of the calls in flight, written by the worker's threads and read by the main process."""

    def __init__(self, fd: int | None = None) -> None:
        """Map the shared table behind `fd`, or a private one if `fd` is None."""
        self._memory = mmap.mmap(-1, SIZE) if fd is None else mmap.mmap(fd, SIZE)
        self._starts = memoryview(self._memory)[:HEARTBEAT_OFFSET].cast("d")
        """The table as numbers; the first one of each entry is its start."""
        self._lock = threading.Lock()
        self._taken = 0
        self._local = threading.local()
        self.calls = 0
        """Number of driver calls."""
        self.driver_s = 0.0
        """Time spent in driver calls, seconds."""
        self.driver_s_by_gpu: defaultdict[int, float] = defaultdict(float)
        """Time spent in driver calls on each GPU, seconds, by NVML index."""

    def run(self, function: Callable[..., Any], args: Sequence[Any], gpu: int | None) -> Any:
        """Call a driver function, about the GPU with this NVML index; return its result.

        The table shows the call from before it starts until it has returned or raised an exception.
        """
        name = function.__name__
        try:
            slot: _Slot = self._local.slot
        except AttributeError:
            slot = self._new_slot()
        label = slot.labels.get((name, gpu)) or slot.label(name, gpu)
        start_s = time.monotonic()
        self._memory[slot.label_at] = label
        # Last, since it makes the entry valid.
        self._starts[slot.start_at] = start_s
        try:
            return function(*args)
        finally:
            self._starts[slot.start_at] = 0.0
            took_s = time.monotonic() - start_s
            # Without a lock, two threads may lose a count. That is acceptable for a cost figure.
            self.calls += 1
            if name not in WAITING_CALLS:
                self.driver_s += took_s
                if gpu is not None:
                    self.driver_s_by_gpu[gpu] += took_s

    def in_flight(self, before_s: float = math.inf) -> tuple[Call, ...]:
        """Return the calls that have not returned, optionally only those that began before a time."""
        found = []
        starts = self._starts[:: SLOT.size // _START.size].tolist()
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

    def spent_s(self, now_s: float) -> float:
        """Return the seconds that threads have spent in driver calls up to now, their sum.

        A call that has not returned counts up to now, not as a whole when it returns.
        """
        calls = [call for call in self.in_flight(now_s) if call.function not in WAITING_CALLS]
        return self.driver_s + sum(now_s - call.since_s for call in calls)

    def heartbeat(self) -> None:
        """Record that the worker is running."""
        _START.pack_into(self._memory, HEARTBEAT_OFFSET, time.monotonic())

    @property
    def heartbeat_s(self) -> float:
        """CLOCK_MONOTONIC of the worker's last heartbeat; 0 before the first."""
        beat_s: float = _START.unpack_from(self._memory, HEARTBEAT_OFFSET)[0]
        return beat_s

    def _new_slot(self) -> _Slot:
        """Give the thread an entry, which it keeps."""
        with self._lock:
            index = min(self._taken, SLOTS - 1)
            self._taken += 1
        slot = self._local.slot = _Slot(index, threading.current_thread().name.encode())
        return slot


class _Slot:
    """The entry of one thread: where it is, and what the thread writes into it."""

    def __init__(self, index: int, thread: bytes) -> None:
        self.start_at = index * SLOT.size // _START.size
        self.label_at = slice(index * SLOT.size + _START.size, (index + 1) * SLOT.size)
        self.labels: dict[tuple[str, int | None], bytes] = {}
        """The entry after its start, by function and GPU: making it takes longer than all the rest."""
        self._thread = thread

    def label(self, name: str, gpu: int | None) -> bytes:
        # `struct` truncates a name that is too long.
        entry = SLOT.pack(0.0, -1 if gpu is None else gpu, self._thread, name.encode())
        label = self.labels[name, gpu] = entry[_START.size :]
        return label


def shared_memory() -> int:
    """Create anonymous memory for a table; return its descriptor, which the worker inherits."""
    fd = os.memfd_create("nvltop-watch", 0)
    os.truncate(fd, SIZE)
    return fd
