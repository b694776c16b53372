"""Power as field values (nvml.h, NVML_FI_DEV_POWER_*): of the moment, and the mean over a second."""

from __future__ import annotations

from typing import Final

from nvltop.model import Maybe, Missing
from nvltop.nvml.driver import IMPLAUSIBLE

POWER_AVERAGE: Final = 185
"""Mean over a second: Ampere and later, but for GA100."""
POWER_INSTANT: Final = 186
"""Power of the moment: all boards; driver 530 or later."""
MAX_W: Final = 100_000


def watts(milliwatts: Maybe[int]) -> Maybe[float]:
    """Return milliwatts as watts.

    A GPU that answers draws some power: 0 is what drivers say of fields that they do not know.
    """
    if isinstance(milliwatts, Missing):
        return milliwatts
    if not 0 < milliwatts < 1000 * MAX_W:
        return IMPLAUSIBLE
    return milliwatts / 1000
