"""Utilization samples of one GPU with the driver's time stamps (`nvmlDeviceGetSamples`, all boards).

The driver takes a sample every 1/6 to 1 s. `nvmlDeviceGetUtilizationRates` returns no time stamps.
"""

from __future__ import annotations

import time
from ctypes import byref, c_uint, c_ulonglong
from dataclasses import field
from typing import Final, NamedTuple

import pynvml

from nvltop.frozen import mutable
from nvltop.model import Maybe, Missing, known
from nvltop.nvml.device import Device
from nvltop.nvml.driver import IMPLAUSIBLE, NOT_FOUND, Driver, UnsupportedCache, plausible
from nvltop.nvml.library import library_call

READ_SAMPLES: Final = library_call("nvmlDeviceGetSamples")
"""The function of `pynvml` needs a second call for the number of samples."""
MAX_SAMPLES: Final = 240
"""Number of samples that fit into one reply; the driver keeps about 120."""
MIN_SPAN_S: Final = 0.25
"""Shortest span, seconds; samples are joined so that spans are not more frequent than link counters."""
MAX_PERIOD_S: Final = 1.5
"""Time between two samples, seconds, above which there is a gap; the driver's period is at most 1 s."""
MAX_AGE_S: Final = 1.5
"""Age above which samples are ignored, seconds."""
NO_NEW_SAMPLE: Final = NOT_FOUND
_MEMBERS: Final = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal"}
"""Member of nvmlValue_t by nvmlValueType_t."""


class UtilizationSpan(NamedTuple):
    """Share of a span in which any kernel ran."""

    start_s: float
    """CLOCK_MONOTONIC."""
    end_s: float
    share: Maybe[float]


@mutable
class UtilizationReader:
    """Reader of the samples since the last reading."""

    driver: Driver
    device: Device
    _unsupported: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _seen_us: int = field(default=0, init=False)
    """Time of the newest sample read, Unix µs."""
    _start_us: int = field(default=0, init=False)
    """Start of the unfinished span, Unix µs; 0 if there is none."""
    _joined: list[tuple[int, Maybe[float]]] = field(default_factory=list, init=False)
    """Length in µs and share of each sample in the unfinished span."""

    def read(self) -> Maybe[list[UtilizationSpan]]:
        """Return consecutive spans, oldest first; an empty list without new samples."""
        now, wall_s = time.monotonic(), time.time()
        wall_us = int(wall_s * 1e6)
        if not 0 <= wall_us - self._seen_us <= 2e6 * MAX_AGE_S:
            self._seen_us, self._start_us = wall_us - int(1e6 * MAX_AGE_S), 0
        samples = self._unsupported.get("samples", now, self._samples)
        if isinstance(samples, Missing):
            return [] if samples == NO_NEW_SAMPLE else samples
        spans = []
        for stamp_us, share in samples:
            # Ignore old samples, and time stamps that lie in the future.
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
        kind, count = c_uint(), c_uint(MAX_SAMPLES)
        entries = (pynvml.c_nvmlSample_t * MAX_SAMPLES)()
        failure = self.driver.call(
            READ_SAMPLES,
            self.device.handle,
            c_uint(pynvml.NVML_GPU_UTILIZATION_SAMPLES),
            c_ulonglong(self._seen_us),
            byref(kind),
            byref(count),
            entries,
            gpu=self.device.index,
        )
        if isinstance(failure, Missing):
            return failure
        member = _MEMBERS.get(kind.value)
        if member is None:
            return Missing(f"unknown value type {kind.value}")
        samples = entries[: min(count.value, MAX_SAMPLES)]
        return sorted(
            ((s.timeStamp, _share(getattr(s.sampleValue, member))) for s in samples), key=lambda s: s[0]
        )


def _share(percent: float) -> Maybe[float]:
    value = plausible(percent, 0, 100)
    return IMPLAUSIBLE if isinstance(value, Missing) else value / 100


def _mean(samples: list[tuple[int, Maybe[float]]]) -> Maybe[float]:
    unread = next((share for _, share in samples if isinstance(share, Missing)), None)
    if unread:
        return unread
    total_us = sum(us for us, _ in samples)
    return round(sum(us * share for us, share in samples if known(share)) / total_us, 3)
