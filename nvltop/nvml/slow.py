"""What is read on the slow thread: PCIe and C2C traffic, fabric, recovery action, repairs."""

from __future__ import annotations

import time
from ctypes import byref
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pynvml

from nvltop.model import NOT_READ, NOT_SUPPORTED, C2cTraffic, Fabric, Maybe, Missing, PcieTraffic, known
from nvltop.nvml import device as facts
from nvltop.nvml.compute import GPM_METRICS as GPM_COMPUTE
from nvltop.nvml.compute import NO_TRAFFIC
from nvltop.nvml.device import Device
from nvltop.nvml.driver import UNSUPPORTED, Driver, UnsupportedCache, reason
from nvltop.nvml.fields import FieldRequest
from nvltop.nvml.gpm import GpmSpan, GpmStream, mib_to_bytes_per_s
from nvltop.nvml.power import POWER_INSTANT, watts

PCIE_BYTES: Final = FieldRequest((197, 0), (198, 0), (POWER_INSTANT, 0))
"""TX and RX, and the power in the same call."""
SLOW_S: Final = 0.5
"""Seconds from which a call takes too long for a rate; readings of the byte counters are 2 s apart."""
RECOVERY_ACTION: Final = 230

NOT_REPORTED: Final = Missing("not reported by this driver")

GPM_PCIE: Final = (20, 21)
GPM_C2C: Final = (100, 101)
"""Total TX and RX of PCIe and of C2C, in MiB/s."""
GPM_LONGEST_S: Final = 60.0
"""Longest span that metrics are taken over."""
GPM_SHARE: Final = 0.004
"""Share of the time that GPM samples on this clock may take."""
BLOCKING_S: Final = 5.0
"""How often PCIe throughput is read where each direction takes 20 ms: 0.8 % of the time."""

FABRIC_STATES: Final = {1: "not-started", 2: "in-progress", 3: "completed"}
HEALTH: Final = {1: "healthy", 2: "unhealthy", 3: "limited-capacity"}
BANDWIDTH_MODES: Final = {0: "full", 1: "off", 2: "min", 3: "half", 4: "3quarter"}


class Traffic(NamedTuple):
    """What one reading of PCIe and C2C gave; None for what was not read this time."""

    pcie: PcieTraffic | None
    c2c: C2cTraffic | None
    span: Maybe[GpmSpan]
    """GPM's answer, whose values begin with those of `GPM_COMPUTE`."""
    power_w: Maybe[float]
    """Power of the moment."""


