"""Whether a job computes while its NVLinks are busy: compute activity compared with link traffic.

Pure. Readings do not begin and end with the bursts. Each compute reading is therefore plotted against the
share of its time in which the links were busy; a straight line through all points gives the activity with
idle and with busy links. NVML counts the SMs that move the data as busy, so tensor cores are a better
indicator than SMs. Power is the weakest: it only drops if the GPU waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.activity.usage_trace import UsageTrace, mean_between
from nvltop.model import Maybe, Missing, Overlap

MIN_READINGS: Final = 24
"""Number of readings below which there is no result."""
MIN_VARIANCE: Final = 0.03
"""Variance of the links' busy share below which busy and idle links cannot be compared."""
MIN_TENSOR_ACTIVITY: Final = 0.05
"""Activity of the tensor cores without traffic below which a job does not use them."""
MIN_SM_ACTIVITY: Final = 0.4
"""Activity of the SMs without traffic below which a job computes too little to compare."""
NCCL_SM_ACTIVITY: Final = 0.2
"""Largest share of the SMs that communication itself keeps busy (16 to 32 channels of 132 SMs)."""
MAX_POWER_RATIO: Final = 0.75
"""Power with traffic over power without below which the GPU waits."""

GPM_SOURCE: Final = "gpm"
"""Source of readings that distinguish the units of a GPU; see `ComputeActivity.source`."""

NO_COMPUTE: Final = Missing("compute activity is not read on this board")
NO_CONTRAST: Final = Missing("the links are never idle for long enough to compare")
TOO_FEW: Final = Missing("compute activity was not read for long enough")
NO_WORK: Final = Missing("its GPUs compute too little to compare")


class _LineFit:
    """A least-squares line through points."""

    def __init__(self) -> None:
        self.n = 0
        self.x = self.y = self.xx = self.xy = 0.0

    def add(self, x: float, y: float) -> None:
        """Add a point."""
        self.n += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.xy += x * y

    def ends(self) -> tuple[float, float] | None:
        """Return the values of the line at 0 and 1; None if the points do not determine it."""
        if self.n < MIN_READINGS:
            return None
        x, y = self.x / self.n, self.y / self.n
        variance = self.xx / self.n - x * x
        if variance < MIN_VARIANCE:
            return None
        slope = (self.xy / self.n - x * y) / variance
        return max(0.0, y - slope * x), max(0.0, y + slope * (1 - x))


def measure_overlap(
    gpus: Iterable[tuple[UsageTrace, ComputeSeries, float]],
    start_s: float,
    end_s: float,
    power_limit_w: float,
) -> Maybe[Overlap]:
    """Compare the compute activity of a job's GPUs with and without traffic.

    `gpus` holds the trace, the compute readings and the burst level (share of NCCL max) of each GPU.
    """
    tensor, sm, power = _LineFit(), _LineFit(), _LineFit()
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
            # Utilisation samples count a GPU that only moves data or waits as busy, so they are not used.
            units = ((tensor, read.tensor), (sm, read.sm)) if compute.source == GPM_SOURCE else ()
            for line, y in (*units, (power, read.power_w)):
                if y == y:
                    line.add(x, y)
    if not seen:
        return NO_COMPUTE
    if seen < MIN_READINGS:
        return TOO_FEW
    return _compare(tensor, sm, power, power_limit_w)


def _compare(tensor: _LineFit, sm: _LineFit, power: _LineFit, power_limit_w: float) -> Maybe[Overlap]:
    """Return the overlap from the best indicator: tensor cores, then SMs, then power."""
    separable = False
    if ends := tensor.ends():
        separable = True
        otherwise, busy = ends
        if otherwise >= MIN_TENSOR_ACTIVITY:
            return Overlap("tensor cores", busy, otherwise, _clip(1 - busy / otherwise))
    if ends := sm.ends():
        separable = True
        otherwise, busy = ends
        if otherwise >= MIN_SM_ACTIVITY:
            exposed = _clip((otherwise - busy) / (otherwise - NCCL_SM_ACTIVITY))
            return Overlap("SMs", busy, otherwise, exposed)
    if (ends := power.ends()) and power_limit_w > 0:
        separable = True
        otherwise, busy = ends
        if busy < MAX_POWER_RATIO * otherwise:
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
