"""Measures how often the driver refreshes its NVLink counters.

One GPU is read in quick succession, for five seconds at most, once there is traffic. A regular refresh is
read again a few times, for some tens of milliseconds round the moment at which it is expected: that
keeps the prediction exact, and with it the time that each rate is a mean over. On a driver whose counters
are always up to date the whole measurement takes five calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nvltop.model import CounterRefresh, Missing, Reading, known
from nvltop.nvml.refresh import CLOSE_S, RefreshMeasurement, refined
from nvltop.nvml.session import GpuReader

MOST_S: Final = 5.0
"""Longest measurement, seconds."""
REPEAT_S: Final = 600.0
"""Time after which the refresh is measured again, seconds."""
AGAIN_S: Final = (2.0, 8.0, 30.0, 120.0)
"""Times after which a regular refresh is read again, seconds; the last one repeats."""
TRIES: Final = 8
"""Refreshes that are waited for each time; in a pause of the traffic none can be seen."""
OTHER_GPU_S: Final = 0.5
"""Time without a move after which another GPU, one with traffic, is measured instead."""
SHARE: Final = 0.25
"""Most of the time that the measurement may spend in the driver while it lasts."""
WAIT_S: Final = 0.01


class RefreshProbe:
    """The thread that measures; `note_traffic` wakes it."""

    def __init__(
        self, readers: Callable[[], Sequence[GpuReader]], send: Callable[..., None], stop: threading.Event
    ) -> None:
        self._readers = readers
        self._send = send
        self._stop = stop
        self._traffic = threading.Event()

    def note_traffic(self) -> None:
        """Note that counters have moved."""
        if not self._traffic.is_set():
            self._traffic.set()

    def run(self) -> None:
        """Measure at the start, then whenever there is traffic and the refresh is not known, or is old."""
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
                self._stop.wait(REPEAT_S)

    def _measure(self) -> tuple[GpuReader, CounterRefresh] | None:
        """Read one GPU until its refresh is known; None if nothing moved."""
        measurement, reader, begun_s = RefreshMeasurement(), self._pick(None), time.monotonic()
        source = reader.counters.source if reader else None
        moved_s = begun_s
        while not self._stop.is_set() and time.monotonic() - begun_s < MOST_S:
            if reader is None or reader.counters.source != source:
                reader = self._pick(None)
                source = reader.counters.source if reader else None
                measurement = RefreshMeasurement(measurement.calls)
            if reader is None:
                self._stop.wait(WAIT_S)
                continue
            now_s = time.monotonic()
            if not measurement.moved and now_s - moved_s > OTHER_GPU_S:
                other, moved_s = self._pick(reader), now_s
                if other and other is not reader:
                    reader, source = other, other.counters.source
                    measurement = RefreshMeasurement(measurement.calls)
            took_s = self._read(reader, measurement)
            if measurement.done:
                break
            self._stop.wait(max(measurement.read_every_s - took_s, took_s / SHARE - took_s))
        if reader is None or measurement.result is None:
            return None
        self._report(measurement.result)
        return reader, measurement.result

    def _read(self, reader: GpuReader, measurement: RefreshMeasurement) -> float:
        """Take one reading; report a result at once. Return the seconds that the call took."""
        start_s = time.monotonic()
        values = reader.counters.sent()
        end_s = time.monotonic()
        if isinstance(values, Missing):
            measurement.calls += 1
        elif measurement.add(start_s, end_s, values) and measurement.result and not measurement.done:
            self._report(measurement.result)
        return end_s - start_s

    def _pick(self, before: GpuReader | None) -> GpuReader | None:
        """Return a GPU whose counters moved lately, else the first that has counters."""
        able = [r for r in self._readers() if r.counters.source and not r.lost and not r.silent]
        moving = [r for r in able if r is not before and time.monotonic() - r.counters.moved_s < OTHER_GPU_S]
        found = moving or able
        return found[0] if found else None

    def _follow(self, reader: GpuReader, first: CounterRefresh) -> None:
        """Look a regular refresh up again and again, until it is time for another measurement."""
        latest, begun_s, number = first, time.monotonic(), 0
        while time.monotonic() - begun_s < REPEAT_S:
            # Later it could not be said any more how many refreshes have passed.
            surely_s = latest.typical_s**2 / (4 * latest.error_s)
            if self._stop.wait(min(AGAIN_S[min(number, len(AGAIN_S) - 1)], surely_s)):
                return
            number += 1
            found = None
            for _ in range(TRIES):
                found = found or self._find(reader, latest)
            if not found:
                # The traffic has stopped, or the refresh came at another time than predicted.
                self._traffic.clear()
                self._traffic.wait()
                if (time.monotonic() - latest.until_s) > 2 * surely_s:
                    return
                continue
            latest = refined(replace(latest, calls=found[2]), first, found[0], found[1])
            self._report(latest)

    def _find(self, reader: GpuReader, latest: CounterRefresh) -> tuple[float, float, int] | None:
        """Read round the next refresh; return the times of the readings round it, and the calls so far."""
        now_s, period_s = time.monotonic(), latest.typical_s
        count = int((now_s - latest.after_s) / period_s) + 1
        slack_s = min(period_s / 2, count * latest.error_s + CLOSE_S)
        first_s = latest.after_s + count * period_s - slack_s
        last_s = latest.until_s + count * period_s + slack_s
        if self._stop.wait(max(0.0, first_s - now_s)):
            return None
        calls, before = latest.calls, None
        while time.monotonic() < last_s:
            start_s = time.monotonic()
            values = reader.counters.sent()
            end_s, calls = time.monotonic(), calls + 1
            if not known(values):
                return None
            if before is not None and before[1] != values:
                return before[0], end_s, calls
            before = start_s, values
            self._stop.wait(max(CLOSE_S, (end_s - start_s) / SHARE))
        return None

    def _report(self, result: CounterRefresh) -> None:
        now_s = time.monotonic()
        self._send(Reading(None, now_s, now_s, time.time(), result))
