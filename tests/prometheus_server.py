"""A real Prometheus that a test starts."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
ENVIRONMENT = {"PATH": os.environ["PATH"], "GOGC": "400", "GOMAXPROCS": "1"}
"""One thread and less garbage collection, on which a small server spends a quarter of its time."""


class Prometheus:
    """A server of its own, with a configuration of its own."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "log").open("a"),
            env=ENVIRONMENT,
        )

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer, None if there is none yet."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def wait(self, path: str, enough: Callable[[Any], bool], **query: str) -> Any:
        end = time.monotonic() + PATIENCE_S
        while (data := self.get(path, **query)) is None or not enough(data):
            assert time.monotonic() < end, f"{path} {query}: {data}"
            select.select([], [], [], 0.1)
        return data
