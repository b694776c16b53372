"""What the machine knows of the processes that the driver lists: who, how long, how much, started by whom.

Arguments are read, the environment never is.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from nvltop.model import Ancestor, GpuUse, Maybe, Missing, Process, Processes
from nvltop.text import clean

MAX_ARGUMENTS: Final = 512
MAX_ANCESTORS: Final = 16
ELSEWHERE: Final = "in another PID namespace (outside this container), or just ended"
FORBIDDEN: Final = "/proc is mounted so that only their owner sees them (hidepid)"
NOT_ALLOWED: Final = Missing("only its owner and root may read this")
UNREADABLE: Final = Missing("/proc could not be read")

GROUPS: Final = (
    ("slurm", re.compile(r"/job_(\d+)(?:/|$)")),
    (
        "kubernetes",
        re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?(?:/|$)"),
    ),
    ("container", re.compile(r"(?:/|-)([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?(?:/|$)")),
)
"""What stands in a cgroup path, most telling first."""


def group_of(cgroup: str) -> tuple[str, str]:
    """Return kind and id of what a `/proc/PID/cgroup` says the process belongs to; empty if nothing."""
    for kind, pattern in GROUPS:
        found = pattern.search(cgroup.replace("\n", "/\n"))
        if found:
            return kind, found[1].replace("_", "-")
    return "", ""


class ProcessTable:
    """Remembers what does not change about a process, so that a reading costs little."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._known: dict[int, tuple[psutil.Process, Process]] = {}

    def describe(self, uses: Mapping[int, tuple[GpuUse, ...]], unread: Missing | None = None) -> Processes:
        """Return the processes that can be seen, and how many cannot, and why."""
        self._known = {pid: entry for pid, entry in self._known.items() if pid in uses}
        seen = []
        hidden: list[str] = []
        for pid, on in sorted(uses.items()):
            process = self._describe(pid)
            if process:
                seen.append(replace(process, uses=on))
            else:
                hidden.append(_why_hidden(pid))
        return Processes(
            tuple(seen), len(hidden), "; ".join(dict.fromkeys(hidden)), False if unread is None else unread
        )

    def _describe(self, pid: int) -> Process | None:
        try:
            entry = self._known.get(pid)
            if entry is None or not entry[0].is_running():
                # A pid given to someone else is someone else.
                entry = self._known[pid] = self._meet(pid)
            handle, facts = entry
            with handle.oneshot():
                return replace(facts, cpu_percent=_cpu(handle), memory_bytes=_resident(handle))
        except (psutil.NoSuchProcess, ProcessLookupError, ValueError, OverflowError):
            self._known.pop(pid, None)
            return None

    def _meet(self, pid: int) -> tuple[psutil.Process, Process]:
        if pid <= 0:
            raise psutil.NoSuchProcess(pid)
        handle = psutil.Process(pid)
        with handle.oneshot():
            kind, group = group_of(self._cgroup(pid))
            executable, arguments = _command(handle)
            facts = Process(
                pid=pid,
                uses=(),
                executable=executable,
                user=_user(handle),
                arguments=arguments,
                started_s=handle.create_time(),
                ancestors=_ancestors(handle),
                group_kind=kind,
                group_id=group,
            )
        return handle, facts

    def _cgroup(self, pid: int) -> str:
        try:
            return (self._proc / str(pid) / "cgroup").read_text(errors="replace")
        except OSError:
            return ""


def _why_hidden(pid: int) -> str:
    try:
        if pid > 0:
            os.kill(pid, 0)  # signal 0 asks whether there is one, and does nothing
    except PermissionError:
        return FORBIDDEN
    except (OSError, OverflowError):
        pass
    return ELSEWHERE


def _user(handle: psutil.Process) -> Maybe[str]:
    try:
        return clean(handle.username())
    except psutil.AccessDenied:
        return NOT_ALLOWED
    except (OSError, KeyError):
        return UNREADABLE


def _command(handle: psutil.Process) -> tuple[Maybe[str], Maybe[str]]:
    try:
        name: Maybe[str] = clean(handle.name())
    except (psutil.AccessDenied, OSError):
        name = UNREADABLE
    try:
        words = handle.cmdline()
    except psutil.AccessDenied:
        return name, NOT_ALLOWED
    except OSError:
        return name, UNREADABLE
    # Quoted, so that one can tell where an argument ends: a secret may hold blanks.
    return name, clean(shlex.join(words[1:]), MAX_ARGUMENTS)


def _cpu(handle: psutil.Process) -> Maybe[float]:
    try:
        return max(0.0, handle.cpu_percent())
    except (psutil.AccessDenied, OSError):
        return UNREADABLE


def _resident(handle: psutil.Process) -> Maybe[int]:
    try:
        return int(handle.memory_info().rss)
    except (psutil.AccessDenied, OSError):
        return UNREADABLE


def _ancestors(handle: psutil.Process) -> tuple[Ancestor, ...]:
    found: list[Ancestor] = []
    try:
        parent = handle.parent()
        while parent is not None and len(found) < MAX_ANCESTORS:
            found.append(Ancestor(parent.pid, _script(parent)))
            parent = parent.parent()
    except (psutil.Error, OSError):
        pass  # as far up as may be seen
    return tuple(found)


def _script(handle: psutil.Process) -> str:
    """Return the name of a program, or of the script that an interpreter runs (`torchrun` is one)."""
    name = handle.name()
    if name.startswith("python"):
        try:
            words = handle.cmdline()[1:3]
        except (psutil.AccessDenied, OSError):
            words = []
        if words[:1] == ["-m"]:
            name = words[-1]
        elif words and not words[0].startswith("-"):
            name = os.path.basename(words[0])
    return clean(name)
