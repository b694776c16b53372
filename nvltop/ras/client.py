"""Query one RAS service over TCP, with bounds on time and size."""

from __future__ import annotations

import socket
import time
from typing import Final

from nvltop.frozen import frozen

DEADLINE_S: Final = 20.0
"""Seconds for a whole query. The service waits up to 5 s for its peers, twice if some do not answer."""
CONNECT_S: Final = 2.0
"""Seconds for the connection, which is on this machine."""
MAX_BYTES: Final = 32 << 20
"""Size of a reply above which it is refused; a rank takes 0.6 kB of JSON."""
MAX_LINE: Final = 256
"""Length in bytes above which a line before the reply is not one of the protocol."""


class RasError(RuntimeError):
    """The service did not answer as a RAS service does; the message is one line for the user."""


@frozen
class Reply:
    """The reply to a status query."""

    text: str
    is_json: bool


def query(host: str, port: int, deadline_s: float = DEADLINE_S) -> Reply:
    """Ask for the verbose status of all communicators, in JSON if the service can. Raises `RasError`."""
    where = f"{host}:{port}"
    end_s = time.monotonic() + deadline_s
    try:
        with socket.create_connection((host, port), min(CONNECT_S, deadline_s)) as connection:
            exchange = _Exchange(connection, where, end_s)
            greeting = exchange.ask("CLIENT PROTOCOL 2")
            if not greeting.upper().startswith("SERVER PROTOCOL "):
                raise RasError(f"{where}: not an NCCL RAS service")
            is_json = exchange.ask("SET FORMAT json").upper() == "OK"
            exchange.send("VERBOSE STATUS")
            return Reply(exchange.rest(), is_json)
    except TimeoutError:
        raise RasError(f"{where}: no complete answer within {deadline_s:g} s") from None
    except OSError as error:
        raise RasError(f"{where}: {error.strerror or error}") from None


class _Exchange:
    """Lines to and from the service."""

    def __init__(self, connection: socket.socket, where: str, end_s: float) -> None:
        self._connection, self._where, self._end_s = connection, where, end_s
        self._received = b""

    def send(self, command: str) -> None:
        self._connection.sendall(command.encode() + b"\n")

    def ask(self, command: str) -> str:
        """Send a command and return its answer, one line."""
        self.send(command)
        while b"\n" not in self._received:
            if len(self._received) > MAX_LINE:
                raise RasError(f"{self._where}: not an NCCL RAS service")
            chunk = self._receive_chunk()
            if not chunk:
                raise RasError(f"{self._where}: the connection was closed instead of an answer")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line.decode("utf-8", "replace").strip()

    def rest(self) -> str:
        """Return everything up to the end of the connection."""
        chunks = [self._received]
        size = len(self._received)
        while chunk := self._receive_chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BYTES:
                raise RasError(f"{self._where}: the answer is larger than {MAX_BYTES >> 20} MiB")
        return b"".join(chunks).decode("utf-8", "replace")

    def _receive_chunk(self) -> bytes:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)
        return self._connection.recv(1 << 16)
