"""CPU and memory use of the machine, for the meters at the top of the screen."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from nvltop.host.procfs import PROC, read_system_file
from nvltop.host.safe_read import read_safely
from nvltop.model import Host, Maybe, Missing

CPU_SOURCE: Final = "/proc/stat"
MEMORY_SOURCE: Final = "/proc/meminfo"
FIRST_LINE_BYTES: Final = 512
"""Number of bytes read of a file: the first line of `/proc/stat` has the times of all CPUs together."""
MEMORY_LINES: Final = 3
"""Number of lines read of `/proc/meminfo`: total, free and available memory are the first ones."""
COUNTED_TIMES: Final = 8
"""Number of times in that line that add up to all of the time; those of guests are part of them."""
IDLE_TIMES: Final = slice(3, 5)
"""Times without work: idle, and idle while waiting for a disk."""
NO_TIME: Final = Missing("no CPU time has passed")


class HostStats:
    """Reader of the CPU and memory use."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._times: list[int] = []
        """CPU times at the last reading, clock ticks."""

    def read(self) -> Host:
        """Return the CPU use since the last call and the present memory use; each may be missing."""
        memory = read_safely(partial(_memory, self._proc), MEMORY_SOURCE)
        if isinstance(memory, Missing):
            memory = memory, memory
        return Host(read_safely(self._cpu_percent, CPU_SOURCE), *memory)

    def _cpu_percent(self) -> Maybe[float]:
        last, self._times = self._times, []
        self._times = times = _cpu_times(self._proc)
        # A counter that falls, as some idle times do, has not advanced.
        spent = [max(0, now - before) for now, before in zip(times, last or times, strict=True)]
        total = sum(spent)
        return round(100.0 * (total - sum(spent[IDLE_TIMES])) / total, 1) if total else NO_TIME


def _cpu_times(proc: Path) -> list[int]:
    """Return user, nice, system, idle, iowait, irq, softirq and steal time, in clock ticks since boot."""
    name, *times = read_system_file("stat", proc, FIRST_LINE_BYTES).partition(b"\n")[0].split()
    if name != b"cpu" or len(times) < COUNTED_TIMES:
        raise ValueError("no line with the times of all CPUs")
    return [int(ticks) for ticks in times[:COUNTED_TIMES]]


def _memory(proc: Path) -> tuple[Maybe[int], Maybe[int]]:
    """Return used and total bytes; memory that could be freed at once does not count as used."""
    lines = read_system_file("meminfo", proc, FIRST_LINE_BYTES).splitlines()[:MEMORY_LINES]
    kib = {name: int(value) for name, value, _ in map(bytes.split, lines)}
    total, available = kib[b"MemTotal:"], kib[b"MemAvailable:"]
    if available > total:
        available = kib[b"MemFree:"]  # in some containers (lxcfs), as free(1) does
    if not 0 < available <= total:
        raise ValueError(f"implausible value {available} of {total}")
    return 1024 * (total - available), 1024 * total
