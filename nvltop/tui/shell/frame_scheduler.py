"""When pictures are drawn: as items arrive, but not too often, and now and then if nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MIN_SPACING: Final = 0.9
"""Share of the interval that lies between two frames at least; a sweep may come a little early."""
UNFOCUSED_INTERVAL_S: Final = 1.0
"""Time between two frames in a terminal that has lost the focus."""
MAX_FRAME_AGE_S: Final = 0.5
"""How often a picture is drawn at least; at long intervals, at every second of them."""


class FrameScheduler:
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
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self, fd: int) -> None:
        """Draw from now on."""
        self.listen(fd)
        self._schedule_idle_frame(asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Draw no more, whatever arrives: the screens go before the loop does."""
        self._stopped = True
        self._stop_listening()
        for timer in (self._pending, self._idle_timer):
            if timer:
                timer.cancel()

    def listen(self, fd: int) -> None:
        """Wait for items on the source's descriptor, which changes when a worker is replaced."""
        if fd == self._listening or self._stopped:
            return
        self._stop_listening()
        if fd >= 0:
            asyncio.get_running_loop().add_reader(fd, self.data_ready)
        self._listening = fd

    def _stop_listening(self) -> None:
        if self._listening >= 0:
            asyncio.get_running_loop().remove_reader(self._listening)
        self._listening = -1

    def data_ready(self) -> None:
        """Draw what has come; if that is too soon, let it wait for what comes until then."""
        loop = asyncio.get_running_loop()
        due = self._drawn_at + MIN_SPACING * self._min_interval_s()
        if loop.time() >= due:
            self._draw()
            return
        self._stop_listening()
        if self._pending is None:
            self._pending = loop.call_at(due, self._draw)

    def frame_started(self) -> None:
        """Take note that a picture is drawn now."""
        if self._pending:
            self._pending.cancel()
        self._pending = None
        self._drawn_at = asyncio.get_running_loop().time()
        self._schedule_idle_frame(self._drawn_at)

    def _schedule_idle_frame(self, since: float) -> None:
        """Draw in a while even though nothing arrives: ages grow, and a silent driver is told."""
        if self._stopped:
            return
        if self._idle_timer:
            self._idle_timer.cancel()
        due = since + max(MAX_FRAME_AGE_S, 2 * self._min_interval_s())
        self._idle_timer = asyncio.get_running_loop().call_at(due, self._draw)

    def _min_interval_s(self) -> float:
        """Return the time between two pictures."""
        # Nobody looks at a terminal without the focus, but it is still to be true.
        return self._interval_s() if self._focused() else max(UNFOCUSED_INTERVAL_S, self._interval_s())
