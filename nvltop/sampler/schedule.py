"""The interval at which each group of values is read, and how it adapts when reading is slow."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from nvltop.frozen import mutable
from nvltop.sampler.protocol import deadline_s

GAUGES_S: Final = 1.0
"""Interval of utilization, memory, power, temperature and clocks, seconds."""
STATES_S: Final = 1.0
"""Interval of the link states, seconds."""
ERRORS_BY_CALL_S: Final = 30.0
"""Interval of the error counters where each counter needs a driver call of its own, seconds."""
FABRIC_S: Final = 10.0
"""Interval of the fabric state, seconds."""
PAIRS_S: Final = 60.0
"""Interval of the inventory, which includes the topology of GPU pairs, seconds."""
SETTLE_S: Final = 1.0
"""Delay between an event and the inventory that is read because of it, seconds."""
TRAFFIC_S: Final = 2.0
"""Interval of PCIe and C2C traffic, seconds."""
FIRST_TRAFFIC_S: Final = 0.2
"""Delay of the second reading of PCIe and C2C traffic, seconds: GPM returns values after 0.1 s or more."""
HOST_S: Final = 2.0
"""Interval of the host's CPU and memory, seconds: the kernel formats `/proc/stat` for all CPUs."""
FIRST_HOST_S: Final = 1.0
"""Delay of the first reading of the host's CPU and memory, seconds."""
NICS_S: Final = 2.0
"""Interval of the NIC ports, seconds: each port is several files, and rates are means of 2 s anyway."""
FIRST_NICS_S: Final = 0.5
"""Delay of the second reading of the NIC ports, seconds, so that a report after 1 s has rates."""
PROCESSES_S: Final = 2.0
"""Interval of the process list, seconds; longer where describing the processes is expensive."""
PROCESSES_SHARE: Final = 0.01
"""Limit of the CPU share that describing the processes takes; the main process needs three times as much."""
MAX_PROCESSES_S: Final = 8.0
"""Longest interval of the process list, seconds, with any number of processes."""
COST_S: Final = 1.0
"""Interval at which the worker reports its own cost, seconds."""
GATHER_S: Final = 0.02
"""Time in seconds within which readings are sent together: each write wakes the main process."""
BATCH_S: Final = 0.25
"""Time in seconds for which items that are not urgent may be held back after a write."""
EARLY_SHARE: Final = 0.05
"""Share of the interval of frames by which link counters may be sent early."""
LATE_SHARE: Final = 0.04
"""Share of the interval of frames for which other readings wait longer for the next link counters."""
START_S: Final = 5.0
"""Time after the start of the worker in which link counters are sent at once, seconds."""
MAX_SLACK_S: Final = 0.5
"""Longest time in seconds by which a task is done early or late, to be done together with others."""
MAX_GUESTS_SWEEP_S: Final = 0.05
"""Duration of a sweep over the link counters, seconds, above which its thread does no other tasks."""
RETRY_LOST_S: Final = 5.0
"""Interval at which a lost GPU is read again, seconds."""
RESCAN_S: Final = 10.0
"""Interval of the inventory while no GPU, or fewer GPUs than before, can be read, seconds."""

MAX_SWEEP_SHARE: Final = 0.25
"""Share of the interval that one sweep over the link counters may take; above it, the interval grows."""


@mutable
class RequestedInterval:
    """The interval of the link counters that the user requested; it can change while they are read."""

    interval_s: float


@mutable
class AdaptiveInterval:
    """The effective interval of the link counters that one thread reads."""

    requested: RequestedInterval
    sweep_s: float = field(default=0.0, init=False)
    """Duration of a sweep, seconds: the smoothed median of three."""
    _before: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    """Durations of the last two sweeps, seconds."""

    def add(self, sweep_s: float) -> None:
        """Add the duration of a sweep.

        The median ignores a single slow sweep, in which a call hung, but not a series of them. A duration
        is limited to the time after which a call counts as stuck.
        """
        sweep_s = min(sweep_s, deadline_s(self.requested.interval_s))
        median_s = sorted((*self._before, sweep_s))[1]
        self._before = (self._before[1], sweep_s)
        self.sweep_s += 0.3 * (median_s - self.sweep_s)

    @property
    def interval_s(self) -> float:
        """The requested interval, or a longer one where sweeps are slow, seconds."""
        return max(self.requested.interval_s, self.sweep_s / MAX_SWEEP_SHARE)


@mutable
class Periodic:
    """The times at which something is due."""

    every_s: float
    next_s: float = 0.0

    def due(self, now: float, slack_s: float = 0.0) -> bool:
        """Return whether it is due now or within `slack_s`; if so, schedule the next time."""
        if now + slack_s < self.next_s:
            return False
        # Keep the phase, unless whole periods were missed.
        step = self.next_s + self.every_s
        self.next_s = step if step > now else now + self.every_s
        return True
