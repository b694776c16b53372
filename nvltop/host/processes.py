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

_END: Final = r"(?:\.slice|\.service|\.scope)?(?:[:/]|$)"
"""What may follow an id: systemd's suffix, then the end of the path's part. A colon separates it from the
container's id where the runtime was not told to use systemd (`…slice:cri-containerd:<id>`)."""
GROUPS: Final = (
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


def group_of(cgroup: str) -> tuple[str, str]:
    """Return kind and id of what a `/proc/PID/cgroup` says the process belongs to; empty if nothing."""
    for kind, pattern in GROUPS:
        found = pattern.search(cgroup.replace("\n", "/\n"))
        if found:
            return kind, found[1].replace("_", "-") if kind == "kubernetes" else _unescaped(found[1])
    return "", ""


def _unescaped(unit: str) -> str:
    return unit.replace("\\x5b", "[").replace("\\x5d", "]")


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
                session=self._session(pid),
            )
        return handle, facts

    def _cgroup(self, pid: int) -> str:
        try:
            return (self._proc / str(pid) / "cgroup").read_text(errors="replace")
        except OSError:
            return ""

    def _session(self, pid: int) -> int:
        """Return the session id of a process, 0 if it cannot be read (proc(5), field 6 of `stat`)."""
        try:
            fields = (self._proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            return int(fields[3])
        except (OSError, ValueError, IndexError):
            return 0


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
            found.append(_ancestor(parent))
            parent = parent.parent()
    except (psutil.Error, OSError):
        pass  # as far up as may be seen
    return tuple(found)


def _ancestor(handle: psutil.Process) -> Ancestor:
    """Return a process by its name, or by that of the script that it runs (`torchrun` is one)."""
    name = handle.name()
    try:
        words = handle.cmdline()[:3]
    except (psutil.Error, OSError):
        words = []  # its name says enough to go on with its parent
    program = os.path.basename(words[0]).removeprefix("-") if words else ""
    interpreter = ""
    if name.startswith("python"):
        script = ""
        if words[1:2] == ["-m"]:
            script = words[-1]
        elif len(words) > 1 and not words[1].startswith("-"):
            script = os.path.basename(words[1])
        if script:
            name, interpreter = script, program
    elif program != name and any(os.path.basename(word).startswith(name) for word in words[1:]):
        interpreter = program  # the kernel names a process that runs a script after the script
    return Ancestor(handle.pid, clean(name), clean(interpreter))
