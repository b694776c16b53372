"""`nvltop --ras [ADDR:PORT]`: ask NCCL which rank is behind, after a confirmation."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import Final

from nvltop.model import Missing
from nvltop.ras.answer import RasReport, parse
from nvltop.ras.client import RasError, query
from nvltop.ras.diagnosis import diagnose
from nvltop.ras.json import as_object
from nvltop.ras.listeners import DEFAULT_PORT, Service, find_services
from nvltop.ras.nccl_version import MIN_VERSION, nccl_version
from nvltop.ras.text import to_lines

NOTHING: Final = 0
FOUND: Final = 1
MIN_AGE_S: Final = 60.0
"""Age in seconds below which a job is not queried: queries during initialisation crashed jobs."""
REPEAT_S: Final = 10.0
"""Default time between two queries, seconds."""
WARNING: Final = (
    "This asks NCCL for the state of a running job. Every process of the job, on all its nodes, answers;"
    " it takes up to 10 s. NCCL before 2.28.7 can crash the job."
)


class RasUsageError(ValueError):
    """The request cannot be made like this; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class RasOptions:
    """What the command line says."""

    address: str = ""
    """`ADDR:PORT`; empty to search for the service."""
    confirmed: bool = False
    force: bool = False
    """Whether to query whatever the version of NCCL."""
    times: int = 1
    repeat_s: float = REPEAT_S


def run(options: RasOptions, as_json: bool) -> int:
    """Query the service, print what it reports, and return the exit code.

    Raises `RasUsageError` for a request that cannot be made, and `RasError` without an answer.
    """
    host, port, service = _target(options)
    _check(service, host, port, options.force)
    _confirm(options.confirmed)
    report = parse(query(host, port))
    earlier: RasReport | None = None
    for _ in range(options.times - 1):
        time.sleep(options.repeat_s)
        earlier, report = report, parse(query(host, port))
    diagnoses = diagnose(report, earlier)
    where = f"{host}:{port}" + (f" (process {service.pid}, {service.name})" if service else "")
    if as_json:
        print(json.dumps(as_object(report, diagnoses, where)))
    else:
        print("\n".join(to_lines(report, diagnoses, where)))
    return FOUND if any(d.conspicuous for d in diagnoses) else NOTHING


def _target(options: RasOptions) -> tuple[str, int, Service | None]:
    """Return the address to ask, and the process that listens there if it is seen."""
    if options.address:
        host, port = _parse_address(options.address)
        listening = [s for s in find_services() if s.port == port and s.same_network]
        return host, port, listening[0] if listening else None
    found = find_services()
    here = [s for s in found if s.same_network]
    if not here and found:
        raise RasError(f"the job is in another network namespace; ask there: {found[0].enter}")
    if not here:
        raise RasError(
            "no NCCL RAS service found: no process that you may see listens on port"
            f" {DEFAULT_PORT}, or uses NCCL (2.24 or later) and listens on loopback"
        )
    ports = sorted({s.port for s in here}, key=lambda port: port != DEFAULT_PORT)
    if len(ports) > 1 and ports[0] != DEFAULT_PORT:
        listed = ", ".join(f"{s.host}:{s.port} (process {s.pid})" for s in here[:6])
        raise RasUsageError(f"several sockets may be the service; name one with --ras ADDR:PORT: {listed}")
    return here[0].host, here[0].port, here[0]


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


def _check(service: Service | None, host: str, port: int, force: bool) -> None:
    """Refuse what could harm the job: another user's, a new one, an old or unknown NCCL."""
    if service is not None and service.uid != os.geteuid() and os.geteuid() != 0:
        raise RasUsageError(f"process {service.pid} belongs to another user; only its owner or root may ask")
    if service is not None and service.age_s < MIN_AGE_S:
        raise RasUsageError(
            f"process {service.pid} started {service.age_s:.0f} s ago;"
            f" queries during initialisation can crash a job: ask {MIN_AGE_S:.0f} s after its start"
        )
    if force:
        return
    wanted = ".".join(map(str, MIN_VERSION))
    if service is None:
        raise RasUsageError(
            f"no process that listens on {host}:{port} is visible, so the version of NCCL is unknown;"
            f" --ras-force asks all the same (versions before {wanted} can crash the job)"
        )
    version = nccl_version(service.pid)
    if isinstance(version, Missing):
        raise RasUsageError(
            f"the NCCL version of process {service.pid} is unknown: {version.reason};"
            f" --ras-force asks all the same (versions before {wanted} can crash the job)"
        )
    if version < MIN_VERSION:
        raise RasUsageError(
            f"process {service.pid} uses NCCL {'.'.join(map(str, version))}; versions before {wanted} can"
            " crash the job when asked (--ras-force asks all the same)"
        )


def _confirm(confirmed: bool) -> None:
    """Ask the user for a confirmation, unless it was given with `--yes`."""
    if confirmed:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise RasUsageError(f"{WARNING} Without a terminal, confirm with --yes")
    print(f"{WARNING}\nAsk it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RasUsageError("not asked")
