"""The simulated job: the activity of each GPU over time, its waiting for other GPUs, and hangs."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from nvltop.frozen import frozen
from nvltop.nvml.simulated.traffic import Constant, Cycle, Flow, Sine, Sum, Switched

STEP_S: Final = 2.0
"""Duration of a training step, seconds."""
BURST_S: Final = 1.2
"""Duration of the communication with which a step begins, seconds; the rest is computation."""
STRAGGLER_DELAY_S: Final = 0.6
"""Additional time that the slow GPU of `straggler` computes while the others wait, seconds."""
HANG_S: Final = 30.0
"""Time at which the job of `hang` stops, seconds; its step period is known by then."""
SKEW_S: Final = 0.013
"""Time between the steps of one GPU and the next, seconds."""
CLOCK_MHZ, SLOW_MHZ, IDLE_MHZ = 1755, 1240, 345
"""SM clocks of a busy, a slow and an idle GPU."""
IDLE_POWER: Final = 0.11
"""Power of an idle GPU, as a share of the limit."""
POWER_RANGE: Final = 0.82
"""Power that full effort adds, as a share of the limit."""
ACTIVITY_NOISE: Final = 0.01
"""Amplitude of the noise on the activity of a busy GPU's units."""


class Phase(NamedTuple):
    """Activity of a GPU during one phase of a step; all values are from 0 to 1."""

    util: float
    """Share of the time in which a kernel runs."""
    effort: float
    """Power, from 0 when idle to 1 at full effort."""
    sm: float
    tensor: float
    dram: float


UNITS: Final = ("sm", "tensor", "dram")
EXCHANGE: Final = Phase(0.97, 0.45, 0.22, 0.02, 0.30)
"""Communication without computation: NCCL's kernels use few of the multiprocessors."""
COMPUTE: Final = Phase(0.72, 0.95, 0.92, 0.64, 0.45)
OVERLAP: Final = Phase(0.99, 0.93, 0.95, 0.58, 0.55)
"""Communication hidden behind compute."""
SPIN: Final = Phase(1.0, 0.12, 1.0, 0.0, 0.0)
"""Busy-waiting in a collective operation: full utilization at low power."""
IDLE: Final = Phase(0.0, 0.0, 0.0, 0.0, 0.0)


@frozen
class Workload:
    """The job of a machine."""

    scenario: str
    odd_gpu: int
    """Index of the GPU that behaves differently in a scenario."""

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self.scenario != "idle"

    @property
    def step_s(self) -> float:
        """Duration of a step, seconds."""
        return STEP_S + STRAGGLER_DELAY_S if self.scenario == "straggler" else STEP_S

    @property
    def end_s(self) -> float | None:
        """Time at which the traffic ends, seconds; None if it does not end."""
        return HANG_S if self.scenario == "hang" else None

    def skew_s(self, gpu: int) -> float:
        """Return the time by which a GPU is ahead of the first one, seconds."""
        return SKEW_S * gpu

    def step(self, gpu: int) -> tuple[tuple[float, Phase], ...]:
        """Return the phases of a GPU's step, each with its end, seconds after the start of the step."""
        if not self.busy:
            return ((self.step_s, IDLE),)
        if self.scenario == "saturated":
            return ((self.step_s, EXCHANGE),)
        if self.scenario == "overlapped":
            return (BURST_S, OVERLAP), (self.step_s, COMPUTE)
        if self.scenario == "straggler" and gpu != self.odd_gpu:
            return (BURST_S, EXCHANGE), (STEP_S, COMPUTE), (self.step_s, SPIN)
        return (BURST_S, EXCHANGE), (self.step_s, COMPUTE)

    def activity(self, gpu: int, unit: str) -> Flow:
        """Return the activity of a GPU over time; `unit` is a field of `Phase`."""
        return _activity(self, gpu, unit)

    def clock_mhz(self, gpu: int) -> int:
        """Return the SM clock."""
        if not self.busy:
            return IDLE_MHZ
        return SLOW_MHZ if self.scenario == "straggler" and gpu == self.odd_gpu else CLOCK_MHZ

    def power(self, gpu: int) -> Flow:
        """Return the power over time, as a share of the limit."""
        return _power(self, gpu)


@cache
def _activity(work: Workload, gpu: int, unit: str) -> Flow:
    levels = tuple((end_s, getattr(phase, unit)) for end_s, phase in work.step(gpu))
    flow: Flow = Cycle(levels, work.skew_s(gpu))
    # Only where noise does not lead beyond 0 or 1, so that the means stay exact.
    if unit in UNITS and all(ACTIVITY_NOISE <= level <= 1 - ACTIVITY_NOISE for _, level in levels):
        flow = Sum(flow, Sine(ACTIVITY_NOISE, 3.1 + 0.17 * gpu))
    if work.end_s is None:
        return flow
    return Switched(flow, work.end_s, Constant(getattr(IDLE if gpu == work.odd_gpu else SPIN, unit)))


@cache
def _power(work: Workload, gpu: int) -> Flow:
    return Sum(
        Constant(IDLE_POWER),
        work.activity(gpu, "effort"),
        Sine(0.01, 1 / 3, gpu),
        factors=(1, POWER_RANGE, 1),
    )
