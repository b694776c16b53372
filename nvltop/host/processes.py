"""What the machine knows of the processes that the driver lists: who, how long, how much, started by whom.

Arguments are read, the environment never is.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nvltop.host.procfs import PROC, TICKS_PER_S, Stat, read_command_line, read_file, read_stat, read_uid
from nvltop.model import Ancestor, GpuUse, Maybe, Missing, Process, Processes
from nvltop.text import clean

MAX_ARGUMENTS: Final = 512
MAX_ANCESTORS: Final = 16
NOT_IN_PROC: Final = "in another PID namespace (outside this container), or just ended"
HIDEPID: Final = "/proc is mounted so that only their owner sees them (hidepid)"
NOT_ALLOWED: Final = Missing("only its owner and root may read this")
UNREADABLE_VALUE: Final = Missing("/proc could not be read")
PROC_UNREADABLE: Final = "their entries in /proc cannot be read"
NEEDS_SECOND_READING: Final = Missing("needs a second reading")
MIN_CPU_SPAN_S: Final = 0.1
"""CPU time is counted in ticks of 10 ms: over less than this, its share says nothing."""
KERNEL_NAME_BYTES: Final = 15
"""Bytes of a name that the kernel keeps."""

_END: Final = r"(?:\.slice|\.service|\.scope)?(?:[:/]|$)"
"""What may follow an id: systemd's suffix, then the end of the path's part. A colon separates it from the
container's id where the runtime was not told to use systemd (`…slice:cri-containerd:<id>`)."""
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
"""What a cgroup path contains, most specific first. A static pod has a hash of 32 digits as its UID."""


def cgroup_group(cgroup: str) -> tuple[str, str]:
    """Return kind and id of what a `/proc/PID/cgroup` says the process belongs to; empty if nothing."""
    for kind, pattern in CGROUP_PATTERNS:
        found = pattern.search(cgroup.replace("\n", "/\n"))
        if found:
            return kind, found[1].replace("_", "-") if kind == "kubernetes" else _unescaped(found[1])
    return "", ""


def _unescaped(unit: str) -> str:
    return unit.replace("\\x5b", "[").replace("\\x5d", "]")


@dataclass(slots=True)
class _CachedProcess:
    """A process that was met before."""

    stat: Stat
    at_s: float
    """CLOCK_MONOTONIC of `stat`."""
    facts: Process
    cpu_percent: Maybe[float] = NEEDS_SECOND_READING


class ProcessTable:
    """Remembers what does not change about a process: one file is read of each process at each reading."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._cached: dict[int, _CachedProcess] = {}
        self._users: dict[int, str] = {}

    def describe(self, uses: Mapping[int, tuple[GpuUse, ...]], unread: Missing | None = None) -> Processes:
        """Return the processes that can be seen, and how many cannot, and why."""
        self._cached = {pid: met for pid, met in self._cached.items() if pid in uses}
        seen = []
        hidden: list[str] = []
        for pid, on in sorted(uses.items()):
            try:
                seen.append(replace(self._describe(pid), uses=on))
            except Exception as error:  # whatever /proc says or lacks costs this process only
                self._cached.pop(pid, None)
                hidden.append(_why_hidden(pid, error))
        return Processes(
            tuple(seen), len(hidden), "; ".join(dict.fromkeys(hidden)), False if unread is None else unread
        )

    def _describe(self, pid: int) -> Process:
        if pid <= 0:
            raise ProcessLookupError
        now_s, stat = time.monotonic(), read_stat(pid, self._proc)
        met = self._cached.get(pid)
        # A number given to someone else is someone else; another name is another program (`exec`).
        if met is None or (met.stat.start_ticks, met.stat.name) != (stat.start_ticks, stat.name):
            met = self._cached[pid] = _CachedProcess(stat, now_s, self._read_facts(pid, stat))
        elif now_s - met.at_s >= MIN_CPU_SPAN_S:
            ticks = max(0, stat.cpu_ticks - met.stat.cpu_ticks)
            met.cpu_percent = 100.0 * ticks / TICKS_PER_S / (now_s - met.at_s)
            met.stat, met.at_s = stat, now_s
        return replace(met.facts, cpu_percent=met.cpu_percent, memory_bytes=stat.resident_bytes)

    def _read_facts(self, pid: int, stat: Stat) -> Process:
        kind, group = cgroup_group(self._cgroup(pid))
        words = self._words(pid)
        return Process(
            pid=pid,
            uses=(),
            executable=_executable(stat.name, words),
            user=self._user(pid),
            # Quoted, so that one can tell where an argument ends: a secret may hold blanks.
            arguments=words if isinstance(words, Missing) else clean(shlex.join(words[1:]), MAX_ARGUMENTS),
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

    def _words(self, pid: int) -> Maybe[list[str]]:
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
            # Once for each user: the answer can come from a directory server.
            try:
                self._users[number] = clean(pwd.getpwuid(number).pw_name)
            except (KeyError, OSError, OverflowError):
                self._users[number] = str(number)  # in containers, users often have no names
        return self._users[number]

    def _ancestors(self, stat: Stat) -> tuple[Ancestor, ...]:
        found: list[Ancestor] = []
        try:
            while stat.parent > 0 and len(found) < MAX_ANCESTORS:
                parent = read_stat(stat.parent, self._proc)
                if parent.start_ticks > stat.start_ticks:
                    break  # the parent has ended, and another one has its number
                words = self._words(stat.parent)
                found.append(_ancestor(stat.parent, _executable(parent.name, words), words))
                stat = parent
        except (OSError, ValueError):
            pass  # as far up as may be seen
        return tuple(found)


def _started_s(start_ticks: int) -> Maybe[float]:
    """Return the Unix time of a number of ticks after boot."""
    try:
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / TICKS_PER_S
    except OSError:
        return UNREADABLE_VALUE
    return round(time.time() - max(0.0, age_s), 2)


def _why_hidden(pid: int, error: Exception) -> str:
    try:
        if pid > 0:
            os.kill(pid, 0)  # signal 0 asks whether there is one, and does nothing
            # There is one, and we may signal it.
            return (
                NOT_IN_PROC if isinstance(error, (FileNotFoundError, ProcessLookupError)) else PROC_UNREADABLE
            )
    except PermissionError:
        return HIDEPID
    except (OSError, OverflowError):
        pass
    return NOT_IN_PROC


def _executable(name: str, words: Maybe[list[str]]) -> str:
    """Return the name of a program; where the kernel has cut it off, the command line has the rest."""
    if len(name.encode()) >= KERNEL_NAME_BYTES and not isinstance(words, Missing) and words:
        whole = os.path.basename(words[0])
        if whole.startswith(name):
            name = whole
    return clean(name)


def _ancestor(pid: int, name: str, words: Maybe[list[str]]) -> Ancestor:
    """Return a process by its name, or by that of the script that it runs (`torchrun` is one)."""
    given = [] if isinstance(words, Missing) else words[:3]
    program = os.path.basename(given[0]).removeprefix("-") if given else ""
    interpreter = ""
    if name.startswith("python"):
        script = ""
        if given[1:2] == ["-m"]:
            script = given[-1]
        elif len(given) > 1 and not given[1].startswith("-"):
            script = os.path.basename(given[1])
        if script:
            name, interpreter = script, program
    elif program != name and any(os.path.basename(word).startswith(name) for word in given[1:]):
        interpreter = program  # the kernel names a process that runs a script after the script
    return Ancestor(pid, clean(name), clean(interpreter))
