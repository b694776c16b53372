"""A web server for one page, on its own thread, so that clients cannot delay anything else.

Time and size of a request and the number of connections are limited; when there are too many, the oldest is
closed, so that a slow client cannot lock out others.

`http.server` was measured as an alternative. It starts 40 ms faster and takes 2.4 MB less without the screen,
at the same 0.4 ms of CPU per scrape, but its timeout restarts with every byte, its threads are not limited,
and it serves the page to requests without an HTTP version; the overrides for these would be as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

REQUEST_S: Final = 2.0
"""Time for a request to arrive whole."""
TAKE_S: Final = 10.0
"""Time for the answer to be taken; Prometheus gives up after as long by default."""
REQUEST_BYTES: Final = 8192
CONNECTIONS: Final = 16
END: Final = b"\r\n\r\n"
INDEX: Final = b"""<!DOCTYPE html>
<html lang="en"><title>nvltop</title><h1>nvltop</h1><p><a href="/metrics">Metrics</a></p></html>
"""
_WEIGHT: Final = re.compile(rb"0(\.\d{0,3})?|1(\.0{0,3})?")

Give: TypeAlias = "Callable[[bool], bytes | None]"
"""Returns the page, compressed by gzip if so asked; None if there is none yet."""


class Server:
    """Answers GET and HEAD of `/metrics`, and of `/`, which leads there; nothing else."""

    def __init__(self, listening: socket.socket, give: Give, content_type: str) -> None:
        """Take a listening socket, and begin to answer."""
        host, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        self._listening = listening
        self._give = give
        self._content_type = content_type
        self._open: dict[asyncio.Task[None], None] = {}
        """Connections, the oldest first."""
        self._loop = asyncio.new_event_loop()
        # Its usual handler writes to stderr, where the screen is.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; waits no longer than a moment."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)
        self._listening.close()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        with contextlib.closing(loop):
            serving = asyncio.start_server(self._connected, sock=self._listening, limit=REQUEST_BYTES)
            running = loop.run_until_complete(serving)
            loop.run_forever()
            running.close()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            # Transports that were aborted close their sockets one turn later.
            loop.run_until_complete(asyncio.sleep(0))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        while len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        self._open[task] = None
        try:
            head = await asyncio.wait_for(_head(reader), REQUEST_S)
            if head is not None:
                writer.write(self._answer(head))
                await asyncio.wait_for(writer.drain(), TAKE_S)
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), TAKE_S)
        except (OSError, asyncio.TimeoutError, asyncio.CancelledError):
            pass  # the client is gone, too slow, or its connection was closed for another
        finally:
            self._open.pop(task, None)
            writer.transport.abort()

    def _answer(self, head: bytes) -> bytes:
        """Return the answer to a request without a body, as bytes to be sent."""
        first, _, rest = head.partition(b"\r\n")
        words = first.split(b" ")
        if len(head) > REQUEST_BYTES:
            return _response("431 Request Header Fields Too Large", b"")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response("400 Bad Request", b"")
        if words[0] not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"", "Allow: GET, HEAD")
        answer = self._page(words[1].partition(b"?")[0], rest)
        # RFC 9110, 9.3.2: the headers of the answer to GET, and no content.
        return answer if words[0] == b"GET" else answer[: answer.index(END) + len(END)]

    def _page(self, path: bytes, headers: bytes) -> bytes:
        """Return the answer to GET."""
        if path == b"/":
            return _response("200 OK", INDEX, "Content-Type: text/html; charset=utf-8")
        if path != b"/metrics":
            return _response("404 Not Found", b"only /metrics is here\n")
        packed = _takes_gzip(headers)
        try:
            page = self._give(packed)
        except Exception as failure:
            # Better an answer that says so than a scrape that hangs; the monitor itself goes on.
            return _response("500 Internal Server Error", f"{type(failure).__name__}\n".encode())
        if page is None:
            return _response("503 Service Unavailable", b"nothing has been read yet\n")
        kinds = [f"Content-Type: {self._content_type}", "Vary: Accept-Encoding"]
        return _response("200 OK", page, *kinds, *(["Content-Encoding: gzip"] if packed else []))


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """Return a request up to its empty line, or more than is allowed; None if it ends before."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        return bytes(REQUEST_BYTES + 1)


def _takes_gzip(headers: bytes) -> bool:
    """Whether gzip is among the accepted codings with a weight above 0 (RFC 9110, 12.5.3)."""
    weights: dict[bytes, float] = {}
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"accept-encoding":
            for part in value.lower().split(b","):
                coding, *parameters = (word.strip() for word in part.split(b";"))
                weights[coding] = _weight(parameters)
    return weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0))) > 0


def _weight(parameters: list[bytes]) -> float:
    """Return the quality value: 1 if it is absent, 0 if it is not a number."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            return float(value) if _WEIGHT.fullmatch(value.strip()) else 0.0
    return 1.0


def _response(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
