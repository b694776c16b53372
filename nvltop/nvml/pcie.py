"""PCIe throughput of one GPU, from byte counters or from the call that measures for 20 ms."""

from __future__ import annotations

import time
from dataclasses import field
from typing import Any, Final

import pynvml

from nvltop.frozen import mutable
from nvltop.model import PCIE_SAMPLED, Maybe, Missing, PcieTraffic, first_missing
from nvltop.nvml.compute import NO_TRAFFIC
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver, UnsupportedCache
from nvltop.nvml.fields import FieldRequest
from nvltop.nvml.power import POWER_INSTANT, watts

PCIE_COUNTERS: Final = FieldRequest((197, 0), (198, 0), (POWER_INSTANT, 0))
"""Bytes transmitted and received, and the power in the same call."""
MAX_CALL_S: Final = 0.5
"""Duration of the call, seconds, above which its counters give no rate; readings are 2 s apart."""
MIN_64_BIT_COUNT: Final = 1 << 32
"""Smallest count that proves that a counter is wider than 32 bits."""
MEASURE_INTERVAL_S: Final = 5.0
"""Interval of the 20 ms calls, seconds: both directions take 0.8 % of the time."""
COUNTERS_RESET: Final = Missing("the PCIe counters were reset")


@mutable
class PcieReader:
    """Reader of the PCIe throughput of one GPU."""

    driver: Driver
    device: Device
    power_w: Maybe[float] = field(default=NO_TRAFFIC, init=False)
    """Power at the last reading of the byte counters, watts."""
    _unsupported: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _last: tuple[float, int, int] | None = field(default=None, init=False)
    """Time and counts of the last reading."""
    _is_64_bit: bool = field(default=False, init=False)
    _next_measurement_s: float = field(default=0.0, init=False)

    def read_counters(self) -> PcieTraffic | None:
        """Return rates from the byte counters; None without a usable pair of readings.

        A counter is used once it has been seen to be wider than 32 bits: at 64 GB/s a 32-bit counter wraps
        every 67 ms, so several times between two readings.
        """
        now = time.monotonic()
        self.power_w = NO_TRAFFIC
        counts = self._unsupported.get("counters", now, self._counts)
        if isinstance(counts, Missing):
            return None
        if time.monotonic() - now > MAX_CALL_S:
            self._last = None  # it is unknown when during the call the driver took the counts
            return None
        last, self._last = self._last, (now, *counts)
        self._is_64_bit = self._is_64_bit or max(counts) >= MIN_64_BIT_COUNT
        if not self._is_64_bit or not last:
            return None
        seconds = now - last[0]
        tx, rx = (after - before for after, before in zip(counts, last[1:], strict=True))
        if tx < 0 or rx < 0 or seconds <= 0:
            return PcieTraffic(COUNTERS_RESET, COUNTERS_RESET, "byte-counter")
        return PcieTraffic(tx / seconds, rx / seconds, "byte-counter")

    def measure(self, now: float) -> PcieTraffic | None:
        """Return the throughput that the driver measures for 20 ms in each direction; None if not yet due."""
        if now < self._next_measurement_s:
            return None
        # Slightly early rather than one reading late.
        self._next_measurement_s = now + 0.9 * MEASURE_INTERVAL_S
        return PcieTraffic(self._throughput(0), self._throughput(1), PCIE_SAMPLED)

    def _counts(self) -> Any:
        answer = PCIE_COUNTERS.read(self.driver, self.device.handle, self.device.index)
        if isinstance(answer, Missing):
            self.power_w = answer
            return answer
        *counts, power = answer.values
        self.power_w = watts(power)
        unread = first_missing(counts)
        return unread or tuple(counts)

    def _throughput(self, counter: int) -> Maybe[float]:
        kb = self._unsupported.get(
            f"throughput {counter}",
            time.monotonic(),
            lambda: self.driver.call(
                pynvml.nvmlDeviceGetPcieThroughput, self.device.handle, counter, gpu=self.device.index
            ),
        )
        # nvml.h gives KB/s as the unit; nvidia-smi divides by 1000 and prints MB/s.
        return kb if isinstance(kb, Missing) else kb * 1000.0
