"""Processes with a context on a GPU, from NVML's lists of compute, graphics and MPS processes.

SM utilization is sampled. A value that NVML does not return, for example under MIG, is missing and not 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ctypes import byref, c_uint, c_ulonglong
from dataclasses import field
from functools import partial
from typing import Any, Final

import pynvml

from nvltop.frozen import mutable
from nvltop.model import GpuUse, Maybe, Missing, first_missing, known
from nvltop.model.missing import FUNCTION_NOT_FOUND, UNSUPPORTED
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver, UnsupportedCache, plausible
from nvltop.nvml.library import find_function

INITIAL_ENTRIES: Final = 64
"""Number of entries that fit into the first reply; `pynvml` reads their number with an extra call."""
MAX_ENTRIES: Final = 1 << 16
"""Largest plausible number of processes on one GPU."""
MAX_ATTEMPTS: Final = 4
"""Number of attempts to read a list, each with more room than the one before."""


def _list_call(name: str, entry: Any) -> Callable[[Any], list[Any]]:
    """Return a function that lists the processes of a GPU, in one call if they fit."""

    def listed(handle: Any) -> list[Any]:
        return _fill(name, entry, lambda function, entries, count: function(handle, count, entries))

    listed.__name__ = name
    return listed


def _fill(name: str, entry: Any, call: Callable[[Any, Any, Any], int]) -> list[Any]:
    """Return the array that a call fills in; repeat the call if it needs more room."""
    function = find_function(name)
    room = INITIAL_ENTRIES
    for _ in range(MAX_ATTEMPTS):
        entries, count = (entry * room)(), c_uint(room)
        code = call(function, entries, byref(count))
        if code != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            break
        # More processes may have started by the next call.
        room = min(max(2 * room, 2 * count.value), MAX_ENTRIES)
    if code:
        raise pynvml.NVMLError(code)
    filled: list[Any] = entries[: min(count.value, room)]
    return filled


def nvmlDeviceGetProcessUtilization(handle: Any, seen_us: int) -> list[Any]:  # noqa: N802
    """Call the driver as the function of `pynvml` does, in one call if the samples fit."""
    return _fill(
        "nvmlDeviceGetProcessUtilization",
        pynvml.c_nvmlProcessUtilizationSample_t,
        lambda function, entries, count: function(handle, entries, count, c_ulonglong(seen_us)),
    )


PROCESS_LISTS: Final = tuple(
    (
        kind,
        _list_call(f"nvmlDeviceGet{name}RunningProcesses_v3", pynvml.c_nvmlProcessInfo_v3_t),
        _list_call(f"nvmlDeviceGet{name}RunningProcesses_v2", pynvml.c_nvmlProcessInfo_v2_t),
    )
    for kind, name in (("compute", "Compute"), ("graphics", "Graphics"), ("mps", "MPSCompute"))
)
"""Name of each list and its calls, the newest version first."""
EMPTY_LIST_EVERY: Final = 4
"""Number of readings to one of a list that was empty; the compute list is read each time."""
MEMORY_NOT_REPORTED: Final = Missing("not reported by this driver")
NO_SAMPLE: Final = Missing("no sample of this process")
MAX_MEMORY_BYTES: Final = 1 << 50
"""Memory use above which a value is implausible; NVML returns such values if it is unknown."""


@mutable
class ProcessReader:
    """Reader of the processes of one GPU."""

    driver: Driver
    device: Device
    _unsupported: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _seen_us: int = field(default=0, init=False)
    """NVML's time of the newest sample read, Unix µs."""
    _reads: int = field(default=0, init=False)
    _empty_lists: set[str] = field(default_factory=set, init=False)
    """Lists that were empty when they were last read."""

    def read(self, now: float) -> Maybe[dict[int, GpuUse]]:
        """Return the processes on this GPU by pid, or the reason if no list could be read."""
        found: dict[int, tuple[str, Maybe[int]]] = {}
        unread: Missing | None = None
        self._reads += 1
        for kind, *calls in PROCESS_LISTS:
            if kind != "compute" and kind in self._empty_lists and self._reads % EMPTY_LIST_EVERY:
                continue
            listed = self._unsupported.get(kind, now, partial(self._list, calls))
            if isinstance(listed, Missing):
                # An unsupported list other than the compute list counts as empty.
                if kind == "compute" or listed not in UNSUPPORTED:
                    unread = unread or listed
                continue
            self._empty_lists = self._empty_lists - {kind} if listed else self._empty_lists | {kind}
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
        samples = self._unsupported.get("utilization", now, self._samples)
        if isinstance(samples, Missing):
            return samples
        newest: dict[int, Any] = {}
        for sample in samples:
            before = newest.get(sample.pid)
            if before is None or sample.timeStamp >= before.timeStamp:
                newest[sample.pid] = sample
        self._seen_us = max([self._seen_us, *(s.timeStamp for s in newest.values())])
        return {pid: plausible(float(s.smUtil), 0, 100) for pid, s in newest.items()}

    def _samples(self) -> Any:
        return self.driver.call(
            nvmlDeviceGetProcessUtilization,
            self.device.handle,
            self._seen_us,
            gpu=self.device.index,
        )


def _memory(used: Any) -> Maybe[int]:
    return used if isinstance(used, int) and 0 <= used < MAX_MEMORY_BYTES else MEMORY_NOT_REPORTED


def by_pid(lists: Iterable[Maybe[dict[int, GpuUse]]]) -> tuple[dict[int, tuple[GpuUse, ...]], Missing | None]:
    """Return the processes of several GPUs by pid, and the first reason why a list is missing."""
    lists = list(lists)
    found: dict[int, tuple[GpuUse, ...]] = {}
    for listed in lists:
        if known(listed):
            for pid, use in listed.items():
                found[pid] = (*found.get(pid, ()), use)
    return found, first_missing(lists)
