"""GPM (GPU performance monitoring, since Hopper): samples, and metrics between two samples."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Sequence
from ctypes import sizeof
from functools import cache
from typing import Any, Final, NamedTuple

import pynvml

from nvltop.model import NOT_READ, NOT_SUPPORTED, Maybe, Missing
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.device import Device
from nvltop.nvml.driver import IMPLAUSIBLE, NO_PERMISSION, Driver, UnsupportedCache, reason

MIN_SPAN_S: Final = 0.1
"""Shortest time between two samples that the hardware supports (nvmlGpmMetricsGet), seconds."""
FAILED_SAMPLE_RETRY_S: Final = 10.0
"""Time until GPM is tried again after a failure that may be temporary, seconds."""
TOO_SOON: Final = Missing("sampled less than 0.1 s ago")
MIB: Final = 1 << 20
MAX_MIB_PER_S: Final = 1e7
"""Rate above which a value is implausible: ten times that of the fastest C2C link."""
NO_PERMISSION_NOTE: Final = (
    "GPM: no permission; run as root, or load the nvidia module with NVreg_RestrictProfilingToAdminUsers=0"
)


_METRIC: Final = struct.Struct(f"@4xId{sizeof(pynvml.c_nvmlGpmMetric_t) - struct.calcsize('@4xId')}x")
"""Return code and value of an `nvmlGpmMetric_t`; the id is before them, its description after them."""


_SAMPLES: Final = ("sample1", "sample2")
_set_member: Final = object.__setattr__
"""Set a member of a structure, without the function in Python that `pynvml` calls for each."""


class GpmSpan(NamedTuple):
    """Metrics of the time between two samples."""

    start_s: float
    """CLOCK_MONOTONIC at the first sample."""
    end_s: float
    values: tuple[Maybe[float], ...]
    """Metrics in the driver's units and in the requested order.

    `percent_to_share` and `mib_to_bytes_per_s` convert them.
    """


class Gpm:
    """Availability of GPM on one GPU. Thread-safe."""

    def __init__(self, driver: Driver, device: Device) -> None:
        self.driver, self.device = driver, device
        self._lock = threading.Lock()
        self._unavailable: tuple[float, Missing] | None = None
        self._supported = False

    def unavailable(self, now: float) -> Missing | None:
        """Return why GPM is unavailable, or None; the driver is queried once, after a failure again later."""
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
        """Cache why a call failed, so that it is not repeated at each reading; return the reason."""
        permanent = why in UNSUPPORTED or why == NO_PERMISSION
        with self._lock:
            self._unavailable = now + (UnsupportedCache.RETRY_S if permanent else FAILED_SAMPLE_RETRY_S), why
        return why


class _MetricsRequest:
    """A request for the metrics between two samples, 19 kB."""

    def __init__(self, metrics: Sequence[int]) -> None:
        memory = bytearray(sizeof(pynvml.c_nvmlGpmMetricsGet_t))
        self.struct = pynvml.c_nvmlGpmMetricsGet_t.from_buffer(memory)
        self.struct.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self.struct.numMetrics = len(metrics)
        for slot, metric in zip(self.struct.metrics, metrics, strict=False):
            slot.metricId, slot.nvmlReturn = metric, pynvml.NVML_ERROR_UNKNOWN
        begin = pynvml.c_nvmlGpmMetricsGet_t.metrics.offset
        self.answer = memoryview(memory)[begin : begin + len(metrics) * _METRIC.size]
        """The part that the driver fills in."""
        self.unanswered = bytes(self.answer)


@cache
def _unused_requests(metrics: tuple[int, ...]) -> list[_MetricsRequest]:
    """Return the requests for these metrics that no thread uses; all GPUs share them."""
    return []


class GpmStream:
    """Metrics of one GPU from each reading to the next. Use it from one thread only."""

    def __init__(self, gpm: Gpm, metrics: Sequence[int]) -> None:
        """Initialize the stream of the metrics with these ids."""
        self._gpm = gpm
        self._metric_ids = tuple(metrics)
        self._buffers: list[Any] = []
        """At most two allocated buffers; the last one holds the sample taken at `_last_s`."""
        self._last_s: float | None = None

    def __del__(self) -> None:
        # No driver call is made here: this may run during one and would wait for its lock.
        self._gpm.driver.unused_samples.extend(self._buffers)

    def read(self, longest_s: float) -> Maybe[GpmSpan]:
        """Take a sample, and return the metrics of the time since the last one.

        Samples further apart than `longest_s` are not compared.
        """
        now = time.monotonic()
        why = self._gpm.unavailable(now)
        if why:
            return why
        last_s = self._last_s
        if last_s is not None and now - last_s < MIN_SPAN_S:
            return TOO_SOON
        failure = self._sample()
        if failure:
            return self._gpm.mark_unavailable(failure, now)
        self._last_s = now
        if last_s is None or now - last_s > longest_s:
            return NOT_READ
        values = self._metrics()
        return values if isinstance(values, Missing) else GpmSpan(last_s, now, values)

    def _sample(self) -> Missing | None:
        """Take a sample into the older buffer, which becomes the last; return why that failed, or None."""
        driver, device, buffers = self._gpm.driver, self._gpm.device, self._buffers
        while driver.unused_samples:
            driver.call(pynvml.nvmlGpmSampleFree, driver.unused_samples.popleft())
        if len(buffers) < 2:
            buffer = driver.call(pynvml.nvmlGpmSampleAlloc, gpu=device.index)
            if isinstance(buffer, Missing):
                return buffer
            # The first buffer is the oldest; an existing sample stays the newest.
            buffers.insert(0, buffer)
        taken = driver.run(pynvml.nvmlGpmSampleGet, (device.handle, buffers[0]), device.index)
        if isinstance(taken, Missing):
            return taken
        buffers.append(buffers.pop(0))
        return None

    def _metrics(self) -> Maybe[tuple[Maybe[float], ...]]:
        unused = _unused_requests(self._metric_ids)
        try:
            request = unused.pop()
        except IndexError:
            request = _MetricsRequest(self._metric_ids)
        for name, buffer in zip(_SAMPLES, self._buffers, strict=True):
            _set_member(request.struct, name, buffer)
        # A metric that the driver does not fill in must not repeat another value.
        request.answer[:] = request.unanswered
        gpm = self._gpm
        answer = gpm.driver.run(pynvml.nvmlGpmMetricsGet, (request.struct,), gpm.device.index)
        values = tuple(
            [reason(code) if code else value for code, value in _METRIC.iter_unpack(request.answer)]
        )
        unused.append(request)
        return answer if type(answer) is Missing else values


def percent_to_share(percent: Maybe[float]) -> Maybe[float]:
    """Return a percentage as a share from 0 to 1, rounded to three digits; other values are implausible."""
    if isinstance(percent, Missing):
        return percent
    # The comparison is false for NaN as well.
    return round(percent / 100, 3) + 0.0 if 0 <= percent < 100.05 else IMPLAUSIBLE


def mib_to_bytes_per_s(mib_per_s: Maybe[float]) -> Maybe[float]:
    """Return MiB/s as bytes/s; values out of range are implausible."""
    if isinstance(mib_per_s, Missing):
        return mib_per_s
    return mib_per_s * MIB if 0 <= mib_per_s <= MAX_MIB_PER_S else IMPLAUSIBLE
