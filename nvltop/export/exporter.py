"""One object for those who make frames: given each of them, it serves the newest."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from nvltop.export.exposition import CONTENT_TYPE, Page
from nvltop.export.server import Server
from nvltop.model import Frame


class Exporter:
    """A page and its server."""

    def __init__(self, listening: socket.socket, hostname: bool = False) -> None:
        """Begin to serve."""
        self._page = Page(hostname)
        self._server = Server(listening, self._page.get, CONTENT_TYPE)
        self.url = self._server.url

    def show(self, frame: Frame, only: Sequence[str] | None) -> None:
        """Take a frame, and the UUIDs of the GPUs to list (None for all); costs next to nothing."""
        self._page.show(frame, only)

    def close(self) -> None:
        """Stop serving."""
        self._server.close()
