"""What is read on the slow thread: PCIe and C2C traffic, fabric, recovery action, repairs."""

from __future__ import annotations

import time
from ctypes import byref
from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from nvltop.model import NOT_SUPPORTED, C2cTraffic, Fabric, Maybe, Missing, PcieTraffic, known
from nvltop.nvml import device as facts
from nvltop.nvml.device import Device
from nvltop.nvml.driver import UNSUPPORTED, Driver, Refused, reason, within
from nvltop.nvml.fields import Fields

PCIE_BYTES: Final = Fields((197, 0), (198, 0))
"""TX and RX."""
RECOVERY_ACTION: Final = 230

GPM_PCIE: Final = (20, 21)
GPM_C2C: Final = (100, 101)
"""Total TX and RX of PCIe and of C2C, in MiB/s."""
MIB: Final = 1 << 20
MOST_MIB: Final = 1e8
"""MiB/s that no PCIe or C2C link carries (a hundred TB/s)."""

FABRIC_STATES: Final = {1: "not-started", 2: "in-progress", 3: "completed"}
HEALTH: Final = {1: "healthy", 2: "unhealthy", 3: "limited-capacity"}
BANDWIDTH_MODES: Final = {0: "full", 1: "off", 2: "min", 3: "half", 4: "3quarter"}


@dataclass(slots=True)
class SlowReader:
    """Reads one GPU's values that are slow to get or slow to change."""

    driver: Driver
    device: Device
    _refused: Refused = field(default_factory=Refused, init=False)
    _bytes: tuple[float, int, int] | None = field(default=None, init=False)
    _wide: bool = field(default=False, init=False)
    _samples: list[Any] = field(default_factory=list, init=False)

    def traffic(self) -> tuple[PcieTraffic, C2cTraffic]:
        """Read PCIe and C2C throughput: byte counters, else GPM, else the call that takes 20 ms."""
        metrics = self._gpm((*GPM_PCIE, *GPM_C2C))
        c2c = C2cTraffic(metrics[2], metrics[3])
        counted = self._counted()
        if counted:
            return counted, c2c
        if known(metrics[0]) and known(metrics[1]):
            return PcieTraffic(metrics[0], metrics[1], "gpm"), c2c
        if metrics[0] in UNSUPPORTED:
            return PcieTraffic(self._throughput(0), self._throughput(1), "20ms"), c2c
        return PcieTraffic(metrics[0], metrics[1], "gpm"), c2c

    def fabric(self) -> Fabric:
        """Read the fabric's state and what the driver asks for."""
        now = time.monotonic()
        info = self._refused.ask("fabric", now, self._fabric_info)
        remapped = self._ask(now, pynvml.nvmlDeviceGetRemappedRows)
        action = self._refused.ask(
            "recovery",
            now,
            lambda: facts.field(self.driver, self.device.handle, self.device.index, RECOVERY_ACTION),
        )
        mode = self._refused.ask("bandwidth mode", now, self._bandwidth_mode)
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
        return self._refused.ask(
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
        values = self._refused.ask("pcie bytes", now, self._byte_counters)
        if isinstance(values, Missing):
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
            return answer
        unread = next((v for v in answer.values if isinstance(v, Missing)), None)
        return unread or tuple(answer.values)

    def _throughput(self, direction: int) -> Maybe[float]:
        kb = self._refused.ask(
            f"pcie {direction}",
            time.monotonic(),
            lambda: self.driver.call(
                pynvml.nvmlDeviceGetPcieThroughput, self.device.handle, direction, gpu=self.device.index
            ),
        )
        # The header says KB/s; nvidia-smi prints the same number as MB/s over 1000.
        return kb if isinstance(kb, Missing) else kb * 1000.0

    def _gpm(self, metrics: tuple[int, ...]) -> tuple[Maybe[float], ...]:
        """Read GPM metrics over the time since the call before, in bytes/s."""
        answer = self._refused.ask("gpm", time.monotonic(), self._gpm_sample)
        if isinstance(answer, Missing):
            return (answer,) * len(metrics)
        if len(self._samples) < 2:
            return (Missing("not read yet"),) * len(metrics)
        request = pynvml.c_nvmlGpmMetricsGet_t()
        request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(metrics)
        request.sample1, request.sample2 = self._samples
        for slot, metric in zip(request.metrics, metrics, strict=False):
            slot.metricId = metric
        answer = self.driver.call(pynvml.nvmlGpmMetricsGet, request, gpu=self.device.index)
        if isinstance(answer, Missing):
            return (answer,) * len(metrics)
        return tuple(
            reason(slot.nvmlReturn) if slot.nvmlReturn else _bytes(slot.value)
            for slot in request.metrics[: len(metrics)]
        )

    def _gpm_sample(self) -> Any:
        """Take a sample into the older of two buffers, so that `_samples` is (before, now)."""
        if not self._samples:
            support = self.driver.call(
                pynvml.nvmlGpmQueryDeviceSupport, self.device.handle, gpu=self.device.index
            )
            if isinstance(support, Missing) or not support.isSupportedDevice:
                return support if isinstance(support, Missing) else NOT_SUPPORTED
        if len(self._samples) < 2:
            buffer = self.driver.call(pynvml.nvmlGpmSampleAlloc, gpu=self.device.index)
        else:
            buffer = self._samples.pop(0)
        if isinstance(buffer, Missing):
            return buffer
        taken = self.driver.call(pynvml.nvmlGpmSampleGet, self.device.handle, buffer, gpu=self.device.index)
        if isinstance(taken, Missing):
            self.driver.call(pynvml.nvmlGpmSampleFree, buffer, gpu=self.device.index)
            return taken
        self._samples.append(buffer)
        return True


def _bytes(mib: float) -> Maybe[float]:
    """Turn MiB/s into bytes/s; GPM gives quotients of two samples, which need not be numbers."""
    value: Maybe[float] = within(mib, 0, MOST_MIB)
    return value * MIB if known(value) else value


def _uuid(raw: bytes) -> Maybe[str]:
    """Write a cluster UUID; all zero means a node of its own."""
    if not any(raw):
        return Missing("none: not part of a multi-node fabric")
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
