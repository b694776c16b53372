"""Find workers of earlier runs that are stuck in a driver call.

A hanging driver call can neither be cancelled nor killed safely, so nvltop abandons the worker that made it.
A monitoring system that runs `nvltop --check` every few seconds would leave one stuck worker each time, until
the machine has no memory left. Therefore an abandoned worker listens on an abstract Unix socket whose name
holds its user, its process id and the GPU. No data is exchanged: the existence of the socket is the message.
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

SOCKET_PREFIX: Final = "nvltop-waits"
MAX_STUCK: Final = 4
"""Number of stuck workers, each waiting for single GPUs, from which on no further worker is started."""
STUCK_AFTER_S: Final = 2.0
"""Duration of a driver call, seconds, after which an abandoned worker announces itself."""
MAX_PROBES: Final = 64
"""Backlog of the socket: number of runs that can probe it at the same time."""
MAX_LIST: Final = 1 << 24
"""Number of characters of the kernel's list of sockets that are searched."""
_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred`: process, user, group."""


class StuckWorker(NamedTuple):
    """A worker of an earlier run whose driver call has not returned."""

    pid: int
    gpus: tuple[int, ...]
    """NVML indices of the GPUs; empty if the call does not concern a single GPU."""


def announce(gpus: Collection[int | None]) -> socket.socket | None:
    """Announce that this process waits for GPUs (None: for the driver) while the returned socket is open.

    Return None if that is not possible.
    """
    target = "driver" if None in gpus else "+".join(str(gpu) for gpu in gpus)
    listening = None
    try:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(f"\0{SOCKET_PREFIX}-{os.getuid()}-{os.getpid()}-{target}")
        listening.listen(MAX_PROBES)
        listening.setblocking(False)
    except OSError:
        if listening:
            listening.close()
        return None
    return listening


def accept_probes(listening: socket.socket) -> None:
    """Close the connections of other runs that have probed this socket; they need no data."""
    with contextlib.suppress(OSError):
        while True:
            probe, _ = listening.accept()
            probe.close()


def find(sockets: Path = Path("/proc/net/unix")) -> list[StuckWorker]:
    """Return this user's stuck workers; an empty list if the kernel's list of sockets cannot be read."""
    pattern = re.compile(rf"@({SOCKET_PREFIX}-{os.getuid()}-(\d+)-(driver|[\d+]+))$", re.MULTILINE)
    try:
        with sockets.open(errors="replace") as file:
            text = file.read(MAX_LIST)
    except OSError:
        return []
    found = {}
    for match in pattern.finditer(text):
        name, pid, target = match.groups()
        if _is_ours(name, int(pid)):
            gpus = () if target == "driver" else tuple(map(int, target.split("+")))
            found[int(pid)] = StuckWorker(int(pid), gpus)
    return list(found.values())


def refusal(waiting: list[StuckWorker]) -> str:
    """Return why no further worker may be started; empty if one may."""
    if len(waiting) < MAX_STUCK and all(w.gpus for w in waiting):
        return ""
    which = ", ".join(str(w.pid) for w in waiting)
    return (
        f"an earlier nvltop still waits for the NVIDIA driver to return from a call (process {which});"
        " check `dmesg` for Xid 119 or 120"
    )


def _is_ours(name: str, pid: int) -> bool:
    """Return whether a socket belongs to process `pid` of this user: any user may create such a name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setblocking(False)
            probe.connect(f"\0{name}")
            raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return False
    owner, user, _ = _CREDENTIALS.unpack(raw)
    return bool(owner == pid and user == os.getuid())
