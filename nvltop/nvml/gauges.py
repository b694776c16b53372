"""Utilisation, memory, power, temperature and clocks of one GPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from nvltop.model import NOT_SUPPORTED, Gauges, Maybe, Missing, known
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver, Refused, within

SLOW_EVERY: Final = 5
"""PCIe generation and width, P-state and event reasons are read at every fifth turn."""
GPU_SENSOR: Final = 0
SM_CLOCK: Final = 1


@dataclass(slots=True)
class GaugeReader:
    """Reads the gauges of one GPU; what it does not support is asked once and rarely again."""

    driver: Driver
    device: Device
    _refused: Refused = field(default_factory=Refused, init=False)
    _turn: int = field(default=0, init=False)
    _slow: tuple[Any, ...] = field(default=(), init=False)

    def read(self, now: float) -> Gauges:
        """Read all gauges."""
        if self._turn % SLOW_EVERY == 0:
            self._slow = (
                self._ask(now, pynvml.nvmlDeviceGetPerformanceState),
                self._event_reasons(now),
                within(self._ask(now, pynvml.nvmlDeviceGetCurrPcieLinkGeneration), 1, 16),
                within(self._ask(now, pynvml.nvmlDeviceGetCurrPcieLinkWidth), 1, 32),
            )
        self._turn += 1
        pstate, reasons, gen, width = self._slow
        used, total = self._memory(now)
        util = self._ask(now, pynvml.nvmlDeviceGetUtilizationRates)
        power = self._ask(now, pynvml.nvmlDeviceGetPowerUsage)
        return Gauges(
            util_percent=util if isinstance(util, Missing) else within(util.gpu, 0, 100),
            memory_used_bytes=used,
            memory_total_bytes=total,
            power_w=power if isinstance(power, Missing) else within(power / 1000, 0, 100_000),
            temperature_c=within(self._ask(now, pynvml.nvmlDeviceGetTemperature, GPU_SENSOR), -60, 250),
            sm_clock_mhz=within(self._ask(now, pynvml.nvmlDeviceGetClockInfo, SM_CLOCK), 0, 20_000),
            pstate=within(pstate, 0, 15),
            event_reasons=reasons,
            pcie_gen=gen,
            pcie_width=width,
        )

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
