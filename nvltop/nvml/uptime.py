"""The time at which the driver initialised a GPU, since which the driver's counters count."""

from __future__ import annotations

from ctypes import Structure, byref, c_uint
from dataclasses import field
from typing import Any, ClassVar, Final

from nvltop.frozen import mutable
from nvltop.model import Maybe, Missing
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver, UnsupportedCache, plausible
from nvltop.nvml.library import library_call

READ_UPTIME: Final = library_call("nvmlDeviceGetGpuUptime_v1")
"""`pynvml` lacks this function."""
MAX_UPTIME_S: Final = 1_000_000_000
"""Uptime in seconds above which a value is implausible: 31 years."""
TOLERANCE_S: Final = 3.0
"""Deviation in seconds that is due to rounding: the driver reports whole seconds, and the call takes time."""


class GpuUptime(Structure):
    """nvmlGpuUptime_v1_t, which `pynvml` lacks."""

    _fields_: ClassVar = [("uptime", c_uint)]


@mutable
class UptimeReader:
    """Reader of the time at which the driver initialised one GPU; only new drivers report it (R620)."""

    driver: Driver
    device: Device
    _unsupported: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _initialised_s: float | None = field(default=None, init=False)

    def read(self, now: float) -> Maybe[float]:
        """Return CLOCK_MONOTONIC at which the driver initialised the GPU, in whole seconds.

        The value changes only if the driver initialised the GPU again.
        """
        uptime_s = self._unsupported.get("uptime", now, self._uptime)
        if isinstance(uptime_s, Missing):
            return uptime_s
        initialised_s = float(round(now - uptime_s))
        if self._initialised_s is None or abs(initialised_s - self._initialised_s) > TOLERANCE_S:
            self._initialised_s = initialised_s
        return self._initialised_s

    def _uptime(self) -> Any:
        answer = GpuUptime()
        failure = self.driver.call(READ_UPTIME, self.device.handle, byref(answer), gpu=self.device.index)
        return failure if isinstance(failure, Missing) else plausible(answer.uptime, 0, MAX_UPTIME_S)
