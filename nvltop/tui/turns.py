"""When pictures are drawn: as items arrive, but not too often, and now and then if nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

EARLY: Final = 0.9
"""Share of the interval that lies between two frames at least; a sweep may come a little early."""
AWAY_S: Final = 1.0
"""Time between two frames in a terminal that has lost the focus."""
SILENT_S: Final = 0.5
"""How often ages and a silent driver are looked at even if nothing arrives."""


class Turns:
    """Has pictures drawn; `draw` says when it begins with one, as it may do so for other reasons, too."""

    def __init__(
        self, draw: Callable[[], None], interval_s: Callable[[], float], focused: Callable[[], bool]
    ) -> None:
        self._draw = draw
        self._interval_s = interval_s
        self._focused = focused
        self._listening = -1
        self._drawn_at = 0.0
        self._pending: asyncio.TimerHandle | None = None

    def listen(self, fd: int) -> None:
        """Wait for items on the source's descriptor, which changes when a worker is replaced."""
        if fd == self._listening:
            return
        self._listen_no_more()
        if fd >= 0:
            asyncio.get_running_loop().add_reader(fd, self.arrived)
        self._listening = fd

    def _listen_no_more(self) -> None:
        if self._listening >= 0:
            asyncio.get_running_loop().remove_reader(self._listening)
        self._listening = -1

    def arrived(self) -> None:
        """Draw what has come; if that is too soon, let it wait for what comes until then."""
        loop = asyncio.get_running_loop()
        # Nobody looks at a terminal without the focus, but it is still to be true.
        away_s = 0.0 if self._focused() else AWAY_S
        due = self._drawn_at + EARLY * max(away_s, self._interval_s())
        if loop.time() >= due:
            self._draw()
            return
        self._listen_no_more()
        if self._pending is None:
            self._pending = loop.call_at(due, self._draw)

    def look(self) -> None:
        """Draw even though nothing arrived: ages grow, and a silent driver is told."""
        silent_s = asyncio.get_running_loop().time() - self._drawn_at
        if self._pending is None and silent_s > max(SILENT_S, 2 * self._interval_s()) * EARLY:
            self._draw()

    def begin(self) -> None:
        """Take note that a picture is drawn now."""
        if self._pending:
            self._pending.cancel()
        self._pending = None
        self._drawn_at = asyncio.get_running_loop().time()
