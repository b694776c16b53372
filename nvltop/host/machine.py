"""The machine: boot time, load time of the driver, and whether this is a container or WSL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from nvltop.host.procfs import read_system_file
from nvltop.host.safe_read import read_safely
from nvltop.model import Maybe, Missing

MAX_BOOT_TIME_S: Final = 1e11
"""Unix time above which a boot time is implausible (the year 5138)."""
MAX_BYTES: Final = 1 << 20
"""Number of bytes read of a file; the list of mounts can be long."""
INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""The initial PID namespace (PROC_PID_INIT_INO in the kernel's proc_ns.h)."""
CONTAINER_FILES: Final = (".dockerenv", "run/.containerenv")
"""Files that Docker and Podman create in the root of a container."""
CONTAINER_CGROUPS: Final = ("/docker", "/kubepods", "/libpod", "/lxc", "containerd", "/garden/", "/ecs/")
"""Parts of the cgroup paths of processes in containers."""


DRIVER_THREADS: Final = ("nvidia-modeset", "UVM ", "nv_queue", "nv_open_q")
"""Prefixes of the names of kernel threads that NVIDIA's modules start when they are loaded (`ps -e`)."""
KTHREADD: Final = 2
"""Process id of the parent of all kernel threads."""
START_TIME: Final = 22
"""Number of the field of /proc/PID/stat with the start time in clock ticks since boot (proc(5))."""


def booted_s() -> Maybe[float]:
    """Return the Unix time at which the machine was booted."""
    return read_safely(_boot_time, "/proc/stat")


def _boot_time() -> float:
    [value] = (line.split()[1] for line in read_system_file("stat").splitlines() if line.startswith(b"btime"))
    booted_s = float(value)
    if not 0 < booted_s < MAX_BOOT_TIME_S:
        raise ValueError(f"implausible value {booted_s:g}")
    return booted_s


def driver_loaded_s(proc: Path, boot_s: Maybe[float]) -> Maybe[float]:
    """Return the Unix time at which the NVIDIA kernel modules were loaded.

    This is the start time of their oldest kernel thread. The times of files in sysfs and procfs are those of
    the first access. In a container, kernel threads are hidden.
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
    # The name, in parentheses, may contain spaces; the fields after it do not.
    fields = _read(process / "stat").rpartition(")")[2].split()
    index = START_TIME - 3  # the first field after the name has number 3
    return int(fields[index]) if len(fields) > index and fields[index].isdigit() else None


def in_wsl(proc: Path) -> bool:
    """Return whether this is Windows Subsystem for Linux, whose kernel release contains `microsoft`."""
    return any("microsoft" in _read(proc / file).lower() for file in ("sys/kernel/osrelease", "version"))


def in_container(root: Path = Path("/")) -> bool:
    """Return whether this is a container, judging by files, PID namespace, cgroup and root file system."""
    if any(os.path.lexists(root / name) for name in CONTAINER_FILES) or _in_pid_namespace(root):
        return True
    if any(group in _read(root / "proc/1/cgroup") for group in CONTAINER_CGROUPS):
        return True
    mounts = (line.split() for line in _read(root / "proc/self/mounts").splitlines())
    return any(fields[1:3] == ["/", "overlay"] for fields in mounts)


def _in_pid_namespace(root: Path) -> bool:
    """Return whether this process is in a PID namespace other than the initial one."""
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
