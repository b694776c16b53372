"""What the simulated job makes of each GPU over time: its steps, who waits for whom, when it hangs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from nvltop.nvml.simulated.traffic import Constant, Cycle, Flow, Sine, Sum, Switched

STEP_S: Final = 2.0
BURST_S: Final = 1.2
"""Length of a step, and of the exchange that it begins with; the rest is computation."""
STRAGGLER_DELAY_S: Final = 0.6
"""By how much longer the slow GPU of `straggler` computes; the others wait."""
HANG_S: Final = 30.0
"""When the job of `hang` stops: long enough for its step to be known by then."""
SKEW_S: Final = 0.013
"""From GPU to GPU."""
CLOCK_MHZ, SLOW_MHZ, IDLE_MHZ = 1755, 1240, 345
IDLE_POWER: Final = 0.11
POWER_RANGE: Final = 0.82
"""Shares of the power limit: what an idle GPU draws, and what full effort adds."""
ACTIVITY_NOISE: Final = 0.01
"""Amplitude of the noise on the activity of the units of a GPU that works."""


class Phase(NamedTuple):
    """How busy a GPU is while it does one thing; all from 0 to 1."""

    util: float
    """Share of the time in which any kernel runs."""
    effort: float
    """How much of its power it uses, from idle to the limit."""
    sm: float
    tensor: float
    dram: float


UNITS: Final = ("sm", "tensor", "dram")
EXCHANGE: Final = Phase(0.97, 0.45, 0.22, 0.02, 0.30)
"""Communication with nothing behind it: NCCL's kernels take few of the multiprocessors."""
COMPUTE: Final = Phase(0.72, 0.95, 0.92, 0.64, 0.45)
OVERLAP: Final = Phase(0.99, 0.93, 0.95, 0.58, 0.55)
"""Communication hidden behind compute."""
SPIN: Final = Phase(1.0, 0.12, 1.0, 0.0, 0.0)
"""Waiting in a collective: looks busy, and uses little power."""
REST: Final = Phase(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Workload:
    """The job of one machine."""

    scenario: str
    odd_gpu: int
    """The GPU that a scenario is about."""

    @property
    def busy(self) -> bool:
        """Whether there is a job at all."""
        return self.scenario != "idle"

    @property
    def step_s(self) -> float:
        """Length of a step."""
        return STEP_S + STRAGGLER_DELAY_S if self.scenario == "straggler" else STEP_S

    @property
    def end_s(self) -> float | None:
        """When the job moves its last data, if it does."""
        return HANG_S if self.scenario == "hang" else None

    def skew_s(self, gpu: int) -> float:
        """Return by how much a GPU is ahead of the first."""
        return SKEW_S * gpu

    def step(self, gpu: int) -> tuple[tuple[float, Phase], ...]:
        """Return the phases of a step of a GPU, each with the second of the step at which it ends."""
        if not self.busy:
            return ((self.step_s, REST),)
        if self.scenario == "saturated":
            return ((self.step_s, EXCHANGE),)
        if self.scenario == "overlapped":
            return (BURST_S, OVERLAP), (self.step_s, COMPUTE)
        if self.scenario == "straggler" and gpu != self.odd_gpu:
            return (BURST_S, EXCHANGE), (STEP_S, COMPUTE), (self.step_s, SPIN)
        return (BURST_S, EXCHANGE), (self.step_s, COMPUTE)

    def activity(self, gpu: int, unit: str) -> Flow:
        """Return over time how busy a GPU is, `unit` being a field of `Phase`."""
        return _activity(self, gpu, unit)

    def clock_mhz(self, gpu: int) -> int:
        """Return the clock of the SMs."""
        if not self.busy:
            return IDLE_MHZ
        return SLOW_MHZ if self.scenario == "straggler" and gpu == self.odd_gpu else CLOCK_MHZ

    def power(self, gpu: int) -> Flow:
        """Return over time the share of the power limit that is drawn."""
        return Sum(
            Constant(IDLE_POWER),
            self.activity(gpu, "effort"),
            Sine(0.01, 1 / 3, gpu),
            factors=(1, POWER_RANGE, 1),
        )


@cache
def _activity(work: Workload, gpu: int, unit: str) -> Flow:
    levels = tuple((end_s, getattr(phase, unit)) for end_s, phase in work.step(gpu))
    flow: Flow = Cycle(levels, work.skew_s(gpu))
    # Only where the noise keeps a share within its range, so that means stay exact.
    if unit in UNITS and all(ACTIVITY_NOISE <= level <= 1 - ACTIVITY_NOISE for _, level in levels):
        flow = Sum(flow, Sine(ACTIVITY_NOISE, 3.1 + 0.17 * gpu))
    if work.end_s is None:
        return flow
    return Switched(flow, work.end_s, Constant(getattr(REST if gpu == work.odd_gpu else SPIN, unit)))
