"""Files in `/proc`, read up to a limit and checked (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
MAX_BYTES: Final = 1 << 14
"""Number of bytes read of a file; command lines can be megabytes long."""
MAX_SYSTEM_BYTES: Final = 1 << 20
"""Number of bytes read of a file about the whole machine; `/proc/stat` has a line for each CPU."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    """Some fields of `/proc/PID/stat`."""

    name: str
    """Name in the kernel, at most 15 bytes."""
    parent: int
    cpu_ticks: int
    """CPU time in user and in kernel mode."""
    start_ticks: int
    """Start time since boot; together with the pid it identifies a process, whatever the clock is set to."""
    resident_bytes: int
    session: int = 0
    """Session id."""


def read_file(pid: int, name: str, proc: Path = PROC) -> bytes:
    """Return the beginning of a file of a process; raise `OSError` if it cannot be read."""
    # A string, because building a `Path` takes a large part of the time of reading thousands of files.
    fd = os.open(f"{proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, MAX_BYTES)
    finally:
        os.close(fd)


def read_stat(pid: int, proc: Path = PROC) -> Stat:
    """Read `stat` of a process; raise `OSError` if it cannot be read, `ValueError` if it is malformed."""
    # The name may contain spaces and parentheses.
    begin, _, end = read_file(pid, "stat", proc).rpartition(b")")
    fields = end.split()
    if len(fields) < 22:
        raise ValueError("not the fields of /proc/PID/stat")
    parent, session, user, kernel, start, pages = (int(fields[i]) for i in (1, 3, 11, 12, 19, 21))
    if min(parent, session, user, kernel, start, pages) < 0:
        raise ValueError("a field of /proc/PID/stat is negative")
    name = begin.partition(b"(")[2].decode(errors="replace")
    return Stat(name, parent, user + kernel, start, pages * PAGE_BYTES, session)


def read_command_line(pid: int, proc: Path = PROC) -> list[str]:
    """Return the arguments of a process, truncated if they are long; raise `OSError` if that fails."""
    text = read_file(pid, "cmdline", proc).decode(errors="replace")
    arguments = text.removesuffix("\0").split("\0") if text else []
    # Programs that set their title (`setproctitle`) separate its parts by spaces.
    return arguments[0].split(" ") if len(arguments) == 1 else arguments


def read_uid(pid: int, proc: Path = PROC) -> int:
    """Return the real user id of a process; raise `OSError` or `ValueError` if that fails."""
    for line in read_file(pid, "status", proc).splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    raise ValueError("no user in /proc/PID/status")


def read_system_file(name: str, proc: Path = PROC, limit: int = MAX_SYSTEM_BYTES) -> bytes:
    """Return the first `limit` bytes of a file about the machine; raise `OSError` if it cannot be read."""
    with open(f"{proc}/{name}", "rb", buffering=0) as file:
        parts = []
        # The kernel may return less than is asked for, as it does for `/proc/stat`.
        while limit > 0 and (part := file.read(limit)):
            parts.append(part)
            limit -= len(part)
    return b"".join(parts)
