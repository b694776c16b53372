"""Utilisation, memory, power, temperature and clocks of one GPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from nvltop.model import NOT_READ, NOT_SUPPORTED, Gauges, Maybe, Missing, known
from nvltop.nvml.device import Device
from nvltop.nvml.driver import IMPLAUSIBLE, UNSUPPORTED, Driver, Refused, within
from nvltop.nvml.fields import Fields
from nvltop.nvml.power import AVERAGE, INSTANT, watts

REASONS_EVERY: Final = 5
LINK_EVERY: Final = 10
"""Event reasons are read at every fifth turn; P-state, PCIe generation and width at every tenth."""
THROTTLED: Final = {"power_cap_s": 74, "sw_thermal_s": 269, "hw_thermal_s": 270, "power_brake_s": 271}
"""Fields that count the nanoseconds in which clocks were throttled (NVML_FI_DEV_CLOCKS_EVENT_REASON_*), by
field of `Gauges`."""
RENUMBERED: Final = 269
NEEDS_BRANCH: Final = 580
"""Driver branch from which fields 269 and later mean that: 575 counts throttling in 251 to 253, and has power
smoothing in 269 to 271."""
TOO_OLD: Final = Missing(f"needs driver {NEEDS_BRANCH} or later")
MOST_NS: Final = 10**18
"""More than the thirty years that no driver stays loaded."""
BATCH: Final = Fields(*((f, 0) for f in (AVERAGE, INSTANT, *THROTTLED.values())))
GPU_SENSOR: Final = 0
SM_CLOCK: Final = 1


@dataclass(slots=True)
class GaugeReader:
    """Reads the gauges of one GPU; what it does not support is asked once and rarely again."""

    driver: Driver
    device: Device
    _refused: Refused = field(default_factory=Refused, init=False)
    _turn: int = field(default=0, init=False)
    _reasons: Maybe[int] = field(default=NOT_READ, init=False)
    _link: tuple[Any, ...] = field(default=(), init=False)
    """P-state, PCIe generation and width."""

    def read(self, now: float) -> Gauges:
        """Read all gauges."""
        if self._turn % REASONS_EVERY == 0:
            self._reasons = self._event_reasons(now)
        unread = any(isinstance(v, Missing) for v in self._link)
        if self._turn % (REASONS_EVERY if unread else LINK_EVERY) == 0:
            self._link = (
                self._ask(now, pynvml.nvmlDeviceGetPerformanceState),
                within(self._ask(now, pynvml.nvmlDeviceGetCurrPcieLinkGeneration), 1, 16),
                within(self._ask(now, pynvml.nvmlDeviceGetCurrPcieLinkWidth), 1, 32),
            )
        self._turn += 1
        pstate, gen, width = self._link
        used, total = self._memory(now)
        util = self._ask(now, pynvml.nvmlDeviceGetUtilizationRates)
        power, throttled = self._batch(now)
        return Gauges(
            util_percent=util if isinstance(util, Missing) else within(util.gpu, 0, 100),
            memory_used_bytes=used,
            memory_total_bytes=total,
            power_w=power,
            temperature_c=within(self._ask(now, pynvml.nvmlDeviceGetTemperature, GPU_SENSOR), -60, 250),
            sm_clock_mhz=within(self._ask(now, pynvml.nvmlDeviceGetClockInfo, SM_CLOCK), 0, 20_000),
            pstate=within(pstate, 0, 15),
            event_reasons=self._reasons,
            pcie_gen=gen,
            pcie_width=width,
            **throttled,
        )

    def _batch(self, now: float) -> tuple[Maybe[float], dict[str, Maybe[float]]]:
        """Read the power and the throttle times in one call; the power by its own call where that fails."""
        answer = self._refused.ask(
            "batch", now, lambda: BATCH.read(self.driver, self.device.handle, self.device.index)
        )
        if isinstance(answer, Missing):
            power = self._power_by_call(now) if answer in UNSUPPORTED else answer
            return power, dict.fromkeys(THROTTLED, answer)
        average, instant, *times = answer.values
        # As `nvmlDeviceGetPowerUsage` does: the mean over a second where the board has one.
        power = watts(average)
        if isinstance(power, Missing):
            power = watts(instant)
        if power in UNSUPPORTED or power == IMPLAUSIBLE:
            power = self._power_by_call(now)
        return power, {
            name: self._seconds(field_id, ns)
            for (name, field_id), ns in zip(THROTTLED.items(), times, strict=True)
        }

    def _power_by_call(self, now: float) -> Maybe[float]:
        power = self._ask(now, pynvml.nvmlDeviceGetPowerUsage)
        return power if isinstance(power, Missing) else within(power / 1000, 0, 100_000)

    def _seconds(self, field_id: int, ns: Maybe[int]) -> Maybe[float]:
        if isinstance(ns, Missing):
            return ns
        if field_id >= RENUMBERED and (self.driver.branch() or 0) < NEEDS_BRANCH:
            return TOO_OLD
        return round(ns / 1e9, 3) if 0 <= ns < MOST_NS else IMPLAUSIBLE

    def _ask(self, now: float, function: Any, *args: Any) -> Any:
        return self._refused.ask(
            function.__name__ + repr(args),
            now,
            lambda: self.driver.call(function, self.device.handle, *args, gpu=self.device.index),
        )

    def _memory(self, now: float) -> tuple[Maybe[int], Maybe[int]]:
        # Version 2 leaves the driver's reserve out of "used", as nvidia-smi does.
        answer = self._ask(now, pynvml.nvmlDeviceGetMemoryInfo, pynvml.nvmlMemory_v2)
        if isinstance(answer, Missing) and answer != NOT_SUPPORTED:
            answer = self._ask(now, pynvml.nvmlDeviceGetMemoryInfo)
        if isinstance(answer, Missing):
            return answer, answer
        if not 0 < answer.total < 1 << 50 or answer.used > answer.total:
            absurd = Missing(f"implausible value {answer.used} of {answer.total}")
            return absurd, absurd
        return answer.used, answer.total

    def _event_reasons(self, now: float) -> Maybe[int]:
        reasons = self._ask(now, pynvml.nvmlDeviceGetCurrentClocksEventReasons)
        if known(reasons):
            return int(reasons)
        return self._ask(now, pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)  # type: ignore[no-any-return]
