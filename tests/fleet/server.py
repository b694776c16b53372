"""A web server that behaves like no Prometheus should."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Request:
    """What a client sent."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.method = handler.command
        self.path, _, query = handler.path.partition("?")
        self.headers = handler.headers
        length = int(handler.headers.get("Content-Length") or 0)
        text = handler.rfile.read(length).decode() if length else query
        self.form = {name: values[0] for name, values in parse_qs(text).items()}


Answer = Callable[[Request, BaseHTTPRequestHandler], None]


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    kinds = {"Content-Type": "application/json", "Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    for name, value in kinds.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def vector(*samples: tuple[dict[str, str], str]) -> bytes:
    """Return the answer of Prometheus to an instant query."""
    result = [{"metric": labels, "value": [1700000000.5, value]} for labels, value in samples]
    return success({"resultType": "vector", "result": result})


def success(data: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": data, **more}).encode()


class WebServer:
    """Answers each request with a function; `requests` has what came."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def do_GET(self) -> None:
                request = Request(self)
                server.requests.append(request)
                answer(request, self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
