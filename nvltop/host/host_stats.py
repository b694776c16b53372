"""CPU and memory use of the machine, for the meters at the top of the screen."""

from __future__ import annotations

import psutil

from nvltop.host.safe_read import read_safely
from nvltop.model import Host, Maybe, Missing

CPU_SOURCE = "/proc/stat"
MEMORY_SOURCE = "/proc/meminfo"


def read_host() -> Host:
    """Return the CPU use since the last call and the present memory use; each may be missing."""
    memory = read_safely(_memory, MEMORY_SOURCE)
    if isinstance(memory, Missing):
        memory = memory, memory
    return Host(read_safely(_cpu, CPU_SOURCE), *memory)


def _cpu() -> float:
    percent = float(psutil.cpu_percent())
    if not 0 <= percent <= 100:
        raise ValueError(f"implausible value {percent}")
    return percent


def _memory() -> tuple[Maybe[int], Maybe[int]]:
    memory = psutil.virtual_memory()
    used, total = int(memory.total - memory.available), int(memory.total)
    if total <= 0 or not 0 <= memory.available <= total:
        # In some containers (lxcfs) more memory is available than exists.
        raise ValueError(f"implausible value {memory.available} of {total}")
    return used, total
