"""When to draw a frame: when items arrive, but not too often, and at times even if none do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from nvltop.config.settings import FRAME_INTERVAL_S

MIN_SPACING: Final = 0.9
"""Minimum time between two frames, as a share of their interval; readings may arrive a little early."""
MAX_IDLE_FRAMES: Final = 1.5
"""Time after which a frame is drawn even if nothing arrived, in intervals of frames."""
MAX_IDLE_READINGS: Final = 2.0
"""Time after which a frame is drawn even if nothing arrived, in intervals of readings.

The longer of the two times applies.
"""
START_S: Final = 5.0
"""Time after the start in which each reading is drawn, so that the first rates are shown at once, seconds."""


class FrameTimes(NamedTuple):
    """When the next frame is drawn, in seconds after the last one."""

    earliest_s: float
    """With items that have arrived."""
    latest_s: float
    """Without any: ages grow, and a hung call must be shown."""


def live_times(interval_s: float, running_s: float) -> FrameTimes:
    """Return when a frame of a live source is drawn, `running_s` after the start."""
    every_s = max(interval_s, 0.0 if running_s < START_S else FRAME_INTERVAL_S)
    return FrameTimes(MIN_SPACING * every_s, max(MAX_IDLE_FRAMES * every_s, MAX_IDLE_READINGS * interval_s))


def replay_times(interval_s: float, speed: float) -> FrameTimes:
    """Return when a frame of a replay is drawn: at normal speed as often as that of a live source.

    Only the clock says when items are due. What arrives between is the rest of a long jump.
    """
    return FrameTimes(MIN_SPACING * interval_s, max(interval_s, FRAME_INTERVAL_S / max(1.0, speed)))


class FrameScheduler:
    """Calls `draw` when a frame is due; `draw` calls `frame_started`, also when something else calls it."""

    def __init__(self, draw: Callable[[], None], times: Callable[[float], FrameTimes]) -> None:
        """Draw frames by `times`, which is called with the seconds since the start."""
        self._draw = draw
        self._times = times
        self._started_at = 0.0
        self._listening = -1
        self._drawn_at = 0.0
        self._pending: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self, fd: int) -> None:
        """Start to draw; items arrive on the descriptor `fd`."""
        self._started_at = asyncio.get_running_loop().time()
        self.listen(fd)
        self._schedule_idle_frame(self._started_at)

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
        due = self._drawn_at + self._times(loop.time() - self._started_at).earliest_s
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
        due = since + self._times(since - self._started_at).latest_s
        self._idle_timer = asyncio.get_running_loop().call_at(due, self._draw)
