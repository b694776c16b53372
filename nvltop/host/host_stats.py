"""CPU and memory of the machine, for the meters on top of the screen."""

from __future__ import annotations

import psutil

from nvltop.host.safe_read import read_safely
from nvltop.model import Host, Maybe, Missing

CPU = "/proc/stat"
MEMORY = "/proc/meminfo"


def read_host() -> Host:
    """Read CPU use since the call before, and memory now; what cannot be read is missing by itself."""
    memory = read_safely(_memory, MEMORY)
    if isinstance(memory, Missing):
        memory = memory, memory
    return Host(read_safely(_cpu, CPU), *memory)


def _cpu() -> float:
    percent = float(psutil.cpu_percent())
    if not 0 <= percent <= 100:
        raise ValueError(f"implausible value {percent}")
    return percent


def _memory() -> tuple[Maybe[int], Maybe[int]]:
    memory = psutil.virtual_memory()
    used, total = int(memory.total - memory.available), int(memory.total)
    if total <= 0 or not 0 <= memory.available <= total:
        # Some containers are told more free memory than there is (lxcfs).
        raise ValueError(f"implausible value {memory.available} of {total}")
    return used, total
