"""A small HTTP client: one connection that stays open, limits for time and size, redirects and proxies.

The standard library's `urllib.request` opens a connection for each request, forwards credentials to other
hosts when it follows a redirect, turns POST into GET, and restarts its timeout with each byte. httpx takes
0.1 s to import and brings six packages.
"""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from nvltop import __version__
from nvltop.fleet.address import PORTS, Address
from nvltop.fleet.source import FleetError
from nvltop.frozen import frozen
from nvltop.text import clean

CONNECT_S: Final = 5.0
"""Time for a connection to be established, seconds."""
ANSWER_S: Final = 20.0
"""Time for a complete answer, seconds; a query of Prometheus may take two minutes by default."""
MAX_BYTES: Final = 32 << 20
"""Size of an answer, unpacked, above which it is refused; 256 nodes need about 1 MB."""
MAX_REDIRECTS: Final = 5
CHUNK_BYTES: Final = 1 << 16
REDIRECTS: Final = (301, 302, 303, 307, 308)


@frozen
class Response:
    """A complete answer of a server."""

    status: int
    body: bytes
    content_type: str


class HttpClient:
    """Sends requests to one server. Not thread-safe, but `close` may be called from another thread."""

    def __init__(self, address: Address, environ: Mapping[str, str] | None = None) -> None:
        self.address = address
        self._environ = os.environ if environ is None else environ
        self._connection: http.client.HTTPConnection | None = None
        self._connected_to: tuple[str, str, int] | None = None
        self.received_bytes = 0
        """Bytes of all answers as they came, compressed."""
        self.requests = 0

    def close(self) -> None:
        """Close the connection; a request in progress fails."""
        connection, self._connection = self._connection, None
        if connection:
            _shut(connection)
            connection.close()

    def request(self, method: str, path: str, form: str, authorization: str) -> Response:
        """Return the answer to a request, after redirects. Raises `FleetError`."""
        at, target = self.address, f"{self.address.path}{path}"
        for _ in range(MAX_REDIRECTS + 1):
            response, location = self._once(at, method, target, form, authorization)
            if response.status not in REDIRECTS:
                return response
            at, target = _redirected(at, target, location)
            if method == "GET":
                target = target.partition("?")[0]
            if not _same_server(self.address, at):
                authorization = ""
        raise FleetError(f"{self.address} redirects more than {MAX_REDIRECTS} times")

    def _once(
        self, at: Address, method: str, target: str, form: str, authorization: str
    ) -> tuple[Response, str]:
        """Return the answer and its `Location`; try again on a new connection if a kept one was closed."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"nvltop/{__version__}",
        }
        if authorization:
            headers["Authorization"] = authorization
        proxy = _proxy(at)
        body = None
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = form.encode()
        else:
            target = f"{target}?{form}"
        kept = self._connection is not None
        while True:
            try:
                return self._exchange(at, proxy, method, target, body, headers)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if kept and isinstance(error, ConnectionError | http.client.BadStatusLine):
                    kept = False
                    continue
                raise FleetError(f"{at}: {_reason(error)}") from None

    def _exchange(
        self,
        at: Address,
        proxy: Proxy | None,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[Response, str]:
        connection = self._connect(at, proxy)
        if proxy and at.scheme == "http":
            target = f"http://{_netloc(at)}{target}"
            headers = headers | proxy.headers
        deadline = time.monotonic() + ANSWER_S
        # The timeout of a socket restarts with each byte; this one does not.
        expired = threading.Event()
        timer = threading.Timer(ANSWER_S, _expire, (expired, connection))
        timer.daemon = True
        timer.start()
        try:
            self.requests += 1
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            data = self._body(answer, deadline)
        except (OSError, http.client.HTTPException):
            if expired.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if answer.will_close:
            self.close()
        return (
            Response(answer.status, data, answer.headers.get_content_type()),
            answer.headers.get("Location", ""),
        )

    def _body(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        packed = answer.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed else None
        parts: list[bytes] = []
        size = 0
        while chunk := answer.read(CHUNK_BYTES):
            self.received_bytes += len(chunk)
            while chunk:
                part = chunk
                chunk = b""
                if unpack:
                    try:
                        part = unpack.decompress(part, MAX_BYTES)
                    except zlib.error:
                        raise FleetError(f"{self.address}: the compressed answer is damaged") from None
                    chunk = unpack.unconsumed_tail
                parts.append(part)
                size += len(part)
                if size > MAX_BYTES:
                    self.close()
                    raise FleetError(f"{self.address}: the answer is larger than {MAX_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise TimeoutError
        if answer.length:
            raise http.client.IncompleteRead(b"")
        return b"".join(parts)

    def _connect(self, at: Address, proxy: Proxy | None) -> http.client.HTTPConnection:
        origin = at.scheme, at.host, at.port
        if self._connection and self._connected_to == origin:
            return self._connection
        self.close()
        host, port = (proxy.host, proxy.port) if proxy else (at.host, at.port)
        if at.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=CONNECT_S, context=context
            )
            if proxy:
                connection.set_tunnel(at.host, at.port, proxy.headers)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        connection.connect()
        connection.sock.settimeout(ANSWER_S)
        self._connection, self._connected_to = connection, origin
        return connection


@frozen
class Proxy:
    """A proxy of the environment, and the headers for it."""

    host: str
    port: int
    headers: dict[str, str]


def _proxy(at: Address) -> Proxy | None:
    """Return the proxy that the environment names for a server. Raises `FleetError`."""
    url = getproxies_environment().get(at.scheme)
    if not url or proxy_bypass_environment(f"{at.host}:{at.port}"):
        return None
    problem = FleetError(f"{at.scheme.upper()}_PROXY is not a URL such as http://proxy:3128")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or PORTS["http"]
    except ValueError:
        raise problem from None
    if parts.scheme != "http" or not parts.hostname:
        raise problem
    headers = {}
    if parts.username:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode("ascii")
    return Proxy(parts.hostname, port, headers)


def _netloc(at: Address) -> str:
    return f"[{at.host}]:{at.port}" if ":" in at.host else f"{at.host}:{at.port}"


def _same_server(old: Address, new: Address) -> bool:
    """Return whether credentials for one server may be sent to another: the same one, or now with TLS."""
    if old.host != new.host:
        return False
    return (old.scheme, old.port) == (new.scheme, new.port) or (old.scheme, new.scheme) == ("http", "https")


def _redirected(at: Address, target: str, location: str) -> tuple[Address, str]:
    """Return where a redirect leads. Raises `FleetError`."""
    parts = urlsplit(urljoin(f"{at.scheme}://x{target}", location))
    if not location or parts.scheme not in PORTS:
        raise FleetError(f"{at} redirects to an address that cannot be used")
    if not parts.netloc or parts.netloc == "x":
        return at, parts.path
    try:
        new = Address(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])
    except ValueError:
        raise FleetError(f"{at} redirects to an address that cannot be used") from None
    return new, parts.path


def _expire(expired: threading.Event, connection: http.client.HTTPConnection) -> None:
    expired.set()
    _shut(connection)


def _shut(connection: http.client.HTTPConnection) -> None:
    """End a connection, so that a thread that waits for it goes on."""
    sock = connection.sock
    if sock:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _reason(error: Exception) -> str:
    """Return why a request failed, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {clean(error.verify_message, 200)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {clean(error.reason or str(error), 200)}"
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:.0f} s"
    if isinstance(error, socket.gaierror):
        return "the host is not known"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut off"
    if isinstance(error, http.client.HTTPException):
        return f"not an HTTP answer ({type(error).__name__})"
    return clean(getattr(error, "strerror", None) or str(error) or type(error).__name__, 200)
