"""Utilisation samples of one GPU, with the driver's own times: `nvmlDeviceGetSamples`, all boards.

The driver takes one every 1/6 to 1 s; `nvmlDeviceGetUtilizationRates` gives no times.
"""

from __future__ import annotations

import time
from ctypes import byref, c_uint, c_ulonglong
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pynvml

from nvltop.model import Maybe, Missing, known
from nvltop.nvml.device import Device
from nvltop.nvml.driver import IMPLAUSIBLE, REASONS, Driver, UnsupportedCache, plausible

MAX_SAMPLES: Final = 240
"""Samples that fit into one answer; the driver keeps about 120."""
MIN_SPAN_S: Final = 0.25
"""Samples are joined until they cover as much, so that there are no more spans than link counters."""
MAX_PERIOD_S: Final = 1.5
"""Samples further apart leave a gap: each is the mean over one period of the driver, at most 1 s."""
MAX_AGE_S: Final = 1.5
NO_NEW_SAMPLE: Final = REASONS[6]
_MEMBERS: Final = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal"}
"""Member of nvmlValue_t by nvmlValueType_t."""


class UtilizationSpan(NamedTuple):
    """Share of a span in which any kernel ran."""

    start_s: float
    """CLOCK_MONOTONIC."""
    end_s: float
    share: Maybe[float]


@dataclass(slots=True)
class UtilizationReader:
    """Reads the samples that have come since the reading before."""

    driver: Driver
    device: Device
    _refused: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _seen_us: int = field(default=0, init=False)
    """Time of the newest sample taken, Unix µs."""
    _start_us: int = field(default=0, init=False)
    """Start of the span that is being joined; 0 if there is none."""
    _joined: list[tuple[int, Maybe[float]]] = field(default_factory=list, init=False)
    """Its samples so far: length in µs, share."""

    def read(self) -> Maybe[list[UtilizationSpan]]:
        """Return spans that follow one another, oldest first; none if there is no new sample."""
        now, wall_s = time.monotonic(), time.time()
        wall_us = int(wall_s * 1e6)
        if not 0 <= wall_us - self._seen_us <= 2e6 * MAX_AGE_S:
            self._seen_us, self._start_us = wall_us - int(1e6 * MAX_AGE_S), 0
        samples = self._refused.get("samples", now, self._samples)
        if isinstance(samples, Missing):
            return [] if samples == NO_NEW_SAMPLE else samples
        spans = []
        for stamp_us, share in samples:
            # A time that has passed already, or that lies ahead, is no time of a sample.
            if not self._seen_us < stamp_us <= wall_us + 1e6:
                continue
            before_us, self._seen_us = self._seen_us, stamp_us
            if not self._start_us or stamp_us - before_us > 1e6 * MAX_PERIOD_S:
                self._start_us, self._joined = stamp_us, []
                continue
            self._joined.append((stamp_us - before_us, share))
            if stamp_us - self._start_us >= 1e6 * MIN_SPAN_S:
                ahead_s = now - wall_s
                spans.append(
                    UtilizationSpan(
                        self._start_us / 1e6 + ahead_s, stamp_us / 1e6 + ahead_s, _mean(self._joined)
                    )
                )
                self._start_us, self._joined = stamp_us, []
        return spans

    def _samples(self) -> Maybe[list[tuple[int, Maybe[float]]]]:
        """Return the time of each new sample, Unix µs, and its value as a share."""
        answer = self.driver.call(
            nvmlDeviceGetSamples, self.device.handle, self._seen_us, gpu=self.device.index
        )
        if isinstance(answer, Missing):
            return answer
        kind, samples = answer
        member = _MEMBERS.get(kind)
        if member is None:
            return Missing(f"unknown value type {kind}")
        return sorted(
            ((s.timeStamp, _share(getattr(s.sampleValue, member))) for s in samples), key=lambda s: s[0]
        )


def nvmlDeviceGetSamples(handle: Any, seen_us: int) -> tuple[int, list[Any]]:  # noqa: N802
    """Call the driver once, where the function of `pynvml` asks for the number of samples first."""
    try:
        function = pynvml.nvmlLib.nvmlDeviceGetSamples
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    kind, count = c_uint(), c_uint(MAX_SAMPLES)
    entries = (pynvml.c_nvmlSample_t * MAX_SAMPLES)()
    what = c_uint(pynvml.NVML_GPU_UTILIZATION_SAMPLES)
    code = function(handle, what, c_ulonglong(seen_us), byref(kind), byref(count), entries)
    if code:
        raise pynvml.NVMLError(code)
    return kind.value, entries[: min(count.value, MAX_SAMPLES)]


def _share(percent: float) -> Maybe[float]:
    value = plausible(percent, 0, 100)
    return IMPLAUSIBLE if isinstance(value, Missing) else value / 100


def _mean(samples: list[tuple[int, Maybe[float]]]) -> Maybe[float]:
    unread = next((share for _, share in samples if isinstance(share, Missing)), None)
    if unread:
        return unread
    total_us = sum(us for us, _ in samples)
    return round(sum(us * share for us, share in samples if known(share)) / total_us, 3)
