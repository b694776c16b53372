"""Where the screen's items come from."""

from __future__ import annotations

from typing import Protocol

from nvltop.model import Item, Tick


class Source(Protocol):
    """A live worker or a replay."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when items wait, or -1; it may change."""

    def drain(self) -> list[Item]:
        """Return the items that have arrived; never blocks."""

    def tick(self) -> Tick:
        """Return the clock and the state of the worker."""

    def set_interval(self, interval_s: float) -> None:
        """Read link counters so often from now on, where that can be said."""

    def close(self) -> None:
        """Leave; never waits."""
