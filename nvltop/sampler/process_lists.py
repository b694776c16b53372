"""The newest process list of each GPU, and the processes of the node that they add up to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from nvltop.host.processes import ProcessTable
from nvltop.model import GpuUse, Maybe, Missing, Processes, Reading
from nvltop.nvml.processes import by_pid
from nvltop.nvml.session import GpuReader, Session
from nvltop.sampler import schedule
from nvltop.sampler.poll_threads import PollThread
from nvltop.sampler.task import Task

MAX_AGE_S: Final = 10.0
"""Age in seconds after which a list that its poll thread has not renewed is not used any more."""
OUTDATED: Final = Missing("the driver has not answered for some seconds")

Uses = dict[int, GpuUse]


class ProcessDescriber(Protocol):
    """A reader of process details."""

    def describe(self, uses: dict[int, tuple[GpuUse, ...]], unread: Missing | None) -> Processes:
        """Return the processes with these ids; `unread` says why a list is missing, if one is."""


def new_describer(is_demo: bool) -> ProcessDescriber:
    """Return a reader of the processes of this machine, or of a simulated one."""
    if not is_demo:
        return ProcessTable()
    from nvltop.nvml.simulated.processes import SimulatedProcessTable

    return SimulatedProcessTable(time.time())


class ProcessLists:
    """The newest process list of each GPU."""

    def __init__(self, describer: ProcessDescriber) -> None:
        self._describer = describer
        self._lists: dict[str, tuple[float, Maybe[Uses]]] = {}

    def task(self, thread: PollThread, session: Session, describes: Callable[[], bool]) -> Task:
        """Return the task that lists the processes on a thread's GPUs; one such task `describes` all."""

        def read(start_s: float) -> list[Reading]:
            for reader in thread.readers_in_turn(session.readers):
                if not reader.lost:
                    self.read(reader)
            if not describes():
                return []
            begun_cpu_s = time.thread_time()
            described = self.describe(session.readers)
            # Thousands of processes are read less often, to limit the cost to a few percent.
            pause_s = (time.thread_time() - begun_cpu_s) / schedule.PROCESSES_SHARE
            task.periodic.every_s = min(max(schedule.PROCESSES_S, pause_s), schedule.MAX_PROCESSES_S)
            return [Reading(None, start_s, time.monotonic(), time.time(), described)]

        task = Task("processes", read, schedule.PROCESSES_S, ended=lambda: thread.ended)
        return task

    def read(self, reader: GpuReader) -> None:
        """Read the process list of one GPU."""
        now = time.monotonic()
        self._lists[reader.device.uuid] = now, reader.processes.read(now)

    def describe(self, readers: Sequence[GpuReader]) -> Processes:
        """Return the processes on these GPUs."""
        now = time.monotonic()
        return self._describer.describe(*by_pid([self._of(r, now) for r in readers if not r.lost]))

    def _of(self, reader: GpuReader, now: float) -> Maybe[Uses]:
        read_s, uses = self._lists.get(reader.device.uuid, (0.0, OUTDATED))
        return uses if now - read_s < MAX_AGE_S else OUTDATED
