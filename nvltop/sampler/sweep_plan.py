"""What a poll thread reads of its GPUs in one sweep, in addition to the link counters."""

from __future__ import annotations

from typing import Final

from nvltop.model import Reading
from nvltop.nvml.session import GpuReader
from nvltop.sampler import schedule
from nvltop.sampler.schedule import Periodic

SLOW_CALL_SHARE: Final = 0.5
"""Share of the interval above which a call is too long for its counters to belong to one point in time."""
SLOW_CALL_FACTOR: Final = 4.0
"""Ratio to the duration of the previous call above which a call is unusually slow."""


class SweepPlan:
    """The times at which one poll thread reads gauges, states and errors, and tries lost GPUs again."""

    def __init__(self, errors_s: float) -> None:
        """Read error counters every `errors_s` seconds, where one call reads all of them."""
        self.gauges = Periodic(schedule.GAUGES_S)
        self.states = Periodic(schedule.STATES_S)
        self._errors_s = errors_s
        self._errors: dict[str, Periodic] = {}
        """By UUID of the GPU."""
        self._lost: dict[str, Periodic] = {}
        self._calls_s: dict[str, float] = {}
        """Duration of the last call that read the counters of a GPU, by UUID."""

    def tries_again(self, reader: GpuReader, now: float) -> bool:
        """Return whether to read a lost GPU now, in case it is back."""
        return self._lost.setdefault(reader.device.uuid, Periodic(schedule.RETRY_LOST_S)).due(now)

    def errors_due(self, reader: GpuReader, now: float, slack_s: float) -> bool:
        """Return whether to read the error counters of a GPU now."""
        periodic = self._errors.get(reader.device.uuid)
        if periodic is None:
            periodic = self._errors[reader.device.uuid] = Periodic(self._errors_s)
        periodic.every_s = schedule.ERRORS_BY_CALL_S if reader.errors.needs_calls else self._errors_s
        return periodic.due(now, slack_s)

    def read_counters(self, reader: GpuReader, interval_s: float) -> list[Reading]:
        """Read the link counters of a GPU; read them again if the call took much longer than usual.

        The driver may have read the counters at any time during a call that hung, so the rate would include
        traffic during the hang.
        """
        readings = reader.read_counters()
        uuid, took_s = reader.device.uuid, reader.counters.call_s
        if took_s > max(SLOW_CALL_SHARE * interval_s, SLOW_CALL_FACTOR * self._calls_s.get(uuid, took_s)):
            readings = reader.read_counters()
            took_s = reader.counters.call_s
        self._calls_s[uuid] = took_s
        return readings
