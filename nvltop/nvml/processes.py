"""Which processes have a context on which GPU, as NVML lists them.

Three lists (compute, graphics, MPS clients) and the samples of SM utilisation. Under MIG and on
boards or users that NVML does not answer, a value is missing and not 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pynvml

from nvltop.model import GpuUse, Maybe, Missing, known
from nvltop.nvml.device import Device
from nvltop.nvml.driver import FUNCTION_NOT_FOUND, UNSUPPORTED, Driver, Refused, within

LISTS: Final = (
    (
        "compute",
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
    ),
    (
        "graphics",
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
    ),
    (
        "mps",
        pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v2,
    ),
)
"""What each list is called here, and its calls, newest first."""
NO_MEMORY: Final = Missing("not told by this driver")
NO_SAMPLE: Final = Missing("no sample of this process")
MAX_MEMORY: Final = 1 << 50
"""More is NVML's mark for what it cannot tell, or garbage."""


@dataclass(slots=True)
class ProcessReader:
    """Reads the processes of one GPU."""

    driver: Driver
    device: Device
    _refused: Refused = field(default_factory=Refused, init=False)
    _seen_us: int = field(default=0, init=False)
    """NVML's time of the newest sample taken."""

    def read(self, now: float) -> Maybe[dict[int, GpuUse]]:
        """Return each process on this GPU by pid; the reason if no list could be had."""
        found: dict[int, tuple[str, Maybe[int]]] = {}
        unread: Missing | None = None
        for kind, *calls in LISTS:
            listed = self._refused.ask(kind, now, partial(self._list, calls))
            if isinstance(listed, Missing):
                # A list that the board does not have is an empty one, but for the first.
                if kind == "compute" or listed not in UNSUPPORTED:
                    unread = unread or listed
                continue
            for entry in listed:
                found.setdefault(entry.pid, (kind, _memory(entry.usedGpuMemory)))
        if unread and not found:
            return unread
        sm = self._sm_percent(now) if found else {}
        return {
            pid: GpuUse(
                self.device.uuid,
                kind,
                memory,
                sm if isinstance(sm, Missing) else sm.get(pid, NO_SAMPLE),
            )
            for pid, (kind, memory) in found.items()
        }

    def _list(self, calls: Iterable[Any]) -> Any:
        answer: Any = FUNCTION_NOT_FOUND
        for call in calls:
            answer = self.driver.call(call, self.device.handle, gpu=self.device.index)
            if answer != FUNCTION_NOT_FOUND:
                break
        return answer

    def _sm_percent(self, now: float) -> Maybe[dict[int, Maybe[float]]]:
        samples = self._refused.ask("utilisation", now, self._samples)
        if isinstance(samples, Missing):
            return samples
        newest: dict[int, Any] = {}
        for sample in samples:
            before = newest.get(sample.pid)
            if before is None or sample.timeStamp >= before.timeStamp:
                newest[sample.pid] = sample
        self._seen_us = max([self._seen_us, *(s.timeStamp for s in newest.values())])
        return {pid: within(float(s.smUtil), 0, 100) for pid, s in newest.items()}

    def _samples(self) -> Any:
        return self.driver.call(
            pynvml.nvmlDeviceGetProcessUtilization,
            self.device.handle,
            self._seen_us,
            gpu=self.device.index,
        )


def _memory(used: Any) -> Maybe[int]:
    return used if isinstance(used, int) and 0 <= used < MAX_MEMORY else NO_MEMORY


def by_pid(lists: Iterable[Maybe[dict[int, GpuUse]]]) -> tuple[dict[int, tuple[GpuUse, ...]], Missing | None]:
    """Join the lists of several GPUs; also the first reason why one of them is not there."""
    lists = list(lists)
    found: dict[int, tuple[GpuUse, ...]] = {}
    for listed in lists:
        if known(listed):
            for pid, use in listed.items():
                found[pid] = (*found.get(pid, ()), use)
    return found, next((listed for listed in lists if isinstance(listed, Missing)), None)
