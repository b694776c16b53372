"""How long nothing has been read from any GPU, and whether the driver or our own reader caused it."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.rates import max_gap_s
from nvltop.frozen import mutable
from nvltop.model import Tick

BLOCKING_CALL_SHARE: Final = 0.5
"""Share of the unread time above which a driver call in flight counts as its cause."""


@mutable
class UnreadTime:
    """Time since the last reading, without times in which nvltop did not run (Ctrl-Z, suspend)."""

    unread_s: float = 0.0
    """Seconds since the last reading of any GPU."""
    driver_s: float = 0.0
    """Seconds for which the reading process has been running since then, without a break until now."""
    blocking_call: str = ""
    """Driver call that was in flight for most of `driver_s`; empty if there was none."""
    _last_reading_s: float | None = None
    _updated_s: float | None = None

    def update(self, tick: Tick, last_reading_s: float | None) -> None:
        """Add the time since the last call.

        `last_reading_s` is CLOCK_MONOTONIC of the newest reading of any GPU.
        """
        passed_s = 0.0 if self._updated_s is None else tick.mono_s - self._updated_s
        # Rules are evaluated at least twice per interval and once in two seconds; a longer gap is a pause.
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
            # Later the call is kept: a new worker that replaces a hung one makes short calls at first.
            self.blocking_call = ""
        self._last_reading_s, self._updated_s = last_reading_s, tick.mono_s
