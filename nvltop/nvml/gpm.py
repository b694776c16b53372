"""GPM (GPU performance monitoring) of Hopper and later: samples, and metrics between two of them."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, Final, NamedTuple

import pynvml

from nvltop.model import NOT_READ, NOT_SUPPORTED, Maybe, Missing
from nvltop.nvml.device import Device
from nvltop.nvml.driver import IMPLAUSIBLE, NO_PERMISSION, UNSUPPORTED, Driver, UnsupportedCache, reason

MIN_SPAN_S: Final = 0.1
"""Samples must be further apart than this: the hardware refreshes them no faster (nvmlGpmMetricsGet)."""
FAILED_SAMPLE_RETRY_S: Final = 10.0
"""How long a GPU whose sample failed for a reason that may pass is left alone."""
TOO_SOON: Final = Missing("sampled less than 0.1 s ago")
MIB: Final = 1 << 20
MAX_MIB_PER_S: Final = 1e7
"""Ten times what the fastest C2C link carries."""
NO_PERMISSION_NOTE: Final = (
    "GPM: no permission; run as root, or load the nvidia module with NVreg_RestrictProfilingToAdminUsers=0"
)


class GpmSpan(NamedTuple):
    """Metrics over the time between two samples."""

    start_s: float
    """CLOCK_MONOTONIC at the first sample."""
    end_s: float
    values: tuple[Maybe[float], ...]
    """As the driver gives them, in the order in which they were asked for; see `share` and `rate`."""


class Gpm:
    """GPM of one GPU: whether it answers. Thread-safe."""

    def __init__(self, driver: Driver, device: Device) -> None:
        self.driver, self.device = driver, device
        self._lock = threading.Lock()
        self._unavailable: tuple[float, Missing] | None = None
        self._supported = False

    def unavailable(self, now: float) -> Missing | None:
        """Return why GPM does not answer; asks for support once, and again after ten minutes."""
        with self._lock:
            if self._unavailable and now < self._unavailable[0]:
                return self._unavailable[1]
            if self._supported:
                return None
        support = self.driver.call(
            pynvml.nvmlGpmQueryDeviceSupport, self.device.handle, gpu=self.device.index
        )
        if isinstance(support, Missing):
            return self.mark_unavailable(support, now)
        if not support.isSupportedDevice:
            return self.mark_unavailable(NOT_SUPPORTED, now)
        self._supported = True
        return None

    def mark_unavailable(self, why: Missing, now: float) -> Missing:
        """Remember why a call failed, so that it is not repeated at every turn."""
        lasting = why in UNSUPPORTED or why == NO_PERMISSION
        with self._lock:
            self._unavailable = now + (UnsupportedCache.RETRY_S if lasting else FAILED_SAMPLE_RETRY_S), why
        return why


class GpmStream:
    """Metrics of one GPU from one reading to the next, with sample buffers of its own. For one thread."""

    def __init__(self, gpm: Gpm) -> None:
        self._gpm = gpm
        self._request = pynvml.c_nvmlGpmMetricsGet_t()
        self._request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self._buffers: list[Any] = []
        """Allocated ones, of which at most two are needed; the last is that of `_before_s`."""
        self._before_s: float | None = None
        # Only noted: the collector runs inside other driver calls, whose lock a call would wait for.
        weakref.finalize(self, gpm.driver.unused_samples.extend, self._buffers).atexit = False

    def read(self, metrics: tuple[int, ...], longest_s: float) -> Maybe[GpmSpan]:
        """Take a sample, and return metrics over the time since the one before.

        Samples further apart than `longest_s` are not held against each other.
        """
        now = time.monotonic()
        refusal = self._gpm.unavailable(now)
        if refusal:
            return refusal
        before_s = self._before_s
        if before_s is not None and now - before_s < MIN_SPAN_S:
            return TOO_SOON
        failure = self._sample()
        if failure:
            return self._gpm.mark_unavailable(failure, now)
        self._before_s = now
        if before_s is None or now - before_s > longest_s:
            return NOT_READ
        values = self._metrics(metrics)
        return values if isinstance(values, Missing) else GpmSpan(before_s, now, values)

    def _sample(self) -> Missing | None:
        """Take a sample into the older buffer, which becomes the last; return why that failed."""
        driver, device, buffers = self._gpm.driver, self._gpm.device, self._buffers
        while driver.unused_samples:
            driver.call(pynvml.nvmlGpmSampleFree, driver.unused_samples.popleft())
        if len(buffers) < 2:
            buffer = driver.call(pynvml.nvmlGpmSampleAlloc, gpu=device.index)
            if isinstance(buffer, Missing):
                return buffer
            # The first is the oldest: the newest sample, if there is one, stays the last.
            buffers.insert(0, buffer)
        taken = driver.call(pynvml.nvmlGpmSampleGet, device.handle, buffers[0], gpu=device.index)
        if isinstance(taken, Missing):
            return taken
        buffers.append(buffers.pop(0))
        return None

    def _metrics(self, metrics: tuple[int, ...]) -> Maybe[tuple[Maybe[float], ...]]:
        request = self._request
        request.numMetrics = len(metrics)
        request.sample1, request.sample2 = self._buffers
        for slot, metric in zip(request.metrics, metrics, strict=False):
            # What the driver leaves alone must not give its last answer again.
            slot.metricId, slot.nvmlReturn, slot.value = metric, pynvml.NVML_ERROR_UNKNOWN, 0.0
        answer = self._gpm.driver.call(pynvml.nvmlGpmMetricsGet, request, gpu=self._gpm.device.index)
        if isinstance(answer, Missing):
            return answer
        return tuple(
            reason(slot.nvmlReturn) if slot.nvmlReturn else slot.value
            for slot in request.metrics[: len(metrics)]
        )


def percent_to_share(percent: Maybe[float]) -> Maybe[float]:
    """Return a percentage as a share, 0…1, with three digits; anything beyond that is no percentage."""
    if isinstance(percent, Missing):
        return percent
    # Not a number compares as false, too.
    return round(percent / 100, 3) + 0.0 if 0 <= percent < 100.05 else IMPLAUSIBLE


def mib_to_bytes_per_s(mib_per_s: Maybe[float]) -> Maybe[float]:
    """Return MiB/s as bytes/s."""
    if isinstance(mib_per_s, Missing):
        return mib_per_s
    return mib_per_s * MIB if 0 <= mib_per_s <= MAX_MIB_PER_S else IMPLAUSIBLE