@dataclass(slots=True)
class SlowReader:
    """Reads one GPU's values that are slow to get or slow to change."""

    driver: Driver
    device: Device
    gpm: GpmStream
    _refused: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _bytes: tuple[float, int, int] | None = field(default=None, init=False)
    _wide: bool = field(default=False, init=False)
    _power_w: Maybe[float] = field(default=NO_TRAFFIC, init=False)
    _gpm_cost_s: float = field(default=0.0, init=False)
    """Seconds that the last GPM sample took."""
    _gpm_next_s: float = field(default=0.0, init=False)
    _blocking_next_s: float = field(default=0.0, init=False)

    def traffic(self) -> Traffic:
        """Read PCIe and C2C throughput: byte counters, else GPM, else the call that takes 20 ms."""
        counted = self._counted()
        start_s = time.monotonic()
        if start_s < self._gpm_next_s:
            return Traffic(counted, None, NOT_READ, self._power_w)
        span = self.gpm.read((*GPM_COMPUTE, *GPM_PCIE, *GPM_C2C), GPM_LONGEST_S)
        before_s, self._gpm_cost_s = self._gpm_cost_s, time.monotonic() - start_s
        # One long sample may be chance, or the first one.
        self._gpm_next_s = start_s + min(before_s, self._gpm_cost_s) / GPM_SHARE
        if isinstance(span, Missing):
            pcie, c2c = PcieTraffic(span, span, "gpm"), C2cTraffic(span, span)
        else:
            tx, rx, c2c_tx, c2c_rx = map(mib_to_bytes_per_s, span.values[len(GPM_COMPUTE) :])
            pcie, c2c = PcieTraffic(tx, rx, "gpm"), C2cTraffic(c2c_tx, c2c_rx)
        if counted:
            return Traffic(counted, c2c, span, self._power_w)
        if pcie.tx_bytes_per_s in UNSUPPORTED:
            return Traffic(self._blocking(start_s), c2c, span, self._power_w)
        return Traffic(pcie, c2c, span, self._power_w)

    def fabric(self) -> Fabric:
        """Read the fabric's state and what the driver asks for."""
        now = time.monotonic()
        info = self._refused.get("fabric", now, self._fabric_info)
        remapped = self._ask(now, pynvml.nvmlDeviceGetRemappedRows)
        action = self._refused.get(
            "recovery",
            now,
            lambda: facts.read_field(self.driver, self.device.handle, self.device.index, RECOVERY_ACTION),
        )
        if action in UNSUPPORTED and action != NOT_SUPPORTED:
            # A driver that does not know the field refuses it in several ways, as an invalid argument, too.
            action = NOT_REPORTED
        mode = self._refused.get("bandwidth mode", now, self._bandwidth_mode)
        if isinstance(remapped, Missing):
            remapped = (remapped,) * 4
        _, rows, pending, failed = remapped
        common = {
            "recovery_action": action,
            "bandwidth_mode": mode,
            "remap_pending": pending if isinstance(pending, Missing) else bool(pending),
            "remap_failed": failed if isinstance(failed, Missing) else bool(failed),
            "remapped_rows": rows,
        }
        if isinstance(info, Missing):
            return Fabric(info, info, info, info, info, info, **common)
        summary = getattr(info, "healthSummary", 0)
        status = reason(info.status).reason if info.status else "success"
        return Fabric(
            state=FABRIC_STATES.get(info.state, f"state {info.state}"),
            status=status if info.state == 3 else Missing("fabric is not set up yet"),
            health_mask=info.healthMask,
            health_summary=HEALTH.get(summary) or Missing("not told by this GPU"),
            clique_id=info.cliqueId,
            cluster_uuid=_uuid(bytes(info.clusterUuid)),
            **common,
        )

    def _ask(self, now: float, function: Any, *args: Any) -> Any:
        return self._refused.get(
            function.__name__,
            now,
            lambda: self.driver.call(function, self.device.handle, *args, gpu=self.device.index),
        )

    def _fabric_info(self) -> Any:
        answer: Any = NOT_SUPPORTED
        for kind in (pynvml.c_nvmlGpuFabricInfo_v3_t, pynvml.c_nvmlGpuFabricInfo_v2_t):
            info = kind()
            answer = self.driver.call(
                pynvml.nvmlDeviceGetGpuFabricInfoV, self.device.handle, byref(info), gpu=self.device.index
            )
            if known(answer):
                return info if info.state else NOT_SUPPORTED
        return answer

    def _bandwidth_mode(self) -> Any:
        mode = pynvml.c_nvmlNvlinkGetBwMode_v1_t()
        mode.version = pynvml.nvmlNvlinkGetBwMode_v1
        answer = self.driver.call(
            pynvml.nvmlDeviceGetNvlinkBwMode, self.device.handle, byref(mode), gpu=self.device.index
        )
        return (
            answer if isinstance(answer, Missing) else BANDWIDTH_MODES.get(mode.bwMode, f"mode {mode.bwMode}")
        )

    def _counted(self) -> PcieTraffic | None:
        """Rates from the byte counters, once they were seen to be wider than 32 bits.

        At 64 GB/s a 32-bit counter wraps every 67 ms, between any two readings more than once.
        """
        now = time.monotonic()
        self._power_w = NO_TRAFFIC
        values = self._refused.get("pcie bytes", now, self._byte_counters)
        if isinstance(values, Missing):
            return None
        if time.monotonic() - now > SLOW_S:
            self._bytes = None  # nobody knows when in that time the driver took the counts
            return None
        before, self._bytes = self._bytes, (now, *values)
        self._wide = self._wide or max(values) >= 1 << 32
        if not self._wide or not before:
            return None
        seconds = now - before[0]
        tx, rx = (after - earlier for after, earlier in zip(values, before[1:], strict=True))
        if tx < 0 or rx < 0 or seconds <= 0:
            again = Missing("the PCIe counters were reset")
            return PcieTraffic(again, again, "byte-counter")
        return PcieTraffic(tx / seconds, rx / seconds, "byte-counter")

    def _byte_counters(self) -> Any:
        answer = PCIE_BYTES.read(self.driver, self.device.handle, self.device.index)
        if isinstance(answer, Missing):
            self._power_w = answer
            return answer
        *counts, power = answer.values
        self._power_w = watts(power)
        unread = next((v for v in counts if isinstance(v, Missing)), None)
        return unread or tuple(counts)

    def _blocking(self, now: float) -> PcieTraffic | None:
        """Read the throughput by the call that measures for 20 ms, each direction by itself."""
        if now < self._blocking_next_s:
            return None
        # A little early rather than a whole turn late.
        self._blocking_next_s = now + 0.9 * BLOCKING_S
        return PcieTraffic(self._throughput(0), self._throughput(1), "20ms")

    def _throughput(self, direction: int) -> Maybe[float]:
        kb = self._refused.get(
            f"pcie {direction}",
            time.monotonic(),
            lambda: self.driver.call(
                pynvml.nvmlDeviceGetPcieThroughput, self.device.handle, direction, gpu=self.device.index
            ),
        )
        # The header says KB/s; nvidia-smi prints the same number as MB/s over 1000.
        return kb if isinstance(kb, Missing) else kb * 1000.0


def _uuid(raw: bytes) -> Maybe[str]:
    """Write a cluster UUID; all zero means a node of its own."""
    if not any(raw):
        return Missing("none: not part of a multi-node fabric")
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
