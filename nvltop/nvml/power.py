"""Power as field values (nvml.h, NVML_FI_DEV_POWER_*): the present power and the mean over a second."""

from __future__ import annotations

from typing import Final

from nvltop.model import Maybe, Missing
from nvltop.nvml.driver import IMPLAUSIBLE

POWER_AVERAGE: Final = 185
"""Field id of the mean over a second: since Ampere, except GA100."""
POWER_INSTANT: Final = 186
"""Field id of the present power: all boards, since driver 530."""
MAX_W: Final = 100_000
"""Power above which a value is implausible, watts."""


def watts(milliwatts: Maybe[int]) -> Maybe[float]:
    """Return milliwatts as watts.

    A working GPU draws power; 0 is what some drivers return for a field that they do not support.
    """
    if isinstance(milliwatts, Missing):
        return milliwatts
    if not 0 < milliwatts < 1000 * MAX_W:
        return IMPLAUSIBLE
    return milliwatts / 1000
