"""Find the RAS services of this machine in /proc, without contacting any process."""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nvltop.frozen import frozen
from nvltop.host.procfs import PROC, TICKS_PER_S, read_stat

DEFAULT_PORT: Final = 28028
"""Port of the service unless `NCCL_RAS_ADDR` names another one."""
LISTENING: Final = "0A"
"""State TCP_LISTEN in /proc/net/tcp."""
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


@frozen
class Listener:
    """A listening TCP socket."""

    host: str
    port: int
    uid: int
    inode: int


@frozen
class Service:
    """A process that listens where a RAS service may be."""

    pid: int
    name: str
    host: str
    port: int
    uid: int
    age_s: float
    """Seconds since the process started."""
    same_network: bool = True
    """Whether the process is in the network namespace of this one."""

    @property
    def enter(self) -> str:
        """The command that asks from the network namespace of the process."""
        return f"nsenter --net=/proc/{self.pid}/ns/net nvltop --ras {self.host}:{self.port}"


def find_services(pids: list[int] | None = None, proc: Path = PROC) -> list[Service]:
    """Return the processes that listen on the port of RAS, or that use NCCL and listen on loopback.

    `pids` restricts the search to these processes. The default port comes first; processes of other users are
    seen only by root.
    """
    found = []
    for pid in pids if pids is not None else _pids(proc):
        try:
            inodes = _socket_inodes(pid, proc)
            if not inodes:
                continue
            listeners = [s for s in _listening(pid, proc) if s.inode in inodes]
            listeners = [s for s in listeners if s.port == DEFAULT_PORT or _uses_nccl(pid, proc)]
            if listeners:
                found += [_service(pid, listener, proc) for listener in listeners]
        except (OSError, ValueError):
            continue  # the process has ended, or is not ours
    return sorted(found, key=lambda s: (s.port != DEFAULT_PORT, not s.same_network, s.pid))


def _pids(proc: Path) -> list[int]:
    return sorted(int(name) for name in os.listdir(proc) if name.isdigit() and int(name) != os.getpid())


def _socket_inodes(pid: int, proc: Path) -> set[int]:
    folder = proc / str(pid) / "fd"
    found = set()
    for name in os.listdir(folder):
        try:
            match = _SOCKET.fullmatch(os.readlink(folder / name))
        except OSError:
            continue
        if match:
            found.add(int(match[1]))
    return found


def _listening(pid: int, proc: Path) -> Iterator[Listener]:
    """Yield the sockets on loopback that listen in the network namespace of a process."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 9 and words[3] == LISTENING:
                address, port = words[1].split(":")
                host = _address(address)
                if host:
                    yield Listener(host, int(port, 16), int(words[7]), int(words[9]))


def _address(text: str) -> str | None:
    """Return the loopback address that a listener on this address answers on; None for other addresses."""
    words = bytes.fromhex(text)
    count = len(words) // 4
    order = "<" if sys.byteorder == "little" else ">"
    packed = struct.pack(f">{count}I", *struct.unpack(f"{order}{count}I", words))
    if len(packed) == 4:
        return "127.0.0.1" if packed[0] == 127 or packed == bytes(4) else None
    host = socket.inet_ntop(socket.AF_INET6, packed)
    return "::1" if host in ("::1", "::") else None


def _uses_nccl(pid: int, proc: Path) -> bool:
    return "libnccl.so" in (proc / str(pid) / "maps").read_text(errors="replace")


def _service(pid: int, listener: Listener, proc: Path) -> Service:
    stat = read_stat(pid, proc)
    uptime_s = float((proc / "uptime").read_text().split()[0])
    age_s = max(0.0, uptime_s - stat.start_ticks / TICKS_PER_S)
    ours, theirs = (os.readlink(proc / name / "ns" / "net") for name in ("self", str(pid)))
    return Service(pid, stat.name, listener.host, listener.port, listener.uid, age_s, ours == theirs)
