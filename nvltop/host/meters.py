"""CPU and memory of the machine, for the meters on top of the screen."""

from __future__ import annotations

import psutil

from nvltop.model import Host, Maybe, Missing


def read_host() -> Host:
    """Read CPU use since the call before, and memory now."""
    cpu: Maybe[float]
    try:
        cpu = psutil.cpu_percent()
    except (OSError, RuntimeError, ValueError) as error:
        cpu = Missing(f"/proc/stat: {error}")
    try:
        memory = psutil.virtual_memory()
    except (OSError, RuntimeError, ValueError) as error:
        unread = Missing(f"/proc/meminfo: {error}")
        return Host(cpu, unread, unread)
    return Host(cpu, memory.total - memory.available, memory.total)
