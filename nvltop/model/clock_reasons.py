"""Reasons why the driver lowers the clocks of a GPU: bits of `Gauges.event_reasons` (nvml.h)."""

from __future__ import annotations

from typing import Final

SW_POWER_CAP: Final = 0x4
"""nvmlClocksEventReasonSwPowerCap: the power limit."""
SW_THERMAL: Final = 0x20
"""nvmlClocksEventReasonSwThermalSlowdown: the driver's thermal limit."""
HW_THERMAL: Final = 0x40
"""nvmlClocksEventReasonHwThermalSlowdown: the hardware's thermal slowdown."""
POWER_BRAKE: Final = 0x80
"""nvmlClocksEventReasonHwPowerBrakeSlowdown: the external power brake, such as of the power supply."""
