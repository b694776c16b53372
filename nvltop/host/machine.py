"""What kind of machine this is: since when it runs, and whether we see all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

from nvltop.model import Maybe, Missing

MARKS: Final = (".dockerenv", "run/.containerenv")
"""Files that Docker and Podman leave in the root of a container."""
GROUPS: Final = ("/docker", "/kubepods", "/libpod", "/lxc", "containerd", "/garden/", "/ecs/")
"""What the cgroup path of a container's processes holds."""


def booted_s() -> Maybe[float]:
    """Return the Unix time at which the machine was switched on."""
    try:
        return float(psutil.boot_time())
    except (OSError, RuntimeError, ValueError) as error:
        return Missing(f"/proc/stat: {error}")


def in_container(root: Path = Path("/")) -> bool:
    """Whether we run in a container, by its marks, its cgroup or the file system of its root."""
    if any((root / mark).exists() for mark in MARKS):
        return True
    if any(group in _read(root / "proc/1/cgroup") for group in GROUPS):
        return True
    mounts = (line.split() for line in _read(root / "proc/self/mounts").splitlines())
    return any(fields[1:3] == ["/", "overlay"] for fields in mounts)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
