"""For how long nothing has been read of any GPU, and whose fault that is: the driver's or our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nvltop.analysis.rates import max_gap_s
from nvltop.model import Tick

BLOCKING_CALL_SHARE: Final = 0.5
"""Share of a silence that one driver call takes at least, if the driver is the one that is silent."""


@dataclass(slots=True)
class UnreadTime:
    """Counts only time in which nvltop ran: a pause (Ctrl-Z, a suspended machine) is no silence."""

    unread_s: float = 0.0
    """Seconds since the last reading of any GPU."""
    driver_s: float = 0.0
    """How many of them the reading process ran without a break until now."""
    blocking_call: str = ""
    """The driver call that was under way for most of them; empty if there was none."""
    _last_reading_s: float | None = None
    _updated_s: float | None = None

    def update(self, tick: Tick, last_reading_s: float | None) -> None:
        """Take a moment; `last_reading_s` is CLOCK_MONOTONIC of the newest reading of any GPU."""
        passed_s = 0.0 if self._updated_s is None else tick.mono_s - self._updated_s
        # Rules are asked at least twice an interval, and once in two seconds; a longer gap is a pause.
        most_s = 2 * max(1.0, tick.interval_s) + 1.0
        if last_reading_s != self._last_reading_s and last_reading_s is not None:
            self.unread_s = self.driver_s = 0.0
            self.blocking_call = ""
            passed_s = tick.mono_s - last_reading_s
        passed_s = min(max(0.0, passed_s), most_s)
        self.unread_s += passed_s
        self.driver_s = 0.0 if tick.not_reading else self.driver_s + passed_s
        longest = min(tick.calls, key=lambda c: c.since_s, default=None)
        if longest and tick.mono_s - longest.since_s > BLOCKING_CALL_SHARE * self.driver_s:
            self.blocking_call = longest.function
        elif self.driver_s < max_gap_s(tick.interval_s):
            # Later it stays: a worker that took the place of one that hangs has short calls at first.
            self.blocking_call = ""
        self._last_reading_s, self._updated_s = last_reading_s, tick.mono_s
