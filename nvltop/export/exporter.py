"""The Prometheus exporter: a page of the newest frame, and the server for it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from nvltop.export.exposition import CONTENT_TYPE, MetricsPage
from nvltop.export.server import Server
from nvltop.model import Frame


class Exporter:
    """Serves the newest frame as a page of metrics."""

    def __init__(self, listening: socket.socket, hostname_label: str | None = None) -> None:
        """Start to serve on a listening socket."""
        self._page = MetricsPage(hostname_label)
        self._server = Server(listening, self._page.get, CONTENT_TYPE)
        self.url = self._server.url

    def show(self, frame: Frame, only: Sequence[str] | None) -> None:
        """Store the newest frame, and the UUIDs of the GPUs to list (None for all)."""
        self._page.show(frame, only)

    def close(self) -> None:
        """Stop serving."""
        self._server.close()
