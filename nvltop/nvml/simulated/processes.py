"""The simulated machine's processes: one training job on all GPUs while it is busy, none while idle.

What the operating system knows of the processes is simulated as well. A demo therefore never shows real
processes that happen to have the same pids.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import c_uint, c_ulonglong, c_void_p
from typing import Final

import pynvml

from nvltop.model import Ancestor, GpuUse, Missing, Process, Processes
from nvltop.nvml.simulated.abi import (
    INSUFFICIENT_SIZE,
    NOT_FOUND,
    SUCCESS,
    FunctionTable,
    SimulatedDriver,
    put,
)

LAUNCHER: Final = 41000
"""Pid of torchrun. The pid of the rank on GPU n is larger by n + 1."""
RESIDENT_BYTES: Final = 6 << 30
"""Resident memory of each rank."""
AGE_S: Final = 5400.0
"""Age of the job when the demo starts, seconds."""


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return the simulated functions that list processes."""
    machine = driver.machine

    def compute(gpu: int, count: int, out: int | None) -> int:
        if not machine.busy:
            return put(c_uint, count, 0)
        room = c_uint.from_address(count).value
        put(c_uint, count, 1)
        if not out or room < 1:
            return INSUFFICIENT_SIZE
        info = pynvml.c_nvmlProcessInfo_v3_t.from_address(out)
        info.pid = LAUNCHER + 1 + gpu
        info.usedGpuMemory = machine.memory_used(gpu)
        info.gpuInstanceId = info.computeInstanceId = 0xFFFFFFFF
        return SUCCESS

    def empty(gpu: int, count: int, out: int | None) -> int:
        return put(c_uint, count, 0)

    def utilization(gpu: int, out: int | None, count: int, seen_us: int) -> int:
        if not machine.busy:
            return NOT_FOUND
        room = c_uint.from_address(count).value
        put(c_uint, count, 1)
        if not out or room < 1:
            return INSUFFICIENT_SIZE
        sample = pynvml.c_nvmlProcessUtilizationSample_t.from_address(out)
        ctypes.memset(out, 0, ctypes.sizeof(sample))
        sample.pid, sample.timeStamp = LAUNCHER + 1 + gpu, driver.wall_us
        sample.smUtil = round(100 * machine.utilization(gpu, driver.t))
        return SUCCESS

    three = (c_void_p, c_void_p, c_void_p)
    return {
        "nvmlDeviceGetComputeRunningProcesses_v3": (three, compute),
        "nvmlDeviceGetGraphicsRunningProcesses_v3": (three, empty),
        "nvmlDeviceGetMPSComputeRunningProcesses_v3": (three, empty),
        "nvmlDeviceGetProcessUtilization": ((*three, c_ulonglong), utilization),
    }


class SimulatedProcessTable:
    """A replacement of `host.processes.ProcessTable`."""

    def __init__(self, now_s: float) -> None:
        """Initialise the table; `now_s` is the Unix time at which the demo starts."""
        self._started_s = now_s - AGE_S

    def describe(self, uses: Mapping[int, tuple[GpuUse, ...]], unread: Missing | None = None) -> Processes:
        """Return the simulated processes, none of them hidden."""
        return Processes(
            tuple(self._rank(pid, on) for pid, on in sorted(uses.items())),
            unread=False if unread is None else unread,
        )

    def _rank(self, pid: int, uses: tuple[GpuUse, ...]) -> Process:
        return Process(
            pid=pid,
            uses=uses,
            executable="python3",
            user="ada",
            arguments="-u train.py --config pretrain.toml",
            cpu_percent=104.0,
            memory_bytes=RESIDENT_BYTES,
            started_s=self._started_s,
            ancestors=(Ancestor(LAUNCHER, "torchrun"), Ancestor(1, "systemd")),
        )
