"""Properties of the processes that the driver lists, such as user, age, CPU time and ancestors.

The arguments of a process are read, its environment is not.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from nvltop.frozen import mutable
from nvltop.host.procfs import PROC, TICKS_PER_S, Stat, read_command_line, read_file, read_stat, read_uid
from nvltop.model import Ancestor, GpuUse, Maybe, Missing, Process, Processes
from nvltop.text import clean

MAX_ARGUMENTS: Final = 512
"""Length above which arguments are truncated, characters."""
MAX_ANCESTORS: Final = 16
"""Largest number of ancestors."""
NOT_IN_PROC: Final = "in another PID namespace (outside this container), or just ended"
HIDEPID: Final = "/proc is mounted so that only their owner sees them (hidepid)"
NOT_ALLOWED: Final = Missing("only its owner and root may read this")
UNREADABLE_VALUE: Final = Missing("/proc could not be read")
PROC_UNREADABLE: Final = "their entries in /proc cannot be read"
NEEDS_SECOND_READING: Final = Missing("needs a second reading")
MIN_CPU_SPAN_S: Final = 0.1
"""Shortest time over which a CPU share is computed, seconds; CPU time is counted in ticks of 10 ms."""
KERNEL_NAME_BYTES: Final = 15
"""Length to which the kernel truncates names, bytes."""

_END: Final = r"(?:\.slice|\.service|\.scope)?(?:[:/]|$)"
"""What may follow an id: systemd's suffix, then the end of this part of the path.

A colon precedes the container's id if the runtime does not use systemd (`…slice:cri-containerd:<id>`).
"""
CGROUP_PATTERNS: Final = (
    ("slurm", re.compile(r"/job_(\d+)(?:/|$)")),
    # IBM Spectrum LSF: /lsf/<cluster>/job.<job>[<index>].<pid>.<time>
    ("lsf", re.compile(r"/lsf/[^/]+/job\.(\d+(?:\[\d+\])?)(?:[./]|$)")),
    # OpenPBS and PBS Pro, hook `pbs_cgroups`; older ones `pbspro.slice/pbspro-<job>.<server>.slice`; Torque.
    # systemd writes brackets as \x5b and \x5d.
    (
        "pbs",
        re.compile(
            r"/(?:pbs_jobs\.service/(?:jobid|jobs)|pbspro|torque|pbspro\.slice)/(?:pbspro-)?"
            r"(\d+(?:\[\d+\]|\\x5b\d+\\x5d)?)(?:[./]|$)"
        ),
    ),
    # HTCondor names a cgroup after the slot: condor_var_lib_condor_execute_slot1_3@<host>
    ("htcondor", re.compile(r"/condor_[^/]*?(slot\d+(?:_\d+)?)(?:@[^/]*)?(?:[./]|$)")),
    (
        "kubernetes",
        re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})" + _END),
    ),
    ("container", re.compile(r"[/:-]([0-9a-f]{12})[0-9a-f]{52}" + _END)),
)
"""Kinds of groups and the patterns of their cgroup paths, the most specific first.

