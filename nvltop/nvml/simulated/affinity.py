"""CPUs and NUMA nodes near a simulated GPU, and the NUMA node of its own memory."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import c_int, c_uint, c_ulonglong, c_void_p
from typing import Any, Final

from nvltop.nvml.simulated.abi import NOT_SUPPORTED, SUCCESS, FunctionTable, SimulatedDriver, put

NUMA_ID_MIN_BRANCH: Final = 550
"""Oldest driver branch with nvmlDeviceGetNumaNodeId."""
NODES_PER_GPU: Final = 8
"""NUMA nodes that the kernel reserves for each GPU of a Grace board, one for each possible MIG instance."""
P, U = c_void_p, c_uint


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return the simulated functions that report affinity."""
    node = driver.machine.node
    sockets = sorted(set(node.numa))

    def cpus(gpu: int) -> Iterable[int]:
        # Linux numbers the first threads of all cores, then the second ones. Grace cores have one thread.
        threads = 1 if own_node(gpu) is not None else 2
        share = node.cpus // len(sockets) // threads
        first = sockets.index(node.numa[gpu]) * share
        return (first + k + t * node.cpus // threads for t in range(threads) for k in range(share))

    def own_node(gpu: int) -> int | None:
        board = node.boards[gpu]
        return len(sockets) + NODES_PER_GPU * gpu if board.c2c_links and board.memory_gib else None

    def memory_nodes(gpu: int) -> set[int]:
        near = {node.numa[gpu]}
        if len(sockets) > 1:
            firsts = [own_node(g) for g in range(node.gpus) if node.numa[g] == node.numa[gpu]]
            near |= {first + k for first in firsts if first is not None for k in range(NODES_PER_GPU)}
        return near

    def numa_id(gpu: int, out: int) -> int:
        first = own_node(gpu)
        return NOT_SUPPORTED if first is None else put(c_int, out, first)

    table: FunctionTable = {
        "nvmlDeviceGetCpuAffinity": ((P, U, P), lambda gpu, n, out: _put_mask(out, n, cpus(gpu))),
        "nvmlDeviceGetMemoryAffinity": (
            (P, U, P, U),
            lambda gpu, n, out, scope: _put_mask(out, n, memory_nodes(gpu)),
        ),
    }
    if int(node.driver.split(".")[0]) >= NUMA_ID_MIN_BRANCH:
        table["nvmlDeviceGetNumaNodeId"] = ((P, P), numa_id)
    return table


def _put_mask(address: int, count: int, bits: Iterable[int]) -> int:
    """Write a bit mask of `count` 64-bit words; return SUCCESS."""
    words: Any = (c_ulonglong * count).from_address(address)
    words[:] = [0] * count
    for bit in bits:
        if bit // 64 < count:
            words[bit // 64] |= 1 << bit % 64
    return SUCCESS
