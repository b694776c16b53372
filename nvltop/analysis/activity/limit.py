"""What bounds a job, as far as counters and gauges show it.

Pure. What is certain comes first: a GPU that is held back by heat holds back all others as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.activity.samples import HW_THERMAL, POWER_BRAKE, SW_POWER_CAP, SW_THERMAL, Samples
from nvltop.model import Maybe, Missing, Straggler, known

MOSTLY: Final = 0.8
"""Share of the time in communication from which it bounds the job."""
HARD: Final = 0.9
"""Share of what NCCL reaches from which the links are what bounds the communication."""
LITTLE: Final = 0.3
FULL: Final = 0.8
"""Share of what PCIe or a port of a NIC can carry, on the mean."""

UNKNOWN: Final = Missing("the counters do not tell")


def limit(
    share: Maybe[float],
    intensity: Maybe[float],
    straggler: Straggler | None,
    samples: Sequence[Samples],
    network: Maybe[float],
) -> Maybe[str]:
    """Return what bounds a job: see `Activity.limit`.

    `network` is the share that the busiest port of the NICs carries of what it can.
    """
    if any(s.held(SW_THERMAL | HW_THERMAL) for s in samples):
        return "heat"
    if any(s.held(POWER_BRAKE) for s in samples):
        return "power"
    if straggler:
        return "rank"
    if known(network) and network >= FULL:
        return "nic"
    if any(known(p := s.pcie) and p >= FULL for s in samples):
        return "pcie"
    if isinstance(share, Missing):
        return UNKNOWN
    if share >= MOSTLY:
        if isinstance(intensity, Missing):
            return intensity
        return "nvlink" if intensity >= HARD else "none"
    if share < LITTLE and samples and all(s.held(SW_POWER_CAP) for s in samples):
        return "power"
    return "none"
