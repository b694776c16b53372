"""The address to listen on: parses `ADDR:PORT` and opens the socket."""

from __future__ import annotations

import re
import socket
from typing import Final

from nvltop.frozen import frozen

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 19400


class ServeError(OSError):
    """Metrics cannot be served; the message is one line for the user."""


@frozen
class Address:
    """A host, by name or number, and a TCP port; port 0 means any free port."""

    host: str = LOOPBACK
    port: int = PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str) -> Address:
    """Parse `PORT`, `ADDR`, `ADDR:PORT`, `[ADDR]:PORT` or a bare IPv6 address.

    Raises `ValueError` for anything else.
    """
    if text.count(":") > 1 and not text.startswith("["):
        return Address(_ipv6(text))
    match = re.fullmatch(r"(\[[^]\s]+\]|[^][:\s]*)(?::([0-9]{1,5}))?", text)
    if not text or not match:
        raise ValueError(text)
    host, port = match.group(1), match.group(2)
    if host.startswith("["):
        host = _ipv6(host[1:-1])
    if port is None and re.fullmatch("[0-9]{1,5}", host):
        host, port = "", host
    number = PORT if port is None else int(port)
    if number > 0xFFFF:
        raise ValueError(text)
    return Address(host or LOOPBACK, number)


def _ipv6(text: str) -> str:
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, UnicodeError):
        raise ValueError(text) from None
    return text


def listen(address: Address) -> socket.socket:
    """Return a listening socket. Raises `ServeError` if the address cannot be used."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, where = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
            sock.listen()
        except OSError:
            sock.close()
            raise
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ServeError(f"cannot serve on {address}: {why}") from None
    return sock
