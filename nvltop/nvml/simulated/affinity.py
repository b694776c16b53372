"""Which CPUs and NUMA nodes are near a simulated GPU, and which node its own memory is."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import c_int, c_uint, c_ulonglong, c_void_p
from typing import TYPE_CHECKING, Any, Final

from nvltop.nvml.simulated.fields import NOT_SUPPORTED
from nvltop.nvml.simulated.library import SUCCESS, put

if TYPE_CHECKING:
    from nvltop.nvml.simulated.functions import Table
    from nvltop.nvml.simulated.library import Library

NUMA_ID_MIN_BRANCH: Final = 550
"""The driver series that brought nvmlDeviceGetNumaNodeId."""
NODES_PER_GPU: Final = 8
"""NUMA nodes that the kernel keeps for each GPU of a Grace board, one for each possible MIG instance."""
P, U = c_void_p, c_uint


def functions(lib: Library) -> Table:
    """Return the functions about affinity that the simulated driver has."""
    node = lib.machine.node
    sockets = sorted(set(node.numa))

    def cpus(gpu: int) -> Iterable[int]:
        # Linux numbers the first threads of all cores, then the second ones; Grace cores have one.
        threads = 1 if own(gpu) is not None else 2
        share = node.cpus // len(sockets) // threads
        first = sockets.index(node.numa[gpu]) * share
        return (first + k + t * node.cpus // threads for t in range(threads) for k in range(share))

    def own(gpu: int) -> int | None:
        board = node.boards[gpu]
        return len(sockets) + NODES_PER_GPU * gpu if board.c2c_links and board.memory_gib else None

    def memory(gpu: int) -> set[int]:
        near = {node.numa[gpu]}
        if len(sockets) > 1:
            firsts = [own(g) for g in range(node.gpus) if node.numa[g] == node.numa[gpu]]
            near |= {first + k for first in firsts if first is not None for k in range(NODES_PER_GPU)}
        return near

    def numa_id(gpu: int, out: int) -> int:
        first = own(gpu)
        return NOT_SUPPORTED if first is None else put(c_int, out, first)

    table: Table = {
        "nvmlDeviceGetCpuAffinity": ((P, U, P), lambda gpu, n, out: _fill(out, n, cpus(gpu))),
        "nvmlDeviceGetMemoryAffinity": (
            (P, U, P, U),
            lambda gpu, n, out, scope: _fill(out, n, memory(gpu)),
        ),
    }
    if int(node.driver.split(".")[0]) >= NUMA_ID_MIN_BRANCH:
        table["nvmlDeviceGetNumaNodeId"] = ((P, P), numa_id)
    return table


def _fill(out: int, count: int, bits: Iterable[int]) -> int:
    """Write a mask into the caller's words."""
    words: Any = (c_ulonglong * count).from_address(out)
    words[:] = [0] * count
    for bit in bits:
        if bit // 64 < count:
            words[bit // 64] |= 1 << bit % 64
    return SUCCESS
