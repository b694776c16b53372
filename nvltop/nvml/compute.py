"""How busy the units of one GPU are: GPM where it answers, else utilisation samples and instant power.

On the fast clock, beside the link counters, while NVLink carries traffic and for `HOLD_S` after it. Else
GPM's answer comes with the PCIe traffic, which costs no further call; a board without GPM is not asked.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Final

from nvltop.model import ComputeActivity, LinkCounters, Maybe, Missing, Reading, known
from nvltop.nvml.call_budget import CallBudget, PacedReader
from nvltop.nvml.device import Device
from nvltop.nvml.driver import NO_PERMISSION, UNSUPPORTED, Driver
from nvltop.nvml.gpm import NO_PERMISSION_NOTE, TOO_SOON, Gpm, GpmSpan, GpmStream, percent_to_share
from nvltop.nvml.utilization import UtilizationReader, UtilizationSpan

GPM_METRICS: Final = (2, 5, 10)
"""GPM's SM, tensor and DRAM activity, in percent."""
MIN_TRAFFIC_BYTES_PER_S: Final = 100e6
"""Bytes/s over all links and both ways from which a GPU has traffic; idle links count some MB/s at most."""
TRAFFIC_HOLD_S: Final = 10.0
"""How long the fast clock goes on after the last traffic: a pause within a step is no end."""
MAX_GPM_SPAN_S: Final = 2.5
"""Longest span on the fast clock."""
UTILIZATION_INTERVAL_S: Final = 1.0
MAX_POWER_READINGS: Final = 32
"""Powers kept until the utilisation samples of the same time come."""
NEEDS_GPM: Final = Missing("needs GPM")
TOO_SLOW: Final = Missing("would take too long in the driver")
NO_TRAFFIC: Final = Missing("only read while NVLink carries traffic")


class ComputeReader:
    """Reads the compute activity of one GPU; `fast` and `slow` belong to one thread each."""

    def __init__(self, driver: Driver, device: Device, gpm: Gpm) -> None:
        self._device, self._gpm = device, gpm
        self._stream = GpmStream(gpm)
        self._budget = CallBudget(driver.tracker, device.index)
        self._paced_gpm = PacedReader(self._budget, "GPM")
        self._utilization = UtilizationReader(driver, device)
        self._paced_utilization = PacedReader(self._budget, "utilisation")
        self._no_samples: Missing | None = None
        """Why there are no utilisation samples."""
        self._last_total: tuple[float, int] | None = None
        """Start and total bytes of the newest link counters."""
        self._traffic_s: float | None = None
        """CLOCK_MONOTONIC of the last traffic."""
        self._powers: deque[tuple[float, float]] = deque(maxlen=MAX_POWER_READINGS)
        self._until_s = 0.0
        """End of the newest reading on the fast clock."""
        self._last_unread: ComputeActivity | None = None
        """What was last said of a GPU that is not read; None once it has been read."""

    @property
    def has_traffic(self) -> bool:
        """Whether NVLink carries traffic, or did a moment ago."""
        return self._traffic_s is not None and time.monotonic() - self._traffic_s < TRAFFIC_HOLD_S

    def read_fast(self, counters: Reading, power_w: Maybe[float]) -> list[Reading]:
        """Read what belongs to link counters that were just read; `power_w` is the power of that moment."""
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
                span = self._stream.read(GPM_METRICS, MAX_GPM_SPAN_S)
                if span is not TOO_SOON:
                    self._paced_gpm.record(time.monotonic() - now, now)
                return [self._from_gpm(span, power_w)] if isinstance(span, GpmSpan) else []
            if not self._paced_gpm.stopped(now):
                return []
        return self._without_gpm(now, start_s, counters.start_s, power_w)

    def read_slow(self, span: Maybe[GpmSpan], power_w: Maybe[float]) -> list[Reading]:
        """Take GPM's metrics that were read with the PCIe traffic, unless the fast clock is at it."""
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
        said = ComputeActivity(NO_TRAFFIC, NEEDS_GPM, NEEDS_GPM, NO_TRAFFIC, note=self._note)
        if why not in UNSUPPORTED and why != NO_PERMISSION:
            said = replace(said, sm=why, tensor=why, dram=why)
        if said == self._last_unread:
            return []
        self._last_unread = said
        return [self._reading(now, now, said)]

    def _update_traffic(self, counters: Reading) -> float | None:
        """Note whether there is traffic; return the start of the counters before, None if there were none."""
        data = counters.data
        assert isinstance(data, LinkCounters)
        total = sum([v for v in data.tx_bytes + data.rx_bytes if type(v) is int])
        before, self._last_total = self._last_total, (counters.start_s, total)
        if before is None or counters.start_s <= before[0]:
            return None
        if total - before[1] >= MIN_TRAFFIC_BYTES_PER_S * (counters.start_s - before[0]):
            self._traffic_s = counters.start_s
        return before[0]

    @property
    def _note(self) -> str:
        refused = self._gpm.unavailable(time.monotonic())
        return NO_PERMISSION_NOTE if refused == NO_PERMISSION else self._paced_gpm.note

    def _from_gpm(self, span: GpmSpan, power_w: Maybe[float]) -> Reading:
        sm, tensor, dram = map(percent_to_share, span.values[: len(GPM_METRICS)])
        data = ComputeActivity(sm, tensor, dram, power_w, "gpm", self._note)
        return self._reading(span.start_s, span.end_s, data)

    def _without_gpm(self, now: float, start_s: float, end_s: float, power_w: Maybe[float]) -> list[Reading]:
        """Read the utilisation samples that have come, each with the power of its time.

        Where the driver has none, the power between two readings of the counters is all there is.
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
        """Return the power that was read nearest to a time."""
        return min(self._powers, key=lambda p: abs(p[0] - at_s))[1] if self._powers else otherwise

    def _reading(self, start_s: float, end_s: float, data: ComputeActivity) -> Reading:
        if data is not self._last_unread:
            self._last_unread = None
            self._until_s = max(self._until_s, end_s)
        return Reading(self._device.uuid, start_s, end_s, time.time() - time.monotonic() + end_s, data)
