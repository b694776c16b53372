"""Measure how often the driver refreshes its NVLink counters.

Once there is traffic, one GPU is read in quick succession for five seconds at most. A regular refresh is then
checked a few times, for some tens of milliseconds around the time at which it is expected. This keeps the
prediction exact, and with it the time span of each rate. If the driver's counters are always up to date, the
complete measurement takes five calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nvltop.model import CounterRefresh, Missing, Reading, known
from nvltop.nvml.refresh import MIN_INTERVAL_S, RefreshMeasurement, refine
from nvltop.nvml.session import GpuReader

MAX_MEASUREMENT_S: Final = 5.0
"""Longest duration of a measurement, seconds."""
REMEASURE_S: Final = 600.0
"""Time after which the refresh is measured again, seconds."""
RECHECK_S: Final = (2.0, 8.0, 30.0, 120.0)
"""Delays after which a regular refresh is checked again, seconds; the last one repeats."""
TRIES: Final = 8
"""Number of refreshes to wait for in each check; without traffic no refresh can be observed."""
OTHER_GPU_S: Final = 0.5
"""Time in seconds without a change of the counters after which another GPU is measured instead."""
MAX_DRIVER_SHARE: Final = 0.25
"""Limit of the share of its duration that the measurement spends in driver calls."""
RETRY_S: Final = 0.01
"""Delay in seconds before trying again to find a GPU with counters."""


class RefreshProbe:
    """The thread that measures the refresh; `note_traffic` wakes it."""

    def __init__(
        self, readers: Callable[[], Sequence[GpuReader]], send: Callable[..., None], stop: threading.Event
    ) -> None:
        self._readers = readers
        self._send = send
        self._stop = stop
        self._traffic = threading.Event()

    def note_traffic(self) -> None:
        """Report that counters have changed."""
        if not self._traffic.is_set():
            self._traffic.set()

    def run(self) -> None:
        """Measure at the start, then when there is traffic and no recent measurement."""
        while not self._stop.is_set():
            self._traffic.clear()
            measured = self._measure()
            if measured is None:
                self._traffic.wait()
                continue
            reader, result = measured
            if result.regular and result.typical_s:
                self._follow(reader, result)
            else:
                self._stop.wait(REMEASURE_S)

    def _measure(self) -> tuple[GpuReader, CounterRefresh] | None:
        """Read one GPU until its refresh is known; return None if no counter changed."""
        measurement, reader, begun_s = RefreshMeasurement(), self._pick(None), time.monotonic()
        source = reader.counters.source if reader else None
        moved_s = begun_s
        while not self._stop.is_set() and time.monotonic() - begun_s < MAX_MEASUREMENT_S:
            if reader is None or reader.counters.source != source:
                reader = self._pick(None)
                source = reader.counters.source if reader else None
                measurement = RefreshMeasurement(measurement.calls)
            if reader is None:
                self._stop.wait(RETRY_S)
                continue
            now_s = time.monotonic()
            if not measurement.any_refresh and now_s - moved_s > OTHER_GPU_S:
                other, moved_s = self._pick(reader), now_s
                if other and other is not reader:
                    reader, source = other, other.counters.source
                    measurement = RefreshMeasurement(measurement.calls)
            took_s = self._read(reader, measurement)
            if measurement.done:
                break
            self._stop.wait(max(measurement.interval_s - took_s, took_s / MAX_DRIVER_SHARE - took_s))
        if reader is None or measurement.result is None:
            return None
        self._report(measurement.result)
        return reader, measurement.result

    def _read(self, reader: GpuReader, measurement: RefreshMeasurement) -> float:
        """Read the counters once, report a new result, and return the duration of the call in seconds."""
        start_s = time.monotonic()
        values = reader.counters.read_tx()
        end_s = time.monotonic()
        if isinstance(values, Missing):
            measurement.calls += 1
        elif measurement.add(start_s, end_s, values) and measurement.result and not measurement.done:
            self._report(measurement.result)
        return end_s - start_s

    def _pick(self, before: GpuReader | None) -> GpuReader | None:
        """Return a GPU whose counters changed recently, else the first GPU with counters."""
        able = [r for r in self._readers() if r.counters.source and not r.lost and not r.unresponsive]
        moving = [
            r for r in able if r is not before and time.monotonic() - r.counters.changed_s < OTHER_GPU_S
        ]
        return next(iter(moving or able), None)

    def _follow(self, reader: GpuReader, first: CounterRefresh) -> None:
        """Check a regular refresh repeatedly, until the next measurement is due."""
        latest, begun_s, number = first, time.monotonic(), 0
        while time.monotonic() - begun_s < REMEASURE_S:
            # After this time the number of refreshes that have passed is ambiguous.
            unambiguous_s = latest.typical_s**2 / (4 * latest.error_s)
            if self._stop.wait(min(RECHECK_S[min(number, len(RECHECK_S) - 1)], unambiguous_s)):
                return
            number += 1
            found = None
            for _ in range(TRIES):
                found = found or self._find(reader, latest)
            if not found:
                # The traffic has stopped, or the refresh did not come at the predicted time.
                self._traffic.clear()
                self._traffic.wait()
                if (time.monotonic() - latest.until_s) > 2 * unambiguous_s:
                    return
                continue
            latest = refine(replace(latest, calls=found[2]), first, found[0], found[1])
            self._report(latest)

    def _find(self, reader: GpuReader, latest: CounterRefresh) -> tuple[float, float, int] | None:
        """Read around the next refresh; return the times of the readings around it and the call count."""
        now_s, period_s = time.monotonic(), latest.typical_s
        count = int((now_s - latest.after_s) / period_s) + 1
        slack_s = min(period_s / 2, count * latest.error_s + MIN_INTERVAL_S)
        first_s = latest.after_s + count * period_s - slack_s
        last_s = latest.until_s + count * period_s + slack_s
        if self._stop.wait(max(0.0, first_s - now_s)):
            return None
        calls, before = latest.calls, None
        while time.monotonic() < last_s:
            start_s = time.monotonic()
            values = reader.counters.read_tx()
            end_s, calls = time.monotonic(), calls + 1
            if not known(values):
                return None
            if before is not None and before[1] != values:
                return before[0], end_s, calls
            before = start_s, values
            self._stop.wait(max(MIN_INTERVAL_S, (end_s - start_s) / MAX_DRIVER_SHARE))
        return None

    def _report(self, result: CounterRefresh) -> None:
        now_s = time.monotonic()
        self._send(Reading(None, now_s, now_s, time.time(), result))
