"""Roles for utilization, memory, power and temperature, by how near each is to its limit.

`load0` is idle, `load1` normal, `load2` high, `load3` at a limit. A busy GPU with much of its memory in use
is what a user wants, so that a healthy training run shows nothing but `load1`.
"""

from __future__ import annotations

from typing import Final

from nvltop.model import NOT_READ, Maybe, known

IDLE_SHARE: Final = 0.1
"""Share below which a GPU counts as idle, as in nvitop."""
HIGH_SHARE: Final = 0.95
"""Share of memory or of the power limit from which it is high: little is left for a peak."""
FULL_SHARE: Final = 0.99
"""Share of the memory from which it counts as full: the next allocation may fail."""
HOT_C: Final = 85.0
"""Temperature in degrees Celsius that counts as the limit of a GPU that does not report one.

It is the maximum operating temperature of an A100. Since Ada, drivers report margins instead of thresholds,
and reading the margin would take a call a second.
"""
WARM_MARGIN_C: Final = 10.0
"""Degrees below the limit from which a temperature is shown as high (our own choice)."""


def utilization_role(percent: Maybe[float]) -> str:
    """Return the role of a utilization, 0 to 100."""
    if not known(percent):
        return ""
    return "load0" if percent < 100 * IDLE_SHARE else "load1"


def memory_role(used: Maybe[float], total: Maybe[float]) -> str:
    """Return the role of the used memory of a GPU."""
    if not known(used) or not known(total) or not total:
        return ""
    return "load3" if used >= total * FULL_SHARE else _share_role(used / total)


def power_role(power_w: Maybe[float], limit_w: Maybe[float]) -> str:
    """Return the role of a power, in watts."""
    return _share_role(power_w / limit_w) if known(power_w) and known(limit_w) and limit_w else ""


def temperature_role(
    temperature_c: Maybe[float], slowdown_c: Maybe[float] = NOT_READ, slowed_by_heat: bool = False
) -> str:
    """Return the role of a temperature, in degrees Celsius; a GPU that is slowed by heat is at its limit.

    The limit is the temperature from which the hardware slows the GPU down, else `HOT_C`.
    """
    if not known(temperature_c):
        return ""
    limit_c = slowdown_c if known(slowdown_c) else HOT_C
    if slowed_by_heat or temperature_c >= limit_c:
        return "load3"
    return "load2" if temperature_c >= limit_c - WARM_MARGIN_C else "load1"


def _share_role(share: float) -> str:
    return "load0" if share < IDLE_SHARE else "load1" if share < HIGH_SHARE else "load2"
