"""When each group of values is due, and how the interval stretches when reading is slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nvltop.sampler.protocol import deadline_s

GAUGES_S: Final = 1.0
STATES_S: Final = 1.0
ERRORS_S: Final = 5.0
ERRORS_BY_CALL_S: Final = 30.0
"""Where each error counter costs a call of its own."""
FABRIC_S: Final = 10.0
PAIRS_S: Final = 60.0
SETTLE_S: Final = 1.0
"""How long after an event the inventory is read again."""
TRAFFIC_S: Final = 2.0
FIRST_TRAFFIC_S: Final = 0.2
"""Seconds to the second reading, with which GPM gives its first values (it needs 0.1 s)."""
HOST_S: Final = 1.0
NICS_S: Final = 1.0
FIRST_NICS_S: Final = 0.5
"""Seconds to the second reading, with which there are rates: a report after 1 s has them."""
PROCESSES_S: Final = 2.0
PROCESSES_SHARE: Final = 0.01
"""Share of one CPU that describing the processes may take; what the main process makes of it takes thrice."""
PROCESSES_MOST_S: Final = 8.0
"""No list is described later than this, however many processes there are."""
COST_S: Final = 1.0
GATHER_S: Final = 0.02
"""Readings that come within so short a time are sent together: each sending wakes the main process."""
WAIT_S: Final = 0.25
"""After a sending, what is of no hurry waits for the next one for so long."""
LOST_S: Final = 5.0
"""How often a GPU that is lost is asked whether it is back."""
LOOK_AGAIN_S: Final = 10.0
"""How often the driver is asked for GPUs when there are none, or fewer than before."""

SHARE: Final = 0.25
"""A sweep may take this share of the interval; if it takes more, the interval grows."""


@dataclass(slots=True)
class Pace:
    """The asked interval of the link counters, which can change while they are read."""

    interval_s: float


@dataclass(slots=True)
class Stretch:
    """The effective interval of the link counters that one thread reads."""

    pace: Pace
    sweep_s: float = field(default=0.0, init=False)
    """How long a sweep takes: the smoothed median of three."""
    _before: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    """Seconds that the last two sweeps took."""

    def note(self, sweep_s: float) -> None:
        """Take account of how long a sweep took.

        A single slow sweep has no weight, since a call in it hung; of a series each counts. None counts
        for more than the time after which a call is stuck.
        """
        sweep_s = min(sweep_s, deadline_s(self.pace.interval_s))
        median_s = sorted((*self._before, sweep_s))[1]
        self._before = (self._before[1], sweep_s)
        self.sweep_s += 0.3 * (median_s - self.sweep_s)

    @property
    def interval_s(self) -> float:
        """The asked interval, or longer."""
        return max(self.pace.interval_s, self.sweep_s / SHARE)


@dataclass(slots=True)
class Due:
    """Tells when something that is done every so often is due."""

    every_s: float
    next_s: float = 0.0

    def at(self, now: float, slack_s: float = 0.0) -> bool:
        """Whether it is due now (or within `slack_s`); if so, the next time is set."""
        if now + slack_s < self.next_s:
            return False
        # Along the old grid, unless that has been left far behind.
        step = self.next_s + self.every_s
        self.next_s = step if step > now else now + self.every_s
        return True
