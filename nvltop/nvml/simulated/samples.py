"""Values that the simulated driver samples over time: GPM (Hopper and later), utilization (all boards)."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from ctypes import c_double, c_int, c_uint, c_ulonglong, c_void_p
from typing import Final

import pynvml

from nvltop.nvml.simulated.abi import (
    INSUFFICIENT_SIZE,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NOT_SUPPORTED,
    SUCCESS,
    FunctionTable,
    SimulatedDriver,
    gpu_of,
    put,
)
from nvltop.nvml.simulated.node import HOPPER

GPM_UNITS: Final = {2: "sm", 5: "tensor", 10: "dram"}
"""Units of the GPU by GPM metric id; the metric is their activity in percent."""
GPM_PCIE: Final = {20: "tx", 21: "rx"}
GPM_C2C: Final = {100: "tx", 101: "rx"}
"""Direction of PCIe and C2C traffic by GPM metric id; the metric is in MiB/s."""
MIB: Final = 1 << 20

UTILIZATION: Final = 1
"""nvmlSamplingType_t of GPU utilization, for `nvmlDeviceGetSamples`."""
SAMPLE_INTERVAL_S: Final = 1 / 6
"""Time between two utilization samples, seconds."""
MAX_SAMPLES: Final = 100
"""Number of utilization samples that the driver keeps."""
UNSIGNED_INT: Final = 1
"""nvmlValueType_t of the samples."""
P, U = c_void_p, c_uint


class GpmSample(ctypes.Structure):
    """Content of an nvmlGpmSample_t: the sampled GPU and the time."""

    _fields_ = (("gpu", c_int), ("t", c_double))


class GpmMetric(ctypes.Structure):
    """An nvmlGpmMetric_t, without the text that the class of `pynvml` looks for at each access."""

    _fields_ = (("id", c_uint), ("code", c_uint), ("value", c_double), ("names", c_void_p * 3))


METRICS_OFFSET: Final = pynvml.c_nvmlGpmMetricsGet_t.metrics.offset
"""Offset of the metrics in an nvmlGpmMetricsGet_t, bytes."""


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return the simulated functions that sample."""
    boards = driver.machine.node.boards
    table: FunctionTable = {"nvmlDeviceGetSamples": ((P, U, c_ulonglong, P, P, P), _utilization(driver))}
    return table | _gpm(driver) if boards and boards[0].architecture >= HOPPER else table


def _utilization(driver: SimulatedDriver) -> Callable[..., int]:
    def samples(gpu: int, kind: int, seen_us: int, value_type: int, count: int, out: int | None) -> int:
        if kind != UTILIZATION:
            return NOT_SUPPORTED
        put(c_uint, value_type, UNSIGNED_INT)
        room = c_uint.from_address(count).value
        if not out:
            return put(c_uint, count, MAX_SAMPLES)
        now, wall_us = driver.t, driver.wall_us
        newest = math.floor(now / SAMPLE_INTERVAL_S)
        seen = math.floor((now - (wall_us - seen_us) / 1e6) / SAMPLE_INTERVAL_S)
        found = []
        for number in range(max(1, newest - MAX_SAMPLES + 1, seen), newest + 1):
            stamp_us = wall_us - round(1e6 * (now - number * SAMPLE_INTERVAL_S))
            if stamp_us > seen_us:
                mean = driver.machine.mean_activity(
                    gpu, "util", (number - 1) * SAMPLE_INTERVAL_S, number * SAMPLE_INTERVAL_S
                )
                found.append((stamp_us, round(100 * mean)))
        if not found:
            return NOT_FOUND
        if len(found) > room:
            return INSUFFICIENT_SIZE
        array = (pynvml.c_nvmlSample_t * room).from_address(out)
        for entry, (stamp_us, percent) in zip(array, found, strict=False):
            entry.timeStamp, entry.sampleValue.uiVal = stamp_us, percent
        return put(c_uint, count, len(found))

    return samples


def _gpm(driver: SimulatedDriver) -> FunctionTable:
    machine = driver.machine
    taken: dict[int, GpmSample] = {}
    """Allocated samples by address."""

    def alloc(out: int) -> int:
        sample = GpmSample(gpu=-1)
        taken[ctypes.addressof(sample)] = sample
        return put(c_void_p, out, ctypes.addressof(sample))

    def free(address: int) -> int:
        return SUCCESS if taken.pop(address, None) else INVALID_ARGUMENT

    def support(handle: int, out: int) -> int:
        pynvml.c_nvmlGpmSupport_t.from_address(out).isSupportedDevice = 1
        return SUCCESS

    def take(handle: int, address: int) -> int:
        sample = taken[address]
        sample.gpu, sample.t = gpu_of(handle), driver.t
        return SUCCESS

    def value(metric: int, gpu: int, start_s: float, end_s: float) -> float | None:
        if unit := GPM_UNITS.get(metric):
            return 100 * machine.mean_activity(gpu, unit, start_s, end_s)
        if direction := GPM_PCIE.get(metric):
            flow = machine.pcie(gpu, direction)
        elif (direction := GPM_C2C.get(metric)) and machine.node.boards[gpu].c2c_links:
            flow = machine.c2c(gpu, direction)
        else:
            return None
        return (flow.integral(end_s) - flow.integral(start_s)) / (end_s - start_s) / MIB

    def metrics(out: int) -> int:
        request = pynvml.c_nvmlGpmMetricsGet_t.from_address(out)
        first, last = (taken[ctypes.cast(s, c_void_p).value or 0] for s in (request.sample1, request.sample2))
        for metric in (GpmMetric * request.numMetrics).from_address(out + METRICS_OFFSET):
            answer = value(metric.id, first.gpu, first.t, last.t)
            metric.code = NOT_SUPPORTED if answer is None else SUCCESS
            if answer is not None:
                metric.value = answer
        return SUCCESS

    return {
        "nvmlGpmQueryDeviceSupport": ((P, P), support),
        "nvmlGpmSampleAlloc": ((P,), alloc),
        "nvmlGpmSampleFree": ((P,), free),
        "nvmlGpmSampleGet": ((P, P), take),
        "nvmlGpmMetricsGet": ((P,), metrics),
    }
