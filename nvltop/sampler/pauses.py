"""How long something has lasted, not counting the time in which one of the two processes did not run.

A stopped terminal job (Ctrl-Z), a frozen container or a suspended virtual machine looks like a driver that
does not answer, to anyone who only compares clocks.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_PAUSES: Final = 64
"""Pauses remembered; the oldest are forgotten first."""


class RunningTime:
    """Measures durations in running time; all times are CLOCK_MONOTONIC in seconds."""

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s
        self._resumed_s = now_s
        self._pauses: deque[tuple[float, float]] = deque(maxlen=MAX_PAUSES)
        """End and length of each pause, oldest first."""

    def note(self, now_s: float, most_s: float, worker_runs: bool) -> None:
        """Take the time of a call that comes at least every `most_s`; a longer gap was a pause of ours."""
        elapsed_s = now_s - self._last_s
        pause_s = elapsed_s if not worker_runs else elapsed_s - most_s
        if elapsed_s > most_s:
            self._resumed_s = now_s
        if pause_s > 0:
            if self._pauses and self._pauses[-1][0] == self._last_s:
                pause_s += self._pauses.pop()[1]
            self._pauses.append((now_s, pause_s))
        self._last_s = now_s

    def resumed_ago_s(self) -> float:
        """Return for how long this process has run without a pause."""
        return self._last_s - self._resumed_s

    def paused_since(self, since_s: float) -> float:
        """Return how much of the time from `since_s` until now was a pause."""
        return sum(min(length, end - since_s) for end, length in self._pauses if end > since_s)
