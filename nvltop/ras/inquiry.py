"""Find the service of a job, refuse what could harm the job, and ask."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

from nvltop.frozen import frozen
from nvltop.model import Missing
from nvltop.ras.answer import RasReport, parse
from nvltop.ras.client import RasError, query
from nvltop.ras.listeners import DEFAULT_PORT, Service, find_services
from nvltop.ras.nccl_version import MIN_VERSION, nccl_version

MIN_AGE_S: Final = 60.0
"""Age in seconds below which a job is not queried: queries during initialisation crashed jobs."""
WARNING: Final = (
    "This asks NCCL for the state of a running job. Every process of the job, on all its nodes, answers;"
    " it takes up to 10 s. NCCL before 2.28.7 can crash the job."
)


class RasUsageError(ValueError):
    """The request cannot be made like this; the message is one line for the user."""


@frozen
class Target:
    """A service that may be asked."""

    host: str
    port: int
    service: Service | None
    """The process that listens there; None if it is not visible."""

    def __str__(self) -> str:
        process = f" (process {self.service.pid}, {self.service.name})" if self.service else ""
        return f"{self.host}:{self.port}{process}"

    def ask(self) -> RasReport:
        """Query the service. Raises `RasError` without a complete answer."""
        return parse(query(self.host, self.port))


def find_target(address: str = "", pids: Sequence[int] | None = None, force: bool = False) -> Target:
    """Return the service at an address, else that of some processes, else that of this machine.

    Raises `RasUsageError` for a request that could harm a job or names no address of this host, and
    `RasError` if there is no service.
    """
    target = _at(address) if address else _among(pids)
    _check(target, force)
    return target


def _at(address: str) -> Target:
    host, port = _parse_address(address)
    listening = [s for s in find_services() if s.port == port and s.same_network]
    return Target(host, port, listening[0] if listening else None)


def _among(pids: Sequence[int] | None) -> Target:
    found = find_services(None if pids is None else list(pids))
    here = [s for s in found if s.same_network]
    if not here and found:
        raise RasError(f"the job is in another network namespace; ask there: {found[0].enter}")
    if not here:
        whose = "of this job " if pids is not None else "that you may see "
        raise RasError(
            f"no NCCL RAS service found: no process {whose}listens on port {DEFAULT_PORT},"
            " or uses NCCL (2.24 or later) and listens on loopback"
        )
    ports = sorted({s.port for s in here}, key=lambda port: port != DEFAULT_PORT)
    if len(ports) > 1 and ports[0] != DEFAULT_PORT:
        listed = ", ".join(f"{s.host}:{s.port} (process {s.pid})" for s in here[:6])
        raise RasUsageError(f"several sockets may be the service; name one with --ras ADDR:PORT: {listed}")
    return Target(here[0].host, here[0].port, here[0])


def _parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise RasUsageError(f"{text!r} is not an address such as 127.0.0.1:{DEFAULT_PORT}")
    if not _is_of_this_host(host):
        raise RasUsageError(f"{host} is not an address of this host; run nvltop there")
    return host, int(port)


def _is_of_this_host(host: str) -> bool:
    """Return whether a host name or number belongs to this machine: a socket can be bound to it."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
        except OSError:
            return False
    return bool(found)


def _check(target: Target, force: bool) -> None:
    """Refuse what could harm the job: another user's, a new one, an old or unknown NCCL."""
    service, wanted = target.service, ".".join(map(str, MIN_VERSION))
    if service is not None and service.uid != os.geteuid() and os.geteuid() != 0:
        raise RasUsageError(f"process {service.pid} belongs to another user; only its owner or root may ask")
    if service is not None and service.age_s < MIN_AGE_S:
        raise RasUsageError(
            f"process {service.pid} started {service.age_s:.0f} s ago;"
            f" queries during initialisation can crash a job: ask {MIN_AGE_S:.0f} s after its start"
        )
    if force:
        return
    all_the_same = f"--ras-force asks all the same (versions before {wanted} can crash the job)"
    if service is None:
        raise RasUsageError(
            f"no process that listens on {target.host}:{target.port} is visible, so the version of NCCL is"
            f" unknown; {all_the_same}"
        )
    version = nccl_version(service.pid)
    if isinstance(version, Missing):
        raise RasUsageError(
            f"the NCCL version of process {service.pid} is unknown: {version.reason}; {all_the_same}"
        )
    if version < MIN_VERSION:
        raise RasUsageError(
            f"process {service.pid} uses NCCL {'.'.join(map(str, version))}; versions before {wanted} can"
            " crash the job when asked (--ras-force asks all the same)"
        )
