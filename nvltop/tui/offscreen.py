"""The main screen of a frame, rendered without a terminal, for snapshots of runs without a screen."""

from __future__ import annotations

import asyncio
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.model import Item, Tick
from nvltop.record.redact import Redactor
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.redacted_screen import picture

WIDTH: Final = 120
MIN_HEIGHT: Final = 36
LINES_PER_GPU: Final = 2
"""Lines that a GPU takes in table and matrix together."""


class FixedSource:
    """A source that delivers no items, and always the same tick."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick

    def fileno(self) -> int:
        """Return -1, because the source never delivers an item."""
        return -1

    def drain(self) -> list[Item]:
        """Return no items."""
        return []

    def tick(self) -> Tick:
        """Return the tick."""
        return self._tick

    def set_interval(self, interval_s: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def draw(
    monitor: Monitor,
    history: RateHistory,
    redact: Redactor,
    settings: Settings,
    size: tuple[int, int] | None = None,
) -> str:
    """Return the current frame of `monitor` as an SVG picture of the screen, with names redacted.

    `size` is the number of columns and lines; by default the lines suffice for all GPUs.
    """
    frame = monitor.frame()
    app = Nvltop(FixedSource(frame.tick), settings, observed=(monitor, history))

    async def drawn() -> str:
        height = max(MIN_HEIGHT, MIN_HEIGHT // 2 + LINES_PER_GPU * len(frame.gpus))
        async with app.run_test(size=size or (WIDTH, height)) as pilot:
            await pilot.pause()
            return picture(app.main, app.view, redact)

    return asyncio.run(drawn())
