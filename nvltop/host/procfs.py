"""What `/proc/PID` says of one process, read in bounded pieces and checked (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
MAX_BYTES: Final = 1 << 14
"""Read of one file at most; command lines can be megabytes long."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    """Some fields of `/proc/PID/stat`."""

    name: str
    """As the kernel has it: at most 15 bytes."""
    parent: int
    cpu_ticks: int
    """CPU time in user and in kernel mode so far."""
    start_ticks: int
    """Since boot; with the process id it names a process for good, which no clock step changes."""
    resident_bytes: int
    session: int = 0
    """Session id."""


def read_file(pid: int, name: str, proc: Path = PROC) -> bytes:
    """Return the beginning of a file of a process; raise `OSError` if there is none."""
    # Built as a string: `Path` would be a good part of what reading thousands of them costs.
    fd = os.open(f"{proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, MAX_BYTES)
    finally:
        os.close(fd)


def read_stat(pid: int, proc: Path = PROC) -> Stat:
    """Read `stat` of a process; raise `OSError` if there is none, `ValueError` if it holds something else."""
    # The name may hold blanks and parentheses itself.
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
    """Return the command line of a process, cut off where it is long; raise `OSError`."""
    text = read_file(pid, "cmdline", proc).decode(errors="replace")
    words = text.removesuffix("\0").split("\0") if text else []
    # Programs that write their own title there (`setproctitle`) write blanks.
    return words[0].split(" ") if len(words) == 1 else words


def read_uid(pid: int, proc: Path = PROC) -> int:
    """Return the real user id of a process; raise `OSError` or `ValueError`."""
    for line in read_file(pid, "status", proc).splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    raise ValueError("no user in /proc/PID/status")
