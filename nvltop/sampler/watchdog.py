"""The watchdog: heartbeats, and other threads for all that waits for a poll thread which is blocked.

A thread that only wakes up to find that all is well takes as much CPU time as reading a GPU or two. So a poll
thread that is awake anyway does the watchdog's work after its own and restarts a timer, as with a watchdog in
hardware. The thread of the watchdog wakes up only if the timer expires: nobody has restarted it in time.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from nvltop.sampler.poll_threads import SPLIT_AFTER_S
from nvltop.sampler.protocol import HEARTBEAT_S
from nvltop.sampler.schedule import RequestedInterval

MIN_WATCHDOG_S: Final = 0.5
"""Shortest interval of the watchdog's checks, seconds.

Otherwise it is that of the link counters, but at most `HEARTBEAT_S`.
"""
MARGIN_S: Final = 0.05
"""Time in seconds by which the timer expires later than a thread counts as blocked."""
_CLOCK_MONOTONIC: Final = 1
_TFD_CLOEXEC: Final = os.O_CLOEXEC
_ITIMERSPEC: Final = struct.Struct("4q")
"""`struct itimerspec`: interval, then the time to the first expiration, each in s and ns."""
_EXPIRATIONS_BYTES: Final = 8
_NS: Final = 10**9


class Timer:
    """A timer of the kernel that can be restarted while a thread waits for it (timerfd_create(2)).

    Python has these functions since 3.13.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._settime: Any = None
        try:
            from ctypes import CDLL

            library = CDLL(None)
            self._settime = library.timerfd_settime
            self._fd = library.timerfd_create(_CLOCK_MONOTONIC, _TFD_CLOEXEC)
        except (ImportError, OSError, AttributeError):
            pass

    def restart(self, first_s: float, every_s: float) -> None:
        """Let the timer expire after `first_s`, and every `every_s` from then on."""
        if self._fd >= 0:
            self._settime(self._fd, 0, _specification(first_s, every_s), None)

    def wait(self, otherwise_s: float) -> None:
        """Wait until the timer expires; for `otherwise_s` where the system has no such timers."""
        if self._fd < 0:
            time.sleep(otherwise_s)
        else:
            os.read(self._fd, _EXPIRATIONS_BYTES)

    def close(self) -> None:
        """Release the timer."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@lru_cache(1)
def _specification(first_s: float, every_s: float) -> bytes:
    return _ITIMERSPEC.pack(*divmod(int(every_s * _NS), _NS), *divmod(int(first_s * _NS), _NS))


class Watchdog:
    """Calls `heartbeat` and `split` at intervals, on whichever thread is awake; `split` gets the time."""

    def __init__(
        self,
        heartbeat: Callable[[], None],
        split: Callable[[float], None],
        flush: Callable[[], None],
        requested: RequestedInterval,
        stop: threading.Event,
    ) -> None:
        """`flush` sends what was held back for long enough, as poll threads do that are not blocked."""
        self._heartbeat, self._split, self._flush = heartbeat, split, flush
        self._requested = requested
        self._stop = stop
        self._timer = Timer()
        self._next_s = 0.0

    @property
    def _every_s(self) -> float:
        return max(MIN_WATCHDOG_S, min(self._requested.interval_s, HEARTBEAT_S))

    def visit(self, now: float) -> None:
        """Check if that is due; called by a poll thread that has read its GPUs."""
        if now < self._next_s:
            return
        every_s = self._every_s
        self._timer.restart(every_s + SPLIT_AFTER_S + MARGIN_S, every_s)
        # At a visit that comes slightly early rather than at the one after it.
        self._next_s = now + every_s - min(self._requested.interval_s, HEARTBEAT_S) / 2
        self._heartbeat()
        self._split(now)

    def run(self) -> None:
        """Check whenever no poll thread has done so in time.

        This thread calls no driver and reads no files, so that nothing that hangs stops the heartbeats.
        """
        self._heartbeat()
        self._timer.restart(self._every_s, self._every_s)
        while not self._stop.is_set():
            self._timer.wait(self._every_s)
            self._heartbeat()
            self._flush()
            self._split(time.monotonic())
        self._timer.close()
