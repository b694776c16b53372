"""A program, and all processes that come from it: what they have used of the machine so far."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Used:
    """What a family of processes stands at."""

    cpu_s: float
    rss_bytes: int
    processes: int


def clock_of(pid: int) -> int:
    """Return the id of a process's CPU clock, which counts nanoseconds (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def used(pid: int) -> Used:
    """Return what a process and its descendants, in sessions of their own as well, have used."""
    cpu_s, rss_bytes, processes = 0.0, 0, 0
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                cpu_s += time.clock_gettime(clock_of(process.pid))
                rss_bytes += process.memory_info().rss
                processes += 1
    return Used(cpu_s, rss_bytes, processes)
