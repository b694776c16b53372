"""What the simulated job makes of each GPU over time: its steps, who waits for whom, when it hangs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

STEP_S: Final = 2.0
BURST_S: Final = 1.2
"""Length of a step, and of the exchange that it begins with; the rest is computation."""
LATE_S: Final = 0.6
"""By how much longer the slow GPU of `straggler` computes; the others wait."""
HANG_S: Final = 30.0
"""When the job of `hang` stops: long enough for its step to be known by then."""
SKEW_S: Final = 0.013
"""From GPU to GPU."""
CLOCK_MHZ, SLOW_MHZ, IDLE_MHZ = 1755, 1240, 345
EXCHANGING, COMPUTING, SPINNING, RESTING = 0.97, 0.72, 0.12, 0.0
"""How much of its power a GPU uses, from nothing to the limit; one that spins looks busy all the same."""


@dataclass(frozen=True, slots=True)
class Work:
    """The job of one machine."""

    scenario: str
    odd: int
    """The GPU that a scenario is about."""

    @property
    def busy(self) -> bool:
        """Whether there is a job at all."""
        return self.scenario != "idle"

    @property
    def step_s(self) -> float:
        """Length of a step."""
        return STEP_S + LATE_S if self.scenario == "straggler" else STEP_S

    @property
    def end_s(self) -> float | None:
        """When the job moves its last data, if it does."""
        return HANG_S if self.scenario == "hang" else None

    def skew_s(self, gpu: int) -> float:
        """Return by how much a GPU is ahead of the first."""
        return SKEW_S * gpu

    def effort(self, gpu: int, t: float) -> float:
        """Return how much of its power a GPU uses, from 0 to 1."""
        if not self.busy:
            return RESTING
        if self.end_s is not None and t >= self.end_s:
            return RESTING if gpu == self.odd else SPINNING
        since_s = (t + self.skew_s(gpu)) % self.step_s
        if since_s < BURST_S:
            return EXCHANGING
        if self.scenario == "straggler" and gpu != self.odd and since_s >= STEP_S:
            return SPINNING
        return COMPUTING

    def util(self, gpu: int, t: float) -> float:
        """Return how busy a GPU looks, from 0 to 1: whoever waits in a collective spins."""
        effort = self.effort(gpu, t)
        return 1.0 if effort == SPINNING else effort

    def clock_mhz(self, gpu: int) -> int:
        """Return the clock of the SMs."""
        if not self.busy:
            return IDLE_MHZ
        return SLOW_MHZ if self.scenario == "straggler" and gpu == self.odd else CLOCK_MHZ

    def power(self, gpu: int, t: float) -> float:
        """Return the share of the power limit that is drawn."""
        return 0.11 + 0.82 * self.effort(gpu, t) + 0.01 * math.sin(t / 3 + gpu)
