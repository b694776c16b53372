"""NICs of the simulated machines, located as `nvidia-smi topo -m` shows them on real machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.frozen import frozen


@frozen
class NicSpec:
    """A NIC with one port."""

    name: str
    gbit: int
    """Rate of the port, Gb/s."""
    gpu: int | None = None
    """Index of the GPU that the NIC serves; None for storage and management."""
    level: str = "NODE"
    """PCIe topology level to that GPU: `PIX`, `PXB` or `NODE`."""
    numa: int = 0
    bus: int = 0
    """PCI bus number."""
    function: int = 0
    """PCI function; an adapter with two ports has two."""
    layer: str = "InfiniBand"
    model: str = "MT_0000000838"
    rdma: bool = True


NicSpecs = tuple[NicSpec, ...]
STORAGE_MODEL: Final = "MT_0000000834"
"""Model of the adapters for storage."""


def dgx_h100(gbit: int, storage: int, numa: Sequence[int]) -> NicSpecs:
    """Return the NICs of a DGX H100: one for each GPU, and two adapters with two ports for storage."""
    serves = {0: 0, 3: 1, 4: 2, 5: 3, 6: 4, 9: 5, 10: 6, 11: 7}
    return tuple(
        NicSpec(f"mlx5_{i}", gbit, serves[i], "PXB", numa[serves[i]], 0x18 + 12 * i)
        if i in serves
        else NicSpec(
            f"mlx5_{i}", storage, None, numa=i // 6, bus=0x29 + 0x80 * (i // 6), function=(i + 1) % 2,
            layer="Ethernet", model=STORAGE_MODEL,
        )
        for i in range(12)
    )  # fmt: skip


def dgx_a100(numa: Sequence[int]) -> NicSpecs:
    """Return the NICs of a DGX A100: two for each pair of GPUs, and one adapter with two ports."""
    serving = [
        NicSpec(f"mlx5_{i}", 200, i, "PXB", numa[i], 0x0C + 0x1A * i, model="MT_0000000223") for i in range(8)
    ]
    ports = [
        NicSpec(
            f"mlx5_{8 + i}", 200, None, numa=4, bus=0xE1, function=i, layer="Ethernet", model=STORAGE_MODEL
        )
        for i in range(2)
    ]
    return (*serving, *ports)


def one_per_gpu(gbit: int, numa: Sequence[int], model: str = "MT_0000000838") -> NicSpecs:
    """Return one NIC for each GPU, on the same PCIe switch, and a bond."""
    serving = [
        NicSpec(f"mlx5_{i}", gbit, i, "PIX", numa_node, 0x18 + 16 * i, model=model)
        for i, numa_node in enumerate(numa)
    ]
    return (*serving, NicSpec("mlx5_bond_0", 200, None, bus=0x05, layer="Ethernet", model=STORAGE_MODEL))


def dgx1() -> NicSpecs:
    """Return the four NICs of a DGX-1, each on a PCIe switch with two GPUs."""
    return tuple(
        NicSpec(f"mlx5_{i}", 100, 2 * i, "PIX", i // 2, 0x05 + 0x40 * i, model="MT_2180110032")
        for i in range(4)
    )


def hgx_a800() -> NicSpecs:
    """Return the four NICs of an 8 × A800 machine, on the PCIe switches of three GPUs."""
    locations = ((1, 0, 0x2A, 0), (3, 0, 0x5A, 0), (7, 1, 0xE2, 0), (7, 1, 0xE2, 1))
    return tuple(
        NicSpec(f"mlx5_{i}", 200, gpu, "PIX", numa, bus, function, model="MT_0000000226")
        for i, (gpu, numa, bus, function) in enumerate(locations)
    )


def nvl72_tray(gbit: int) -> NicSpecs:
    """Return the NICs of a tray of an NVL72: two for each socket's GPUs, and a DPU with two ports."""
    serving = [(0, 0, 0x03), (1, 0, 0x13), (4, 1, 0x83), (5, 1, 0x93)]
    return (
        *(
            NicSpec(f"mlx5_{n}", gbit, 2 * numa, "NODE", numa, bus, model="MT_0000001119")
            for n, numa, bus in serving[:2]
        ),
        *(
            NicSpec(f"mlx5_{2 + i}", 200, None, bus=0x23, function=i, layer="Ethernet", model="MT_0000000884")
            for i in range(2)
        ),
        *(
            NicSpec(f"mlx5_{n}", gbit, 2 * numa, "NODE", numa, bus, model="MT_0000001119")
            for n, numa, bus in serving[2:]
        ),
    )


def onboard_ethernet(*names: str, gbit: int) -> NicSpecs:
    """Return Ethernet interfaces without RDMA, the ports of one adapter."""
    return tuple(
        NicSpec(name, gbit, None, bus=0x04, function=i, layer="Ethernet", model="8086:1563", rdma=False)
        for i, name in enumerate(names)
    )
