"""Items, and the protocol of what they come from."""

from __future__ import annotations

from typing import Protocol

from nvltop.model.event import Event, Listening
from nvltop.model.inventory import Inventory
from nvltop.model.kernel_log import LogLine
from nvltop.model.reading import Reading, Tick

Item = Inventory | Reading | Event | Listening | LogLine | Tick
"""What flows from the sampler, live or recorded, to the monitor."""


def time_of(item: Item) -> float:
    """Return when an item was complete, in seconds of CLOCK_MONOTONIC."""
    return item.end_s if isinstance(item, Reading) else item.mono_s


class RecordedSource:
    """Base class of sources that read a recording, by which a live run knows that it needs none of them."""


class ItemSource(Protocol):
    """A source of items: the live worker, a replay, or a source whose items are recorded as they pass."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when items wait, or -1; it may change from call to call."""

    def drain(self) -> list[Item]:
        """Return the items that have arrived, without blocking."""

    def tick(self) -> Tick:
        """Return the clock and the state of the worker."""

    def set_interval(self, interval_s: float) -> None:
        """Set the requested interval between two readings of the link counters, if the source has one."""

    def close(self) -> None:
        """Release the source, without waiting for a driver call in progress."""
