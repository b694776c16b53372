"""The times at which reports of a run without a screen are due."""

from __future__ import annotations

from typing import Final

from nvltop.model import Cost, Inventory, LinkCounters, Reading, known
from nvltop.sampler.schedule import Periodic

MAX_LATE_S: Final = 5.0
"""Seconds after its due time at which a report is printed without the readings it waits for."""
STRAGGLER_WAIT_S: Final = 2.0
"""Seconds, or two sweeps if these take longer, that new readings wait for a GPU that is late."""
MAX_POLL_S: Final = 0.1
"""Longest wait for items in seconds, so that a driver that does not answer is noticed."""


class ReportPacer:
    """Decides when a report is due: when the link counters of every GPU have been read again.

    The worker keeps the interval, so reports that follow its readings are an interval apart, contain
    values that have just been read, and differ from each other. The first report follows the second
    reading, since rates need two. Values that are read less often are not waited for.

    On a node without NVLinks, which has no counters to follow, reports follow the clock.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._cost = Cost()
        self._clock = Periodic(interval_s)
        self._linked: dict[str, int] = {}
        """NVML index of each GPU with NVLinks, by UUID."""
        self._begun_s: float | None = None
        """CLOCK_MONOTONIC of the last report; before the first report, of the inventory."""
        self._rounds = 0
        """Number of times that all GPUs have been read; rates exist from the second time on."""
        self._read: set[str] = set()
        """UUIDs of the GPUs read since the last report."""
        self._read_s = 0.0
        """CLOCK_MONOTONIC of the first reading since the last report."""
        self._last: set[str] = set()
        self._before: set[str] = set()
        """UUIDs of the GPUs read in time for the report before the last; `_last` holds those for the last."""

    @property
    def started(self) -> bool:
        """Whether the inventory has arrived."""
        return self._begun_s is not None

    def expect(self, inventory: Inventory, now_s: float) -> None:
        """Set the GPUs of the node."""
        self._linked = {
            g.uuid: g.index for g in inventory.gpus if not g.problem and known(g.remotes) and g.remotes
        }
        if self._begun_s is None:
            self._begun_s = now_s
            self._clock.next_s = now_s + self._interval_s

    def add(self, reading: Reading, now_s: float) -> None:
        """Add a reading that has arrived."""
        if isinstance(reading.data, Cost):
            self._cost = reading.data
        elif isinstance(reading.data, LinkCounters) and reading.gpu in self._linked:
            if not self._read:
                self._read_s = now_s
            self._read.add(reading.gpu)

    def due(self, now_s: float) -> bool:
        """Return whether a report is due; if so, start waiting for the next one."""
        if self._begun_s is None:
            return False
        if not self._linked:
            return self._clock.due(now_s)
        if not self._complete(now_s - self._begun_s, now_s - self._read_s):
            return False
        self._before, self._last, self._read = self._last, self._read, set()
        self._begun_s = now_s
        self._rounds += 1
        return self._rounds > 1

    def _complete(self, waited_s: float, waiting_s: float) -> bool:
        """Return whether all GPUs have been read.

        `waited_s` is the time since the last report, `waiting_s` the time since the first reading after it.
        """
        if waited_s > self._cost.effective_interval_s(self._interval_s) + MAX_LATE_S:
            return True
        if not self._read or (self._rounds and waited_s < self._interval_s / 2):
            return False  # readings that piled up while our output was blocked make one report, not several
        late = self._rounds > 1 and waiting_s > max(STRAGGLER_WAIT_S, 2 * self._cost.sweep_s)
        return late or self._awaited() <= self._read

    def _awaited(self) -> set[str]:
        """Return the GPUs that a report waits for: those that are read in time, at the usual interval."""
        usual_s = self._cost.effective_interval_s(self._interval_s)
        usual = {u for u, index in self._linked.items() if self._cost.interval_of(index) <= usual_s}
        in_time = self._last if self._rounds < 2 else self._last & self._before
        return usual & in_time or usual or set(self._linked)

    def wait_s(self, now_s: float) -> float:
        """Return how many seconds to wait for readings before calling `due` again."""
        if self._begun_s is None:
            return MAX_POLL_S
        next_s = self._begun_s + self._interval_s / 2 if self._linked else self._clock.next_s
        return min(MAX_POLL_S, next_s - now_s) if next_s > now_s else MAX_POLL_S
