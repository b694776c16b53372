"""Durations that exclude the time in which this process or the worker did not run.

When only clocks are compared, a stopped terminal job (Ctrl-Z), a frozen container and a suspended virtual
machine cannot be distinguished from a driver that does not answer.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_PAUSES: Final = 64
"""Number of pauses stored; the oldest is dropped when there are more."""


class RunningTime:
    """Measures durations in running time; all times are CLOCK_MONOTONIC in seconds."""

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s
        self._resumed_s = now_s
        self._pauses: deque[tuple[float, float]] = deque(maxlen=MAX_PAUSES)
        """End and length of each pause, oldest first."""

    def note(self, now_s: float, max_gap_s: float, worker_runs: bool) -> None:
        """Record that both processes run now; call this at least every `max_gap_s` seconds.

        A longer gap was a pause of this process. If `worker_runs` is false, the time since the last call
        was a pause of the worker.
        """
        elapsed_s = now_s - self._last_s
        pause_s = elapsed_s if not worker_runs else elapsed_s - max_gap_s
        if elapsed_s > max_gap_s:
            self._resumed_s = now_s
        if pause_s > 0:
            if self._pauses and self._pauses[-1][0] == self._last_s:
                pause_s += self._pauses.pop()[1]
            self._pauses.append((now_s, pause_s))
        self._last_s = now_s

    def resumed_ago_s(self) -> float:
        """Return the seconds for which this process has run without a pause."""
        return self._last_s - self._resumed_s

    def paused_since(self, since_s: float) -> float:
        """Return the total length, in seconds, of the pauses between `since_s` and now."""
        return sum(min(length, end - since_s) for end, length in self._pauses if end > since_s)
