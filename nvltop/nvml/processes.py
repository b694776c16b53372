"""Which processes have a context on which GPU, as NVML lists them.

Three lists (compute, graphics, MPS clients) and the samples of SM utilisation. Under MIG and on
boards or users that NVML does not answer, a value is missing and not 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ctypes import byref, c_uint, c_ulonglong
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pynvml

from nvltop.model import GpuUse, Maybe, Missing, known
from nvltop.nvml.device import Device
from nvltop.nvml.driver import FUNCTION_NOT_FOUND, UNSUPPORTED, Driver, UnsupportedCache, plausible

INITIAL_ENTRIES: Final = 64
"""Entries that fit into the first answer; `pynvml` asks for their number by a call of its own."""
MAX_ENTRIES: Final = 1 << 16
"""Processes on one GPU; more is garbage."""
MAX_ATTEMPTS: Final = 4
"""How often an answer that did not fit is asked for again with more room."""


def _list_call(name: str, entry: Any) -> Callable[[Any], list[Any]]:
    """Return a function that lists the processes of a GPU, in one call where they fit."""

    def listed(handle: Any) -> list[Any]:
        return _fill(name, entry, lambda function, entries, count: function(handle, count, entries))

    listed.__name__ = name
    return listed


def _fill(name: str, entry: Any, call: Callable[[Any, Any, Any], int]) -> list[Any]:
    """Let the driver fill an array, with more room if it asks for that."""
    try:
        function = getattr(pynvml.nvmlLib, name)
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    room = INITIAL_ENTRIES
    for _ in range(MAX_ATTEMPTS):
        entries, count = (entry * room)(), c_uint(room)
        code = call(function, entries, byref(count))
        if code != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            break
        # More may have started by the time of the next call.
        room = min(max(2 * room, 2 * count.value), MAX_ENTRIES)
    if code:
        raise pynvml.NVMLError(code)
    return entries[: min(count.value, room)]  # type: ignore[no-any-return]


def nvmlDeviceGetProcessUtilization(handle: Any, seen_us: int) -> list[Any]:  # noqa: N802
    """Call the driver as the function of `pynvml` does, in one call where the samples fit."""
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
"""What each list is called, and its calls, newest first."""
EMPTY_LIST_EVERY: Final = 4
"""A list other than the first that was empty is read at every fourth turn."""
MEMORY_NOT_REPORTED: Final = Missing("not told by this driver")
NO_SAMPLE: Final = Missing("no sample of this process")
MAX_MEMORY_BYTES: Final = 1 << 50
"""More is NVML's mark for what it cannot tell, or garbage."""


@dataclass(slots=True)
class ProcessReader:
    """Reads the processes of one GPU."""

    driver: Driver
    device: Device
    _refused: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _seen_us: int = field(default=0, init=False)
    """NVML's time of the newest sample taken."""
    _reads: int = field(default=0, init=False)
    _empty_lists: set[str] = field(default_factory=set, init=False)
    """Lists that had no entry when they were read last."""

    def read(self, now: float) -> Maybe[dict[int, GpuUse]]:
        """Return each process on this GPU by pid; the reason if no list could be had."""
        found: dict[int, tuple[str, Maybe[int]]] = {}
        unread: Missing | None = None
        self._reads += 1
        for kind, *calls in PROCESS_LISTS:
            if kind != "compute" and kind in self._empty_lists and self._reads % EMPTY_LIST_EVERY:
                continue
            listed = self._refused.get(kind, now, partial(self._list, calls))
            if isinstance(listed, Missing):
                # A list that the board does not have is an empty one, but for the first.
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
        samples = self._refused.get("utilisation", now, self._samples)
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
    """Join the lists of several GPUs; also the first reason why one of them is not there."""
    lists = list(lists)
    found: dict[int, tuple[GpuUse, ...]] = {}
    for listed in lists:
        if known(listed):
            for pid, use in listed.items():
                found[pid] = (*found.get(pid, ()), use)
    return found, next((listed for listed in lists if isinstance(listed, Missing)), None)
