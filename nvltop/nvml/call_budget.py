"""A limit on the time that driver calls on one GPU take, and the interval of optional readings within it.

The duration of calls is measured while nvltop runs, because it differs by a factor of a thousand between
boards and drivers.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Final

from nvltop.median import median
from nvltop.nvml.call_tracker import CallTracker

MAX_CALL_SHARE: Final = 0.009
"""Largest share of the time that all calls on one GPU may take: 1 %, less a margin for the measurement."""
WINDOW_S: Final = 5.0
"""Window in which the time of other calls is measured, seconds."""
COST_SAMPLES: Final = 9
"""Number of readings whose median is the cost of one, so that an interrupted reading does not count."""
MIN_COST_SAMPLES: Final = 3
"""Number of readings before the cost counts, because the first call may take longer."""
MAX_INTERVAL_S: Final = 2.0
"""Interval, seconds, above which an optional reading is not taken at all."""
COSTLY_RETRY_S: Final = 600.0
"""Time until a reading that takes too long is tried again, seconds."""
CROWDED_RETRY_S: Final = 60.0
"""Time until a reading is tried again that other calls leave no time for, seconds."""


class CallBudget:
    """The time that optional readings of one GPU may take. Thread-safe."""

    def __init__(self, tracker: CallTracker, gpu: int) -> None:
        self._tracker, self._gpu = tracker, gpu
        self._lock = threading.Lock()
        self._optional_s = 0.0
        """Time spent in optional readings, seconds."""
        self._since: tuple[float, float] | None = None
        self._last_share = 0.0
        """Share of the time that the other calls took in the last window."""
        self.other_share = 0.0
        """The smaller of the shares of the other calls in the last two windows.

        A rare or interrupted reading raises only one of them.
        """
        self.available_share = MAX_CALL_SHARE
        """Share of the time that is available for optional readings."""

    def measure(self, now: float) -> None:
        """Measure the share of the other calls. Call it at least every few seconds."""
        since = self._since
        if since and now - since[0] < WINDOW_S:
            return
        with self._lock:
            spent_s = self._tracker.driver_s_by_gpu.get(self._gpu, 0.0) - self._optional_s
            if self._since and now - self._since[0] < WINDOW_S:
                return
            if self._since:
                last = max(0.0, (spent_s - self._since[1]) / (now - self._since[0]))
                self.other_share, self._last_share = min(last, self._last_share), last
                self.available_share = max(0.0, MAX_CALL_SHARE - self.other_share)
            self._since = now, spent_s

    def spend(self, seconds: float) -> None:
        """Record the duration of an optional reading."""
        with self._lock:
            self._optional_s += seconds


class PacedReader:
    """A kind of optional reading of one GPU, taken only as often as the budget permits.

    Use it from one thread only.
    """

    def __init__(self, budget: CallBudget, name: str) -> None:
        self._budget, self._name = budget, name
        self._costs: deque[float] = deque(maxlen=COST_SAMPLES)
        self._cost_s = 0.0
        """Median of `_costs`, seconds."""
        self._last_s = self._stopped_until_s = -math.inf
        self._note_interval_s = 0.0
        """Interval that the note gives, seconds."""
        self.note = ""
        """Why the reading is taken rarely or not at all; empty if it is taken whenever it is due."""

    def due(self, now: float, every_s: float, call_every_s: float) -> bool:
        """Return whether to read now, if the interval is `every_s`; called every `call_every_s` seconds."""
        if self.stopped(now):
            return False
        min_interval_s = self._min_interval_s
        if min_interval_s >= MAX_INTERVAL_S:
            self._stopped_until_s = now + (COSTLY_RETRY_S if self._costly else CROWDED_RETRY_S)
            self.note = f"{self._name} is not read: {self._why}"
            self._costs.clear()
            self._note_interval_s = 0.0
            return False
        if min_interval_s <= max(every_s, call_every_s):
            if len(self._costs) >= MIN_COST_SAMPLES:
                self.note, self._note_interval_s = "", 0.0
        else:
            self._note_interval(round(20 * call_every_s * math.ceil(min_interval_s / call_every_s)) / 20)
        # Slightly early rather than one interval late.
        return now - self._last_s >= 0.9 * max(every_s, min_interval_s)

    def _note_interval(self, seconds: float) -> None:
        # Each change is sent and recorded, so a slightly shorter interval does not change the note.
        if not 0.6 * self._note_interval_s <= seconds <= self._note_interval_s:
            self._note_interval_s = seconds
            self.note = f"{self._name} is read every {seconds:g} s: {self._why}"

    def stopped(self, now: float) -> bool:
        """Return whether the reading is suspended because it takes too long."""
        return now < self._stopped_until_s

    def record(self, seconds: float, now: float) -> None:
        """Record that a reading was taken now, and the time that it spent in the driver."""
        self._budget.spend(seconds)
        self._costs.append(seconds)
        self._cost_s = median(self._costs)
        self._last_s = now

    @property
    def _min_interval_s(self) -> float:
        """Shortest interval that the budget permits, seconds."""
        if len(self._costs) < MIN_COST_SAMPLES:
            return 0.0
        left = self._budget.available_share
        return self._cost_s / left if left else math.inf

    @property
    def _costly(self) -> bool:
        """Whether the reading itself takes long, rather than the other calls."""
        return self._budget.available_share >= MAX_CALL_SHARE / 2

    @property
    def _why(self) -> str:
        if self._costly:
            return f"it takes {1000 * self._cost_s:.1f} ms in the driver"
        return f"other driver calls on this GPU take {100 * self._budget.other_share:.1f} % of the time"
