"""How much time in the driver the calls on one GPU may take, and how often a reading fits into it.

What a call takes is measured while nvltop runs, since it differs by a factor of a thousand between boards
and drivers.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from statistics import median
from typing import Final

from nvltop.nvml.call_tracker import CallTracker

MAX_CALL_SHARE: Final = 0.009
"""Share of the time that all calls on one GPU may take: 1 %, less a margin for the measurement."""
WINDOW_S: Final = 5.0
"""Over how long the time in other calls is measured."""
COST_SAMPLES: Final = 9
"""Readings whose median is the cost of one, so that an interrupted one does not count."""
MIN_COST_SAMPLES: Final = 3
"""The first call may take longer than those after it."""
MAX_INTERVAL_S: Final = 2.0
"""A reading that fits only this seldom is not taken at all."""
COSTLY_RETRY_S: Final = 600.0
CROWDED_RETRY_S: Final = 60.0
"""How long a reading is left alone that takes too long itself, and one that others leave no time for."""


class CallBudget:
    """The share of the time that optional readings of one GPU may take. Thread-safe."""

    def __init__(self, watch: CallTracker, gpu: int) -> None:
        self._watch, self._gpu = watch, gpu
        self._lock = threading.Lock()
        self._optional_s = 0.0
        """Seconds spent in optional readings so far."""
        self._since: tuple[float, float] | None = None
        self._last_share = 0.0
        """Share of the time that all other calls took in the last window."""
        self.other_share = 0.0
        """The same, and of the last two windows the smaller: a reading that is due once in a while, or one
        that was interrupted, is no load."""

    def measure(self, now: float) -> None:
        """Measure what the other calls take; to be called at least every few seconds."""
        with self._lock:
            spent_s = self._watch.driver_s_by_gpu.get(self._gpu, 0.0) - self._optional_s
            if self._since and now - self._since[0] < WINDOW_S:
                return
            if self._since:
                last = max(0.0, (spent_s - self._since[1]) / (now - self._since[0]))
                self.other_share, self._last_share = min(last, self._last_share), last
            self._since = now, spent_s

    def spend(self, seconds: float) -> None:
        """Note the time that an optional reading took."""
        with self._lock:
            self._optional_s += seconds

    @property
    def available_share(self) -> float:
        """Share of the time that is left for optional readings."""
        return max(0.0, MAX_CALL_SHARE - self.other_share)


class PacedReader:
    """One kind of optional reading of one GPU, taken only as often as the allowance permits.

    For one thread.
    """

    def __init__(self, allowance: CallBudget, name: str) -> None:
        self._allowance, self._name = allowance, name
        self._costs: deque[float] = deque(maxlen=COST_SAMPLES)
        self._last_s = self._stopped_until_s = -math.inf
        self._noted_s = 0.0
        """Seconds between two readings that the note names."""
        self.note = ""
        """Why the reading is taken seldom or not at all; empty if it is taken whenever it is due."""

    def due(self, now: float, every_s: float, turn_s: float) -> bool:
        """Whether to read now, if it is wanted every `every_s` and this is asked every `turn_s`."""
        if self.stopped(now):
            return False
        fits_s = self._fits_s
        if fits_s >= MAX_INTERVAL_S:
            self._stopped_until_s = now + (COSTLY_RETRY_S if self._costly else CROWDED_RETRY_S)
            self.note = f"{self._name} is not read: {self._why}"
            self._costs.clear()
            self._noted_s = 0.0
            return False
        seconds = round(20 * turn_s * math.ceil(fits_s / turn_s)) / 20
        if fits_s <= max(every_s, turn_s):
            if len(self._costs) >= MIN_COST_SAMPLES:
                self.note, self._noted_s = "", 0.0
        elif not 0.6 * self._noted_s <= seconds <= self._noted_s:
            # Not at each change to less, since each change is sent and recorded.
            self._noted_s = seconds
            self.note = f"{self._name} is read every {seconds:g} s: {self._why}"
        # A little early rather than a whole turn late.
        return now - self._last_s >= 0.9 * max(every_s, fits_s)

    def stopped(self, now: float) -> bool:
        """Whether the reading takes so long that it is left alone for some minutes."""
        return now < self._stopped_until_s

    def record(self, seconds: float, now: float) -> None:
        """Note that a reading was taken now, and how long it was in the driver."""
        self._allowance.spend(seconds)
        self._costs.append(seconds)
        self._last_s = now

    @property
    def _fits_s(self) -> float:
        """How far apart readings must be."""
        if len(self._costs) < MIN_COST_SAMPLES:
            return 0.0
        left = self._allowance.available_share
        return median(self._costs) / left if left else math.inf

    @property
    def _costly(self) -> bool:
        """Whether it is the reading itself that takes long, and not the other calls."""
        return self._allowance.available_share >= MAX_CALL_SHARE / 2

    @property
    def _why(self) -> str:
        if self._costly:
            return f"it takes {1000 * median(self._costs):.1f} ms in the driver"
        return f"other driver calls on this GPU take {100 * self._allowance.other_share:.1f} % of the time"
