"""The version of NCCL that a running process uses, read from the library that it has mapped."""

from __future__ import annotations

import mmap
import os
import re
import stat
from pathlib import Path
from typing import Final

from nvltop.host.procfs import PROC
from nvltop.model import Maybe, Missing

MIN_VERSION: Final = (2, 28, 7)
"""First version with JSON; queries crashed jobs with older ones (NVIDIA/nccl#1669, #1718, #1762)."""
MAX_MAPS_BYTES: Final = 8 << 20
_LIBRARY: Final = re.compile(rb"(/\S*/libnccl\.so(?:\.([0-9]+(?:\.[0-9]+){2}))?\S*)")
_VERSION: Final = re.compile(rb"NCCL version ([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")


def nccl_version(pid: int, proc: Path = PROC) -> Maybe[tuple[int, int, int]]:
    """Return the version of the NCCL library in the memory map of a process, or why it is unknown."""
    try:
        with open(proc / str(pid) / "maps", "rb") as file:
            maps = file.read(MAX_MAPS_BYTES)
    except OSError as error:
        return Missing(f"its memory map cannot be read: {os.strerror(error.errno or 0)}")
    match = _LIBRARY.search(maps)
    if match is None:
        return Missing("it has no libnccl.so mapped; NCCL may be linked into another library")
    if match[2]:
        major, minor, patch = (int(part) for part in match[2].split(b"."))
        return major, minor, patch
    # As the process sees it, which may be in a container.
    path = proc / str(pid) / "root" / os.fsdecode(match[1]).lstrip("/")
    return _in_file(path)


def _in_file(path: Path) -> Maybe[tuple[int, int, int]]:
    """Return the version that a library contains as text."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Missing("its NCCL library is not a regular file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = _VERSION.search(content)
                if found is None:
                    return Missing("its NCCL library does not contain its version")
                major, minor, patch = (int(part) for part in found.groups())
                return major, minor, patch
    except (OSError, ValueError) as error:
        return Missing(f"its NCCL library cannot be read: {error}")
