"""Workers that a run has left behind in a driver call: they say so, and later runs find them.

A call that hangs can be neither cancelled nor killed without harm, so a run on a driver that hangs leaves
its worker behind. A monitoring system that starts `nvltop --check` every few seconds would leave one each
time, until the machine has no memory left. So a worker that waits without a parent listens on an abstract
Unix socket named after its user, its process and the GPU. It answers nothing there: that it exists is all
it says.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

NAME: Final = "nvltop-waits"
MOST: Final = 4
"""Workers of earlier runs that may wait for single GPUs; with more, no further one is started."""
WORTH_S: Final = 2.0
"""A call that has been under way for this long is one that a worker is left behind in."""
MAX_ASKING: Final = 64
"""Runs that may ask at the same time; each is answered within a moment."""
MAX_LIST: Final = 1 << 24
"""Characters of the kernel's list of sockets that are looked through."""
_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred`: process, user, group."""


class Waiting(NamedTuple):
    """A worker of an earlier run that a driver call has not returned to."""

    pid: int
    gpus: tuple[int, ...]
    """NVML indices; empty if a call concerns no single GPU."""


def announce(gpus: Collection[int | None]) -> socket.socket | None:
    """Say that this process waits for GPUs (None: for the driver itself), while the returned socket is open.

    None if that is not possible.
    """
    whom = "driver" if None in gpus else "+".join(str(gpu) for gpu in gpus)
    listening = None
    try:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(f"\0{NAME}-{os.getuid()}-{os.getpid()}-{whom}")
        listening.listen(MAX_ASKING)
        listening.setblocking(False)
    except OSError:
        if listening:
            listening.close()
        return None
    return listening


def answer(listening: socket.socket) -> None:
    """Let go of those who have asked whose socket this is: the kernel has told them."""
    with contextlib.suppress(OSError):
        while True:
            asking, _ = listening.accept()
            asking.close()


def earlier(sockets: Path = Path("/proc/net/unix")) -> list[Waiting]:
    """Return the workers of this user that wait without a parent; none if the list cannot be read."""
    pattern = re.compile(rf"@({NAME}-{os.getuid()}-(\d+)-(driver|[\d+]+))$", re.MULTILINE)
    try:
        with sockets.open(errors="replace") as file:
            text = file.read(MAX_LIST)
    except OSError:
        return []
    found = {}
    for match in pattern.finditer(text):
        name, pid, whom = match.groups()
        if _is_ours(name, int(pid)):
            found[int(pid)] = Waiting(int(pid), () if whom == "driver" else tuple(map(int, whom.split("+"))))
    return list(found.values())


def refusal(waiting: list[Waiting]) -> str:
    """Return why no further worker may be started, empty if one may."""
    if len(waiting) < MOST and all(w.gpus for w in waiting):
        return ""
    which = ", ".join(str(w.pid) for w in waiting)
    return (
        f"an earlier nvltop still waits for the NVIDIA driver to return from a call (process {which});"
        " look for Xid 119 or 120 in `dmesg`"
    )


def _is_ours(name: str, pid: int) -> bool:
    """Whether the process that a name names has it, and is this user's: anybody may take a name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.setblocking(False)
            asking.connect(f"\0{name}")
            raw = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return False
    owner, user, _ = _CREDENTIALS.unpack(raw)
    return bool(owner == pid and user == os.getuid())
