"""Utilization, memory, power, temperature and clocks of one GPU."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

import pynvml

from nvltop.frozen import mutable
from nvltop.model import NOT_READ, NOT_SUPPORTED, Gauges, Maybe, Missing, first_missing, known
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.device import Device
from nvltop.nvml.driver import IMPLAUSIBLE, Driver, UnsupportedCache, plausible
from nvltop.nvml.fields import FieldRequest
from nvltop.nvml.power import POWER_AVERAGE, POWER_INSTANT, watts

EVENT_REASONS_EVERY: Final = 5
PCIE_LINK_EVERY: Final = 10
"""Number of readings to one of the event reasons, and to one of P-state, PCIe generation and width.

The second is a multiple of the first, after which those of the other values that are missing are read again.
"""
THROTTLE_TIME_FIELDS: Final = (74, 269, 270, 271)
"""Field ids of the throttle times (NVML_FI_DEV_CLOCKS_EVENT_REASON_*), nanoseconds, as `Gauges` has them."""
FIRST_RENUMBERED_FIELD: Final = 269
MIN_BRANCH: Final = 580
"""Oldest driver branch in which fields 269 to 271 are throttle times.

Branch 575 has the throttle times in 251 to 253, and power smoothing in 269 to 271.
"""
BRANCH_TOO_OLD: Final = Missing(f"needs driver {MIN_BRANCH} or later")
MAX_THROTTLE_NS: Final = 10**18
"""Throttle time above which a value is implausible: 30 years."""
GAUGE_FIELDS: Final = FieldRequest(*((f, 0) for f in (POWER_AVERAGE, POWER_INSTANT, *THROTTLE_TIME_FIELDS)))
GPU_SENSOR: Final = 0
"""nvmlTemperatureSensors_t of the GPU."""
SM_CLOCK: Final = 1
"""nvmlClockType_t of the SMs."""
_member: Final = object.__getattribute__
"""Return a member of a structure, without the function in Python that `pynvml` calls for each."""


@mutable
class GaugeReader:
    """Reader of the gauges of one GPU; unsupported calls are rarely repeated."""

    driver: Driver
    device: Device
    _unsupported: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _reads: int = field(default=0, init=False)
    _reasons: Maybe[int] = field(default=NOT_READ, init=False)
    _pcie_link: tuple[Maybe[int], ...] = field(default=(), init=False)
    """P-state, PCIe generation and width."""
    _throttle_ns: tuple[list[Maybe[int]], int] = field(default=([], 0), init=False)
    """Throttle times as last read, ns, and the branch of the driver."""
    _throttle_s: tuple[Maybe[float], ...] = field(default=(), init=False)
    """The same times, seconds."""

    def read(self, now: float) -> Gauges:
        """Read all gauges; slowly changing ones are read less often and cached."""
        if self._reads % EVENT_REASONS_EVERY == 0:
            self._reasons = self._event_reasons(now)
            if self._reads % PCIE_LINK_EVERY == 0 or first_missing(self._pcie_link):
                self._pcie_link = (
                    plausible(self._call(now, pynvml.nvmlDeviceGetPerformanceState), 0, 15),
                    plausible(self._call(now, pynvml.nvmlDeviceGetCurrPcieLinkGeneration), 1, 16),
                    plausible(self._call(now, pynvml.nvmlDeviceGetCurrPcieLinkWidth), 1, 32),
                )
        self._reads += 1
        pstate, gen, width = self._pcie_link
        used, total = self._memory(now)
        util = self._call(now, pynvml.nvmlDeviceGetUtilizationRates)
        power, throttled_s = self._read_fields(now)
        power_cap_s, sw_thermal_s, hw_thermal_s, power_brake_s = throttled_s
        return Gauges(
            util_percent=util if type(util) is Missing else plausible(_member(util, "gpu"), 0, 100),
            memory_used_bytes=used,
            memory_total_bytes=total,
            power_w=power,
            temperature_c=plausible(self._call(now, pynvml.nvmlDeviceGetTemperature, GPU_SENSOR), -60, 250),
            sm_clock_mhz=plausible(self._call(now, pynvml.nvmlDeviceGetClockInfo, SM_CLOCK), 0, 20_000),
            pstate=pstate,
            event_reasons=self._reasons,
            pcie_gen=gen,
            pcie_width=width,
            power_cap_s=power_cap_s,
            sw_thermal_s=sw_thermal_s,
            hw_thermal_s=hw_thermal_s,
            power_brake_s=power_brake_s,
        )

    def _read_fields(self, now: float) -> tuple[Maybe[float], tuple[Maybe[float], ...]]:
        """Read power and throttle times in one call; if it lacks the power, by a call of its own."""
        answer = self._unsupported.get(
            "batch", now, lambda: GAUGE_FIELDS.read(self.driver, self.device.handle, self.device.index)
        )
        if isinstance(answer, Missing):
            power = self._power_by_call(now) if answer in UNSUPPORTED else answer
            return power, (answer,) * len(THROTTLE_TIME_FIELDS)
        average, instant, *times = answer.values
        # The mean over a second where the board has one, as with `nvmlDeviceGetPowerUsage`.
        power = watts(average)
        if isinstance(power, Missing):
            power = watts(instant)
        if power in UNSUPPORTED or power == IMPLAUSIBLE:
            power = self._power_by_call(now)
        branch = self.driver.branch() or 0
        if (times, branch) != self._throttle_ns:
            self._throttle_ns = times, branch
            self._throttle_s = tuple(
                _seconds(field_id, ns, branch)
                for field_id, ns in zip(THROTTLE_TIME_FIELDS, times, strict=True)
            )
        return power, self._throttle_s

    def _power_by_call(self, now: float) -> Maybe[float]:
        power = self._call(now, pynvml.nvmlDeviceGetPowerUsage)
        return power if isinstance(power, Missing) else plausible(power / 1000, 0, 100_000)

    def _call(self, now: float, function: Any, *args: Any) -> Any:
        device = self.device
        return self._unsupported.call(now, self.driver, function, (device.handle, *args), device.index)

    def _memory(self, now: float) -> tuple[Maybe[int], Maybe[int]]:
        # Version 2 does not count the driver's reserve as used; nvidia-smi does the same.
        answer = self._call(now, pynvml.nvmlDeviceGetMemoryInfo, pynvml.nvmlMemory_v2)
        if type(answer) is Missing and answer in UNSUPPORTED and answer != NOT_SUPPORTED:
            answer = self._call(now, pynvml.nvmlDeviceGetMemoryInfo)
        if type(answer) is Missing:
            return answer, answer
        used, total = _member(answer, "used"), _member(answer, "total")
        if not 0 < total < 1 << 50 or used > total:
            why = Missing(f"implausible value {used} of {total}")
            return why, why
        return used, total

    def _event_reasons(self, now: float) -> Maybe[int]:
        reasons = self._call(now, pynvml.nvmlDeviceGetCurrentClocksEventReasons)
        if known(reasons):
            return int(reasons)
        older: Maybe[int] = self._call(now, pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return older


def _seconds(field_id: int, ns: Maybe[int], branch: int) -> Maybe[float]:
    """Return a throttle time in seconds; fields of an old driver branch may be something else."""
    if isinstance(ns, Missing):
        return ns
    if field_id >= FIRST_RENUMBERED_FIELD and branch < MIN_BRANCH:
        return BRANCH_TOO_OLD
    return round(ns / 1e9, 3) if 0 <= ns < MAX_THROTTLE_NS else IMPLAUSIBLE
