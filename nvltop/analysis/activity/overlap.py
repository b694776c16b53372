"""Whether a job computes while its NVLinks are busy: compute activity against link traffic.

Pure. Neither kind of reading begins and ends where a burst does, so each compute reading is set against the
share of its time in which the links were busy, and a line through all of them gives the activity at none
and at all of it. NVML counts the SMs that move the data as busy, so tensor cores say more than SMs, and
power says least: it only falls if the GPU waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.activity.usage_trace import UsageTrace, mean_between
from nvltop.model import Maybe, Missing, Overlap

MIN_READINGS: Final = 24
MIN_SPREAD: Final = 0.03
"""Variance that the links' busy share must have between readings for the two states to be distinguished."""
TENSOR: Final = 0.05
"""Activity of the tensor cores without traffic, below which a job does not use them to speak of."""
SM: Final = 0.4
"""The same of the SMs."""
NCCL_SM: Final = 0.2
"""Share of the SMs that communication itself keeps busy (16 to 32 channels of 132 SMs), at most."""
LESS_POWER: Final = 0.75
"""Power with traffic over power without, below which the GPU waits."""

GPM: Final = "gpm"
"""Source of readings that distinguish units; see `ComputeActivity.source`."""

NO_COMPUTE: Final = Missing("compute activity is not read on this board")
NO_CONTRAST: Final = Missing("the links are never idle for long enough to compare")
TOO_FEW: Final = Missing("compute activity was not read for long enough")
NO_WORK: Final = Missing("its GPUs compute too little to compare")


class _Line:
    """A least-squares line through points."""

    def __init__(self) -> None:
        self.n = 0
        self.x = self.y = self.xx = self.xy = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.xy += x * y

    def ends(self) -> tuple[float, float] | None:
        """Return the values at 0 and 1; None if the points do not determine them."""
        if self.n < MIN_READINGS:
            return None
        x, y = self.x / self.n, self.y / self.n
        spread = self.xx / self.n - x * x
        if spread < MIN_SPREAD:
            return None
        slope = (self.xy / self.n - x * y) / spread
        return max(0.0, y - slope * x), max(0.0, y + slope * (1 - x))


def measure_overlap(
    gpus: Iterable[tuple[UsageTrace, ComputeSeries, float]],
    start_s: float,
    end_s: float,
    power_limit_w: float,
) -> Maybe[Overlap]:
    """Compare compute activity with and without traffic.

    `gpus` holds trace, compute readings and the level of the bursts (share of NCCL max) of each GPU of a job.
    """
    tensor, sm, power = _Line(), _Line(), _Line()
    seen = 0
    for trace, compute, rate in gpus:
        readings = compute.since(start_s)
        if not readings or rate <= 0:
            continue
        spans = trace.between(start_s - 2.0, end_s + 2.0)
        seen += len(readings)
        for read in readings:
            share = mean_between(spans, read.start_s, read.end_s)
            if share != share:
                continue
            x = min(1.0, share / rate)
            # Utilisation samples count a GPU as busy that only moves data or waits: they show nothing.
            units = ((tensor, read.tensor), (sm, read.sm)) if compute.source == GPM else ()
            for line, y in (*units, (power, read.power_w)):
                if y == y:
                    line.add(x, y)
    if not seen:
        return NO_COMPUTE
    if seen < MIN_READINGS:
        return TOO_FEW
    return _compare(tensor, sm, power, power_limit_w)


def _compare(tensor: _Line, sm: _Line, power: _Line, power_limit_w: float) -> Maybe[Overlap]:
    separable = False
    if ends := tensor.ends():
        separable = True
        otherwise, busy = ends
        if otherwise >= TENSOR:
            return Overlap("tensor cores", busy, otherwise, _clip(1 - busy / otherwise))
    if ends := sm.ends():
        separable = True
        otherwise, busy = ends
        if otherwise >= SM:
            exposed = _clip((otherwise - busy) / (otherwise - NCCL_SM))
            return Overlap("SMs", busy, otherwise, exposed)
    if (ends := power.ends()) and power_limit_w > 0:
        separable = True
        otherwise, busy = ends
        if busy < LESS_POWER * otherwise:
            return Overlap(
                "power",
                busy / power_limit_w,
                otherwise / power_limit_w,
                _clip(1 - busy / otherwise),
                "possible",
            )
    return NO_WORK if separable else NO_CONTRAST


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
