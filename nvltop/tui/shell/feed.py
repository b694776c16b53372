"""Folds the items of a source into the monitor and the history: what the application draws from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Frame, Inventory, Item, ItemSource

if TYPE_CHECKING:
    from nvltop.tui.shell.playback import Playback

MAX_FOLD_S: Final = 0.05
"""Time for which items of a recording are folded without a pause."""
FOLD_PAUSE_S: Final = 0.02
"""Pause after `MAX_FOLD_S`, in which keys are handled."""


class FeedListener(Protocol):
    """The part of the application that follows what is folded."""

    def items_read(self, items: Sequence[Item]) -> None:
        """Handle items that are about to be folded."""

    def inventory_read(self, inventory: Inventory) -> None:
        """Handle the inventory of the node, which is folded already."""

    def history_restarted(self) -> None:
        """Handle a jump back in a recording: monitor and history are new objects."""

    def data_ready(self) -> None:
        """Handle items that were folded after a pause, outside `next_frame`."""


class Feed:
    """A source, and the monitor and history that its items are folded into."""

    def __init__(
        self,
        source: ItemSource,
        listener: FeedListener,
        playback: Playback | None = None,
        observed: tuple[Monitor, RateHistory] | None = None,
        first_items: Sequence[Item] = (),
    ) -> None:
        """Continue with `observed`, the result of a run without a screen, if there is any.

        `first_items` are those that were read from the source before. `playback` is set for a recording.
        """
        self.source = source
        self.monitor, self.history = observed or (Monitor(), RateHistory())
        self.has_data = bool(observed or first_items)
        """Whether there is something to draw before the source delivers more."""
        self._listener = listener
        self._playback = playback
        self._first_items = first_items
        self._continuing: asyncio.TimerHandle | None = None
        """Set while items of a recording are left to fold."""

    def next_frame(self) -> Frame:
        """Fold the items that have arrived, and return the state of the node now."""
        # First the tick, so that it is not later than an item that is not folded yet.
        tick = self.source.tick()
        self._restart_if_rewound()
        if not self._continuing:
            self._fold()
        if self._playback:
            # The clock of a replay waits for its items: before those of a jump were folded, it was far back.
            tick = self.source.tick()
        self.monitor.update(tick)
        if not self._playback:
            self._listener.items_read((tick,))
        frame = self.monitor.frame()
        self.history.add(frame)
        return frame

    def stop(self) -> None:
        """Fold no more items."""
        if self._continuing:
            self._continuing.cancel()

    def _restart_if_rewound(self) -> None:
        """Drop what was folded before a jump back in a recording."""
        if self._playback and self._playback.rewound():
            self.stop()
            self._continuing = None
            self.monitor, self.history = Monitor(), RateHistory()
            self._listener.history_restarted()

    def _fold(self) -> None:
        end_s = time.monotonic() + MAX_FOLD_S
        while items := self._first_items or self.source.drain():
            self._first_items = ()
            self._listener.items_read(items)
            for item in items:
                self.monitor.update(item)
                if isinstance(item, Inventory):
                    self._listener.inventory_read(item)
            # The clock of a replay waits for items that are not folded yet. The clock of a live source does
            # not: with items left, the driver would seem not to answer.
            if not self._playback:
                return
            if time.monotonic() > end_s:
                loop = asyncio.get_running_loop()
                self._continuing = self._continuing or loop.call_later(FOLD_PAUSE_S, self._continue)
                return

    def _continue(self) -> None:
        self._continuing = None
        self._restart_if_rewound()
        self._fold()
        self._listener.data_ready()
