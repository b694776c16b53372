"""The simulated machines. A new one is a function and a line in `BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nvltop.nvml.simulated.node import ADA, AMPERE, HOPPER, VOLTA, Board, End, Node

V100: Final = Board("Tesla V100-SXM2-32GB", VOLTA, 32, 300, 3, 2, 25781, total_scope=False)
A100: Final = Board("NVIDIA A100-SXM4-80GB", AMPERE, 80, 400, 4, 4, 25000)
H100: Final = Board("NVIDIA H100 80GB HBM3", HOPPER, 80, 700, 5, 6, 26562)
RTX3090: Final = Board("NVIDIA GeForce RTX 3090", AMPERE, 24, 350, 4, 5, 14062, data_counts=False)
RTX4090: Final = Board("NVIDIA GeForce RTX 4090", ADA, 24, 450, 4)

HYBRID_CUBE_MESH: Final = (
    (0, 1, 1, 2, 2, 0, 0, 0),
    (1, 0, 2, 1, 0, 2, 0, 0),
    (1, 2, 0, 2, 0, 0, 1, 0),
    (2, 1, 2, 0, 0, 0, 0, 1),
    (2, 0, 0, 0, 0, 1, 1, 2),
    (0, 2, 0, 0, 1, 0, 2, 1),
    (0, 0, 1, 0, 1, 2, 0, 2),
    (0, 0, 0, 1, 2, 1, 2, 0),
)
"""Links of each pair of a DGX-1 V100, as `nvidia-smi topo -m` prints them there."""


def switched(gpus: int, links: int, switches: int) -> tuple[tuple[End, ...], ...]:
    """Join every link to a switch, the links of a GPU spread over all switches."""
    return tuple(
        tuple(End("switch", k % switches, g * links // switches + k // switches) for k in range(links))
        for g in range(gpus)
    )


def direct(counts: Sequence[Sequence[int]]) -> tuple[tuple[End, ...], ...]:
    """Join GPUs straight to each other, with so many links a pair."""
    ends: list[list[End]] = [[] for _ in counts]
    for a, row in enumerate(counts):
        for b in range(a + 1, len(counts)):
            for _ in range(row[b]):
                here, there = len(ends[a]), len(ends[b])
                ends[a].append(End("gpu", b, there))
                ends[b].append(End("gpu", a, here))
    return tuple(map(tuple, ends))


def all_pairs(gpus: int, links: int) -> list[list[int]]:
    """Return the link counts of GPUs of which each pair is joined alike."""
    return [[links if a != b else 0 for b in range(gpus)] for a in range(gpus)]


def dgx_h100() -> Node:
    """8 GPUs on 4 switches."""
    buses = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)
    return Node(
        H100, buses, switched(8, 18, 4), "570.86.15", 12080, (5, 6, 7, 8), (0,) * 4 + (1,) * 4, cpus=224
    )


def dgx_a100() -> Node:
    """8 GPUs on 6 switches."""
    buses = (0x07, 0x0F, 0x47, 0x4E, 0x87, 0x90, 0xB7, 0xBD)
    switches = (0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9)
    return Node(
        A100, buses, switched(8, 12, 6), "535.183.01", 12020, switches, (3, 3, 1, 1, 7, 7, 5, 5), cpus=256
    )


def hgx_a100_4() -> Node:
    """4 GPUs, 4 links a pair."""
    return Node(
        A100,
        (0x01, 0x41, 0x81, 0xC1),
        direct(all_pairs(4, 4)),
        "550.54.15",
        12040,
        numa=(0, 1, 2, 3),
        cpus=128,
    )


def dgx1_v100() -> Node:
    """8 GPUs in a hybrid cube mesh."""
    buses = (0x06, 0x07, 0x0A, 0x0B, 0x85, 0x86, 0x89, 0x8A)
    return Node(V100, buses, direct(HYBRID_CUBE_MESH), "535.183.01", 12020, numa=(0,) * 4 + (1,) * 4, cpus=80)


def rtx3090_pair() -> Node:
    """Two cards with a bridge."""
    return Node(RTX3090, (0x01, 0x21), direct(all_pairs(2, 4)), "560.35.03", 12060, numa=(0, 0), near="PHB")


def rtx4090_pair() -> Node:
    """Two cards that can only talk over PCIe."""
    return Node(RTX4090, (0x01, 0x41), ((), ()), "560.35.03", 12060, numa=(0, 0), near="PHB")


def no_gpu() -> Node:
    """A driver without a GPU."""
    return replace(rtx4090_pair(), buses=(), links=(), numa=())


def no_driver() -> Node:
    """A library without a driver."""
    return replace(no_gpu(), init=9)


BUILDERS: Final[dict[str, Callable[[], Node]]] = {
    "dgx-h100": dgx_h100,
    "dgx-a100": dgx_a100,
    "hgx-a100-4": hgx_a100_4,
    "dgx1-v100": dgx1_v100,
    "rtx3090-pair": rtx3090_pair,
    "rtx4090-pair": rtx4090_pair,
    "no-gpu": no_gpu,
    "no-driver": no_driver,
}