The UID of a static pod is a hash of 32 digits.
"""


def cgroup_group(cgroup: str) -> tuple[str, str]:
    """Return kind and id of the group in the content of `/proc/PID/cgroup`; empty strings without one."""
    for kind, pattern in CGROUP_PATTERNS:
        match = pattern.search(cgroup.replace("\n", "/\n"))
        if match:
            return kind, match[1].replace("_", "-") if kind == "kubernetes" else _unescaped(match[1])
    return "", ""


def _unescaped(unit: str) -> str:
    return unit.replace("\\x5b", "[").replace("\\x5d", "]")


@mutable
class _CachedProcess:
    """A process with the properties that do not change."""

    stat: Stat
    at_s: float
    """CLOCK_MONOTONIC of `stat`."""
    facts: Process
    cpu_percent: Maybe[float] = NEEDS_SECOND_READING


class ProcessTable:
    """The processes, with constant properties cached, so that a reading needs one file of each process."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._cached: dict[int, _CachedProcess] = {}
        self._users: dict[int, str] = {}

    def describe(self, uses: Mapping[int, tuple[GpuUse, ...]], unread: Missing | None = None) -> Processes:
        """Return the visible processes, and the number of hidden ones with the reasons."""
        self._cached = {pid: cached for pid, cached in self._cached.items() if pid in uses}
        seen = []
        hidden: list[str] = []
        for pid, on in sorted(uses.items()):
            try:
                seen.append(self._describe(pid, on))
            except Exception as error:  # unexpected content of /proc affects this process only
                self._cached.pop(pid, None)
                hidden.append(_why_hidden(pid, error))
        return Processes(
            tuple(seen), len(hidden), "; ".join(dict.fromkeys(hidden)), False if unread is None else unread
        )

    def _describe(self, pid: int, uses: tuple[GpuUse, ...]) -> Process:
        if pid <= 0:
            raise ProcessLookupError
        now_s, stat = time.monotonic(), read_stat(pid, self._proc)
        cached = self._cached.get(pid)
        # The pid may have been reused, and the process may run another program (`exec`).
        if cached is None or (cached.stat.start_ticks, cached.stat.name) != (stat.start_ticks, stat.name):
            cached = self._cached[pid] = _CachedProcess(stat, now_s, self._read_facts(pid, stat))
        elif now_s - cached.at_s >= MIN_CPU_SPAN_S:
            ticks = max(0, stat.cpu_ticks - cached.stat.cpu_ticks)
            cached.cpu_percent = 100.0 * ticks / TICKS_PER_S / (now_s - cached.at_s)
            cached.stat, cached.at_s = stat, now_s
        return replace(
            cached.facts, uses=uses, cpu_percent=cached.cpu_percent, memory_bytes=stat.resident_bytes
        )

    def _read_facts(self, pid: int, stat: Stat) -> Process:
        kind, group = cgroup_group(self._cgroup(pid))
        command = self._command_line(pid)
        return Process(
            pid=pid,
            uses=(),
            executable=_executable(stat.name, command),
            user=self._user(pid),
            # Quoted, so that the end of an argument is unambiguous: a secret may contain spaces.
            arguments=command
            if isinstance(command, Missing)
            else clean(shlex.join(command[1:]), MAX_ARGUMENTS),
            started_s=_started_s(stat.start_ticks),
            ancestors=self._ancestors(stat),
            group_kind=kind,
            group_id=group,
            session=stat.session,
            start_ticks=stat.start_ticks,
        )

    def _cgroup(self, pid: int) -> str:
        try:
            return read_file(pid, "cgroup", self._proc).decode(errors="replace")
        except OSError:
            return ""

    def _command_line(self, pid: int) -> Maybe[list[str]]:
        try:
            return read_command_line(pid, self._proc)
        except PermissionError:
            return NOT_ALLOWED
        except OSError:
            return UNREADABLE_VALUE

    def _user(self, pid: int) -> Maybe[str]:
        try:
            number = read_uid(pid, self._proc)
        except PermissionError:
            return NOT_ALLOWED
        except (OSError, ValueError):
            return UNREADABLE_VALUE
        if number not in self._users:
            # Once for each user: the name may come from a directory server.
            try:
                self._users[number] = clean(pwd.getpwuid(number).pw_name)
            except (KeyError, OSError, OverflowError):
                self._users[number] = str(number)  # in containers, users often have no name
        return self._users[number]

    def _ancestors(self, stat: Stat) -> tuple[Ancestor, ...]:
        found: list[Ancestor] = []
        try:
            while stat.parent > 0 and len(found) < MAX_ANCESTORS:
                parent = read_stat(stat.parent, self._proc)
                if parent.start_ticks > stat.start_ticks:
                    break  # the parent has ended, and its pid has been reused
                command = self._command_line(stat.parent)
                found.append(_ancestor(stat.parent, _executable(parent.name, command), command))
                stat = parent
        except (OSError, ValueError):
            pass  # further ancestors cannot be read
        return tuple(found)


def _started_s(start_ticks: int) -> Maybe[float]:
    """Return the Unix time of a start time in ticks since boot."""
    try:
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / TICKS_PER_S
    except OSError:
        return UNREADABLE_VALUE
    return round(time.time() - max(0.0, age_s), 2)


def _why_hidden(pid: int, error: Exception) -> str:
    try:
        if pid > 0:
            os.kill(pid, 0)  # signal 0 only checks whether the process exists
            # There is one, and we may signal it.
            return (
                NOT_IN_PROC if isinstance(error, (FileNotFoundError, ProcessLookupError)) else PROC_UNREADABLE
            )
    except PermissionError:
        return HIDEPID
    except (OSError, OverflowError):
        pass
    return NOT_IN_PROC


def _executable(name: str, command: Maybe[list[str]]) -> str:
    """Return the name of a program; if the kernel has truncated it, complete it from the command line."""
    if len(name.encode()) >= KERNEL_NAME_BYTES and not isinstance(command, Missing) and command:
        complete = os.path.basename(command[0])
        if complete.startswith(name):
            name = complete
    return clean(name)


def _ancestor(pid: int, name: str, command: Maybe[list[str]]) -> Ancestor:
    """Return a process with its name or that of the script that it runs, such as `torchrun`."""
    start = [] if isinstance(command, Missing) else command[:3]
    program = os.path.basename(start[0]).removeprefix("-") if start else ""
    interpreter = ""
    if name.startswith("python"):
        script = ""
        if start[1:2] == ["-m"]:
            script = start[-1]
        elif len(start) > 1 and not start[1].startswith("-"):
            script = os.path.basename(start[1])
        if script:
            name, interpreter = script, program
    elif program != name and any(os.path.basename(word).startswith(name) for word in start[1:]):
        interpreter = program  # the kernel names a process that runs a script after the script
    return Ancestor(pid, clean(name), clean(interpreter))
