"""What the worker costs, and the intervals at which it reads the GPUs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nvltop.model import Cost, GpuInterval, Reading
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.session import GpuReader
from nvltop.sampler import schedule
from nvltop.sampler.poll_threads import PollThread, PollThreads
from nvltop.sampler.schedule import AdaptiveInterval, RequestedInterval
from nvltop.sampler.task import Task


class CostReader:
    """Reads the cost since the last reading; it calls no driver and reads no files."""

    def __init__(
        self,
        watch: CallTracker,
        threads: PollThreads,
        readers: Callable[[], Sequence[GpuReader]],
        requested: RequestedInterval,
    ) -> None:
        """`threads` read the link counters of `readers`."""
        self.intervals: dict[PollThread, AdaptiveInterval] = {}
        """Effective interval of each thread that reads link counters."""
        self._watch = watch
        self._threads = threads
        self._readers = readers
        self._requested = requested
        self._before = self._spent(time.monotonic())

    def task(self) -> Task:
        """Return the task that reads the cost."""
        return Task("cost", self.read, schedule.COST_S, (schedule.COST_S,))

    def read(self, now: float) -> list[Reading]:
        """Return the cost since the last call."""
        before, self._before = self._before, self._spent(now)
        now, calls, driver_s, cpu_s = self._before
        seconds = max(now - before[0], 1e-3)
        main = self._interval_of(self._threads.largest)
        cost = Cost(
            calls_per_s=(calls - before[1]) / seconds,
            driver_s_per_s=(driver_s - before[2]) / seconds,
            interval_s=main.interval_s,
            sweep_s=main.sweep_s,
            cpu_s_per_s=(cpu_s - before[3]) / seconds,
            other_intervals=self._other_intervals(main.interval_s),
        )
        return [Reading(None, now, now, time.time(), cost)]

    def _spent(self, now: float) -> tuple[float, int, float, float]:
        return now, self._watch.calls, self._watch.spent_s(now), time.process_time()

    def _other_intervals(self, interval_s: float) -> tuple[GpuInterval, ...]:
        """Return the GPUs whose link counters are read at another interval than `interval_s`."""
        if len(self.intervals) == 1:
            return ()
        intervals = [
            GpuInterval(r.device.index, self._interval_of(self._threads.thread_of(r.device.uuid)).interval_s)
            for r in self._readers()
        ]
        return tuple(i for i in intervals if i.interval_s != interval_s)

    def _interval_of(self, thread: PollThread | None) -> AdaptiveInterval:
        interval = self.intervals.get(thread) if thread else None
        return interval or AdaptiveInterval(self._requested)  # the thread has not started yet
