"""When to draw a frame: when items arrive, but not too often, and at times even if none do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MIN_SPACING: Final = 0.9
"""Minimum time between two frames, as a share of the interval; readings may arrive a little early."""
UNFOCUSED_INTERVAL_S: Final = 1.0
"""Minimum time between two frames while the terminal does not have the focus, seconds."""
MAX_FRAME_AGE_S: Final = 0.5
"""Age of a frame, in seconds, after which another is drawn even if nothing arrived.

Twice the interval if that is longer.
"""


class FrameScheduler:
    """Calls `draw` when a frame is due; `draw` calls `frame_started`, also when something else calls it."""

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
        """Start to draw; items arrive on the descriptor `fd`."""
        self.listen(fd)
        self._schedule_idle_frame(asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Draw no more frames: the screens are removed before the event loop ends."""
        self._stopped = True
        self._stop_listening()
        for timer in (self._pending, self._idle_timer):
            if timer:
                timer.cancel()

    def listen(self, fd: int) -> None:
        """Wait for items on the source's descriptor, which changes when the worker is replaced."""
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
        """Draw the items that have arrived, now or as soon as the next frame may be drawn."""
        loop = asyncio.get_running_loop()
        due = self._drawn_at + MIN_SPACING * self._min_interval_s()
        if loop.time() >= due:
            self._draw()
            return
        self._stop_listening()
        if self._pending is None:
            self._pending = loop.call_at(due, self._draw)

    def frame_started(self) -> None:
        """Note that a frame is drawn now."""
        if self._pending:
            self._pending.cancel()
        self._pending = None
        self._drawn_at = asyncio.get_running_loop().time()
        self._schedule_idle_frame(self._drawn_at)

    def _schedule_idle_frame(self, since: float) -> None:
        """Schedule a frame for the case that nothing arrives: ages grow, and a hung call must be shown."""
        if self._stopped:
            return
        if self._idle_timer:
            self._idle_timer.cancel()
        due = since + max(MAX_FRAME_AGE_S, 2 * self._min_interval_s())
        self._idle_timer = asyncio.get_running_loop().call_at(due, self._draw)

    def _min_interval_s(self) -> float:
        """Return the minimum time between two frames."""
        # A terminal without the focus may still be visible, so it is updated, but less often.
        return self._interval_s() if self._focused() else max(UNFOCUSED_INTERVAL_S, self._interval_s())
