"""Activity of the units of one GPU, from GPM if available, else from utilization samples and the power.

While NVLink carries traffic, and for `TRAFFIC_HOLD_S` after it, the activity is read along with the link
counters. Otherwise GPM metrics are read along with the PCIe traffic, which needs no further call; boards
without GPM are not read.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Final

from nvltop.model import ComputeActivity, LinkCounters, Maybe, Missing, Reading, known
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.call_budget import CallBudget, PacedReader
from nvltop.nvml.device import Device
from nvltop.nvml.driver import NO_PERMISSION, Driver
from nvltop.nvml.gpm import NO_PERMISSION_NOTE, TOO_SOON, Gpm, GpmSpan, GpmStream, percent_to_share
from nvltop.nvml.utilization import UtilizationReader, UtilizationSpan

GPM_METRICS: Final = (2, 5, 10)
"""GPM metric ids of SM, tensor core and DRAM activity, in percent."""
MIN_TRAFFIC_BYTES_PER_S: Final = 100e6
"""Rate over all links and both directions, bytes/s, above which a GPU has traffic.

The counters of idle links rise by a few MB/s at most.
"""
TRAFFIC_HOLD_S: Final = 10.0
"""Time for which activity is read after the last traffic, seconds; a training step contains pauses."""
MAX_GPM_SPAN_S: Final = 2.5
"""Longest time between two GPM samples that are compared, seconds."""
UTILIZATION_INTERVAL_S: Final = 1.0
"""Interval of the utilization samples, seconds."""
MAX_POWER_READINGS: Final = 32
"""Number of power readings that are kept until the utilization samples of the same time are read."""
NEEDS_GPM: Final = Missing("needs GPM")
TOO_SLOW: Final = Missing("would take too long in the driver")
NO_TRAFFIC: Final = Missing("only read while NVLink carries traffic")


class ComputeReader:
    """Reader of the compute activity of one GPU; `read_fast` and `read_slow` run on one thread each."""

    def __init__(self, driver: Driver, device: Device, gpm: Gpm) -> None:
        self._device, self._gpm = device, gpm
        self._stream = GpmStream(gpm, GPM_METRICS)
        self._budget = CallBudget(driver.tracker, device.index)
        self._paced_gpm = PacedReader(self._budget, "GPM")
        self._utilization = UtilizationReader(driver, device)
        self._paced_utilization = PacedReader(self._budget, "utilization")
        self._no_samples: Missing | None = None
        """Reason why utilization samples are missing."""
        self._last_total: tuple[float, int] | None = None
        """Time and sum of the newest link counters."""
        self._traffic_s: float | None = None
        """CLOCK_MONOTONIC of the last NVLink traffic."""
        self._powers: deque[tuple[float, float]] = deque(maxlen=MAX_POWER_READINGS)
        self._until_s = 0.0
        """End of the newest reading."""
        self._last_unread: ComputeActivity | None = None
        """Last item sent while the activity is not read; None after a reading."""

    @property
    def has_traffic(self) -> bool:
        """Whether NVLink carries traffic, or did until recently."""
        return self._traffic_s is not None and time.monotonic() - self._traffic_s < TRAFFIC_HOLD_S

    def read_fast(self, counters: Reading, power_w: Maybe[float]) -> list[Reading]:
        """Read the activity of the time of link counters that were just read, with the power at that time."""
        start_s = self._update_traffic(counters)
        now = time.monotonic()
        self._budget.measure(now)
        if start_s is None or not self.has_traffic:
            return []
        if known(power_w):
            power_w = float(f"{power_w:.3g}")
            self._powers.append((counters.start_s, power_w))
        if self._gpm.unavailable(now) is None:
            if self._paced_gpm.due(now, 0.0, counters.start_s - start_s):
                span = self._stream.read(MAX_GPM_SPAN_S)
                if span is not TOO_SOON:
                    self._paced_gpm.record(time.monotonic() - now, now)
                return [self._from_gpm(span, power_w)] if isinstance(span, GpmSpan) else []
            if not self._paced_gpm.stopped(now):
                return []
        return self._without_gpm(now, start_s, counters.start_s, power_w)

    def read_slow(self, span: Maybe[GpmSpan], power_w: Maybe[float]) -> list[Reading]:
        """Return the activity from metrics read with the PCIe traffic, unless `read_fast` returns it."""
        if self.has_traffic:
            return []
        if isinstance(span, GpmSpan):
            if known(power_w):
                power_w = float(f"{power_w:.3g}")
            return [self._from_gpm(span, power_w)] if span.start_s >= self._until_s else []
        now = time.monotonic()
        why = self._gpm.unavailable(now)
        if why is None:
            return []
        data = ComputeActivity(NO_TRAFFIC, NEEDS_GPM, NEEDS_GPM, NO_TRAFFIC, note=self._note)
        if why not in UNSUPPORTED and why != NO_PERMISSION:
            data = replace(data, sm=why, tensor=why, dram=why)
        if data == self._last_unread:
            return []
        self._last_unread = data
        return [self._reading(now, now, data)]

    def _update_traffic(self, counters: Reading) -> float | None:
        """Update when there was traffic; return the time of the previous counters, or None."""
        data = counters.data
        assert isinstance(data, LinkCounters)
        total = data.total_bytes()
        last, self._last_total = self._last_total, (counters.start_s, total)
        if last is None or counters.start_s <= last[0]:
            return None
        if total - last[1] >= MIN_TRAFFIC_BYTES_PER_S * (counters.start_s - last[0]):
            self._traffic_s = counters.start_s
        return last[0]

    @property
    def _note(self) -> str:
        why = self._gpm.unavailable(time.monotonic())
        return NO_PERMISSION_NOTE if why == NO_PERMISSION else self._paced_gpm.note

    def _from_gpm(self, span: GpmSpan, power_w: Maybe[float]) -> Reading:
        sm, tensor, dram = map(percent_to_share, span.values[: len(GPM_METRICS)])
        data = ComputeActivity(sm, tensor, dram, power_w, "gpm", self._paced_gpm.note)
        return self._reading(span.start_s, span.end_s, data)

    def _without_gpm(self, now: float, start_s: float, end_s: float, power_w: Maybe[float]) -> list[Reading]:
        """Read the new utilization samples, each with the power at its time.

        Without samples, only the power between two readings of the counters is returned.
        """
        spans: list[UtilizationSpan] = []
        if self._paced_utilization.due(now, UTILIZATION_INTERVAL_S, end_s - start_s):
            answer = self._utilization.read()
            self._paced_utilization.record(time.monotonic() - now, now)
            self._no_samples = answer if isinstance(answer, Missing) else None
            spans = [] if isinstance(answer, Missing) else answer
        elif self._paced_utilization.stopped(now):
            self._no_samples = TOO_SLOW
        note = self._note
        if self._no_samples:
            data = ComputeActivity(self._no_samples, NEEDS_GPM, NEEDS_GPM, power_w, "", note)
            return [self._reading(start_s, end_s, data)]
        return [
            self._reading(
                s.start_s,
                s.end_s,
                ComputeActivity(
                    sm=s.share,
                    tensor=NEEDS_GPM,
                    dram=NEEDS_GPM,
                    power_w=self._power_at(s.end_s, power_w),
                    source="samples",
                    note=note,
                ),
            )
            for s in spans
        ]

    def _power_at(self, at_s: float, otherwise: Maybe[float]) -> Maybe[float]:
        """Return the power that was read closest to a time, or `otherwise` if there is none."""
        return min(self._powers, key=lambda p: abs(p[0] - at_s))[1] if self._powers else otherwise

    def _reading(self, start_s: float, end_s: float, data: ComputeActivity) -> Reading:
        if data is not self._last_unread:
            self._last_unread = None
            self._until_s = max(self._until_s, end_s)
        return Reading(self._device.uuid, start_s, end_s, time.time() - time.monotonic() + end_s, data)
