"""What kind of machine this is: since when it runs, and whether we see all of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import psutil

from nvltop.host.safe_read import read_safely
from nvltop.model import Maybe, Missing

MAX_BOOT_TIME_S: Final = 1e11
"""Unix time in which no machine is switched on (the year 5138)."""
MAX_BYTES: Final = 1 << 20
"""Of a list of mounts, which can be long."""
INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""The initial PID namespace (PROC_PID_INIT_INO in the kernel's proc_ns.h)."""
CONTAINER_FILES: Final = (".dockerenv", "run/.containerenv")
"""Files that Docker and Podman leave in the root of a container."""
CONTAINER_CGROUPS: Final = ("/docker", "/kubepods", "/libpod", "/lxc", "containerd", "/garden/", "/ecs/")
"""What the cgroup path of a container's processes holds."""


DRIVER_THREADS: Final = ("nvidia-modeset", "UVM ", "nv_queue", "nv_open_q")
"""Beginnings of the names of kernel threads that NVIDIA's modules start when they are loaded (`ps -e`)."""
KTHREADD: Final = 2
"""Process id of the parent of all kernel threads."""
START_TIME: Final = 22
"""Number of the field in /proc/PID/stat with the start time in clock ticks since boot (proc(5))."""


def booted_s() -> Maybe[float]:
    """Return the Unix time at which the machine was switched on."""
    return read_safely(_boot_time, "/proc/stat")


def _boot_time() -> float:
    booted_s = float(psutil.boot_time())
    if not 0 < booted_s < MAX_BOOT_TIME_S:
        raise ValueError(f"implausible value {booted_s:g}")
    return booted_s


def driver_loaded_s(proc: Path, boot_s: Maybe[float]) -> Maybe[float]:
    """Return the Unix time at which the NVIDIA kernel modules were loaded.

    It is the start time of their oldest kernel thread. sysfs and procfs do not have it: the times of their
    files are those of the first look at them. In a container kernel threads are hidden.
    """
    if isinstance(boot_s, Missing):
        return boot_s
    children = _read(proc / f"{KTHREADD}/task/{KTHREADD}/children").split()
    ticks = [
        _start_ticks(proc / pid) for pid in children if _read(proc / pid / "comm").startswith(DRIVER_THREADS)
    ]
    started = [t for t in ticks if t is not None]
    if not started:
        return Missing("no kernel thread of the driver is visible")
    return boot_s + min(started) / os.sysconf("SC_CLK_TCK")


def _start_ticks(process: Path) -> int | None:
    # The name, in parentheses, may hold blanks; the fields after it do not.
    fields = _read(process / "stat").rpartition(")")[2].split()
    index = START_TIME - 3  # the fields after the name begin with number 3
    return int(fields[index]) if len(fields) > index and fields[index].isdigit() else None


def in_wsl(proc: Path) -> bool:
    """Whether this is Windows Subsystem for Linux: its kernels have `microsoft` in their release."""
    return any("microsoft" in _read(proc / file).lower() for file in ("sys/kernel/osrelease", "version"))


def in_container(root: Path = Path("/")) -> bool:
    """Whether we run in a container: by its marks, process ids of its own, its cgroup or its root."""
    if any(os.path.lexists(root / mark) for mark in CONTAINER_FILES) or _in_pid_namespace(root):
        return True
    if any(group in _read(root / "proc/1/cgroup") for group in CONTAINER_CGROUPS):
        return True
    mounts = (line.split() for line in _read(root / "proc/self/mounts").splitlines())
    return any(fields[1:3] == ["/", "overlay"] for fields in mounts)


def _in_pid_namespace(root: Path) -> bool:
    """Whether process ids are not those of the machine, as in containers without any other mark."""
    try:
        return os.readlink(root / "proc/self/ns/pid") != INITIAL_PID_NAMESPACE
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
