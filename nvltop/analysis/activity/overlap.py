"""Whether a job computes while its NVLinks are busy: compute activity compared with link traffic.

Pure. Readings do not begin and end with the bursts. Each compute reading is therefore plotted against the
share of its time in which the links were busy; a straight line through all points gives the activity with
idle and with busy links. NVML counts the SMs that move the data as busy, so tensor cores are a better
indicator than SMs. Power is the weakest: it only drops if the GPU waits. `ComputeSeries` computes the use of
the links during a reading once, when its traffic has been read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Final

from nvltop.analysis.activity.compute_series import ComputeSeries
from nvltop.analysis.nan import has_nan
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


Points = Sequence[tuple[Sequence[float], Sequence[float]]]
"""Columns of x and y, NaN where not read; y may have values at its end that have no x."""


def _line_ends(points: Points) -> tuple[float, float] | None:
    """Return the values at 0 and 1 of a least-squares line; None if the points do not determine it."""
    n = 0
    x = y = xx = xy = 0.0
    for xs, ys in points:
        ys = ys[: len(xs)]
        if has_nan(xs) or has_nan(ys):
            pairs = [(a, b) for a, b in zip(xs, ys, strict=True) if a == a and b == b]
            xs, ys = [a for a, _ in pairs], [b for _, b in pairs]
        n += len(xs)
        x += sum(xs)
        y += sum(ys)
        xx += sum(map(mul, xs, xs))
        xy += sum(map(mul, xs, ys))
    if n < MIN_READINGS:
        return None
    x, y = x / n, y / n
    variance = xx / n - x * x
    if variance < MIN_VARIANCE:
        return None
    slope = (xy / n - x * y) / variance
    return max(0.0, y - slope * x), max(0.0, y + slope * (1 - x))


def measure_overlap(
    gpus: Iterable[tuple[ComputeSeries, float]], start_s: float, power_limit_w: float
) -> Maybe[Overlap]:
    """Compare the compute activity of a job's GPUs since `start_s` with and without traffic.

    `gpus` holds the compute readings and the burst level (share of NCCL max) of each GPU.
    """
    tensor: list[tuple[Sequence[float], Sequence[float]]] = []
    sm: list[tuple[Sequence[float], Sequence[float]]] = []
    power: list[tuple[Sequence[float], Sequence[float]]] = []
    seen = 0
    for compute, rate in gpus:
        readings = compute.since(start_s)
        if rate <= 0:
            continue
        seen += len(readings.sm)
        busy = array("d", [1.0 if share >= rate else share / rate for share in readings.links])
        # Utilisation samples count a GPU that only moves data or waits as busy, so they are not used.
        if compute.source == GPM_SOURCE:
            tensor.append((busy, readings.tensor))
            sm.append((busy, readings.sm))
        power.append((busy, readings.power_w))
    if not seen:
        return NO_COMPUTE
    if seen < MIN_READINGS:
        return TOO_FEW
    return _compare(tensor, sm, power, power_limit_w)


def _compare(tensor: Points, sm: Points, power: Points, power_limit_w: float) -> Maybe[Overlap]:
    """Return the overlap from the best indicator: tensor cores, then SMs, then power."""
    separable = False
    if ends := _line_ends(tensor):
        separable = True
        otherwise, busy = ends
        if otherwise >= MIN_TENSOR_ACTIVITY:
            return Overlap("tensor cores", busy, otherwise, _clip(1 - busy / otherwise))
    if ends := _line_ends(sm):
        separable = True
        otherwise, busy = ends
        if otherwise >= MIN_SM_ACTIVITY:
            exposed = _clip((otherwise - busy) / (otherwise - NCCL_SM_ACTIVITY))
            return Overlap("SMs", busy, otherwise, exposed)
    if (ends := _line_ends(power)) and power_limit_w > 0:
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
