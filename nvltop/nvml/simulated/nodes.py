"""The simulated machines.

To add one, add an entry to `BUILDERS` and its description to `nvltop.nvml.demo_nodes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nvltop.nvml.simulated import boards, nic_catalog
from nvltop.nvml.simulated.link_layout import (
    UNCONNECTED,
    LinkLayout,
    all_pairs,
    bridged,
    direct,
    switched,
    with_unconnected,
)
from nvltop.nvml.simulated.node import Board, Node

CUBE_MESH_P100: Final = (
    (0, 1, 1, 1, 1, 0, 0, 0),
    (1, 0, 1, 1, 0, 1, 0, 0),
    (1, 1, 0, 1, 0, 0, 1, 0),
    (1, 1, 1, 0, 0, 0, 0, 1),
    (1, 0, 0, 0, 0, 1, 1, 1),
    (0, 1, 0, 0, 1, 0, 1, 1),
    (0, 0, 1, 0, 1, 1, 0, 1),
    (0, 0, 0, 1, 1, 1, 1, 0),
)
CUBE_MESH_V100: Final = (
    (0, 1, 1, 2, 2, 0, 0, 0),
    (1, 0, 2, 1, 0, 2, 0, 0),
    (1, 2, 0, 2, 0, 0, 1, 0),
    (2, 1, 2, 0, 0, 0, 0, 1),
    (2, 0, 0, 0, 0, 1, 1, 2),
    (0, 2, 0, 0, 1, 0, 2, 1),
    (0, 0, 1, 0, 1, 2, 0, 2),
    (0, 0, 0, 1, 2, 1, 2, 0),
)
"""Number of links between each pair of GPUs of a DGX-1, as in the output of `nvidia-smi topo -m`."""

H100_BRIDGE_LINKS: Final = (0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15)
"""Active links of a bridged H100 PCIe or NVL: 12 of 18, with gaps."""

HGX_BUSES: Final = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)
"""PCI bus number of each GPU."""
TWO_SOCKETS: Final = (0, 0, 0, 0, 1, 1, 1, 1)
"""NUMA node of each GPU on a machine with two processors."""
FOUR_SOCKETS: Final = (3, 3, 1, 1, 7, 7, 5, 5)
"""NUMA node of each GPU of a DGX A100, whose processors have four NUMA nodes each."""
CLUSTER_UUID: Final = bytes.fromhex("7b1e55aa90024c11a0d3f2c4e6081357")

DRIVER_535: Final = ("535.183.01", 12020)
DRIVER_570: Final = ("570.86.15", 12080)
DRIVER_580: Final = ("580.95.05", 13000)
DRIVER_595: Final = ("595.45.04", 13020)
DRIVER_615: Final = ("615.10", 13040)
"""The first branch with GPU Operational Events; its version number is ours."""
DRIVER_620: Final = ("620.10", 13050)
"""The first branch whose header has nvmlDeviceGetGpuUptime_v1; its version number is ours."""


def make_node(board: Board, links: LinkLayout, driver: tuple[str, int], **properties: Any) -> Node:
    """Return a machine with GPUs of one model."""
    n = len(links)
    properties.setdefault("buses", tuple(HGX_BUSES[:n]) if n <= 8 else tuple(range(0x10, 0x10 + n)))
    properties.setdefault("numa", TWO_SOCKETS[:n] if n == 8 else (0,) * n)
    return Node((board,) * n, links=links, driver=driver[0], cuda=driver[1], **properties)


def make_hgx(board: Board, links: int, switches: int, driver: tuple[str, int], **properties: Any) -> Node:
    """Return a machine with eight GPUs on NVSwitches."""
    buses = tuple(range(5, 5 + switches))
    return make_node(board, switched(8, links, switches), driver, switches=buses, cpus=224, **properties)


def make_single_gpu(board: Board, links: int, driver: tuple[str, int], **properties: Any) -> Node:
    """Return a machine with one GPU whose links are unconnected."""
    return make_node(board, ((UNCONNECTED,) * links,), driver, **properties)


def make_nvl72_tray(board: Board, gbit: int) -> Node:
    """Return a compute tray of an NVL72: four GPUs, with the rack's switches hidden."""
    return make_node(
        board, switched(4, 18, 18), DRIVER_580, switches=tuple(range(18)), numa=(0, 0, 1, 1), domain=8,
        cpus=144, hides_remotes=True, clique_id=32766, cluster_uuid=CLUSTER_UUID,
        nics=nic_catalog.nvl72_tray(gbit),
    )  # fmt: skip


def make_mixed() -> Node:
    """Return a machine with two bridged A100s and an RTX 4090."""
    gpus = (boards.A100_PCIE, boards.A100_PCIE, boards.RTX4090)
    links = (*bridged(2, 12, (0, 1)), ())
    return Node(gpus, (0x17, 0x31, 0xB1), links, DRIVER_570[0], DRIVER_570[1], numa=(0, 0, 1))


def make_dgx2() -> Node:
    """Return a DGX-2: 16 V100s on NVSwitches."""
    return make_node(
        boards.V100_SXM3, switched(16, 6, 6), DRIVER_535, switches=tuple(range(0x60, 0x66)),
        numa=(0,) * 8 + (1,) * 8, cpus=96,
    )  # fmt: skip


BUILDERS: Final[dict[str, Callable[[], Node]]] = {
    "dgx-h100": lambda: make_hgx(
        boards.H100, 18, 4, DRIVER_570, nics=nic_catalog.dgx_h100(400, 200, TWO_SOCKETS)
    ),
    "dgx-h200": lambda: make_hgx(
        boards.H200, 18, 4, DRIVER_570, nics=nic_catalog.dgx_h100(400, 200, TWO_SOCKETS)
    ),
    "dgx-a100": lambda: make_hgx(
        boards.A100,
        12,
        6,
        DRIVER_535,
        numa=FOUR_SOCKETS,
        nics=nic_catalog.dgx_a100(FOUR_SOCKETS),
        gpus_per_switch=2,
    ),
    "a800": lambda: make_hgx(boards.A800, 8, 4, DRIVER_535, nics=nic_catalog.hgx_a800()),
    "h800": lambda: make_node(
        boards.H800,
        with_unconnected(switched(8, 8, 4), 18, range(8)),
        DRIVER_570,
        switches=(5, 6, 7, 8),
        cpus=224,
    ),
    "dgx1-p100": lambda: make_node(boards.P100, direct(CUBE_MESH_P100), DRIVER_535, cpus=80),
    "dgx1-v100": lambda: make_node(
        boards.V100,
        direct(CUBE_MESH_V100),
        DRIVER_535,
        cpus=80,
        nics=nic_catalog.dgx1(),
        gpus_per_switch=2,
        gpus_per_host=4,
    ),
    "dgx2": make_dgx2,
    "hgx-a100-4": lambda: make_node(
        boards.A100, direct(all_pairs(4, 4)), DRIVER_570, numa=(0, 1, 2, 3), cpus=128
    ),
    "hgx-h100-4": lambda: make_node(
        boards.H100, direct(all_pairs(4, 6)), DRIVER_570, numa=(0, 0, 1, 1), cpus=128
    ),
    "a100-pcie-pairs": lambda: make_node(
        boards.A100_PCIE, bridged(4, 12, (0, 1), (2, 3)), DRIVER_570, numa=(0, 1, 2, 3), cpus=96
    ),
    "a100-pcie": lambda: make_node(boards.A100_PCIE, bridged(2, 12), DRIVER_570, numa=(0, 1)),
    "h100-nvl-pair": lambda: make_node(
        boards.H100_NVL, with_unconnected(direct(all_pairs(2, 12)), 18, H100_BRIDGE_LINKS), DRIVER_570
    ),
    "h100-vm": lambda: make_node(
        boards.H100,
        switched(1, 18, 4),
        DRIVER_570,
        switches=(5, 6, 7, 8),
        hides_remotes=True,
        virtualization=1,
    ),
    "hgx-h100-vm": lambda: make_hgx(boards.H100, 18, 4, DRIVER_570, hides_remotes=True, virtualization=1),
    "h100-mig": lambda: make_hgx(boards.H100, 18, 4, DRIVER_570, mig=True),
    "hgx-b200": lambda: make_hgx(
        boards.B200, 18, 2, DRIVER_580, nics=nic_catalog.one_per_gpu(400, TWO_SOCKETS)
    ),
    "hgx-b300": lambda: make_hgx(
        boards.B300, 18, 2, DRIVER_595, nics=nic_catalog.one_per_gpu(800, TWO_SOCKETS, model="MT_0000001161")
    ),
    "gh200": lambda: make_single_gpu(boards.GH200, 18, DRIVER_570, domain=9, cpus=72),
    "gb200-tray": lambda: make_nvl72_tray(boards.GB200, 400),
    "gb300-tray": lambda: make_nvl72_tray(boards.GB300, 800),
    "rubin": lambda: make_hgx(boards.RUBIN_GPU, 36, 6, DRIVER_620),
    "gb10": lambda: make_single_gpu(boards.GB10, 0, DRIVER_580, domain=0xF, buses=(1,), cpus=20),
    "rtx3090-pair": lambda: make_node(
        boards.RTX3090, direct(all_pairs(2, 4)), DRIVER_570, same_numa_level="PHB"
    ),
    "rtx3090-nobridge": lambda: make_node(boards.RTX3090, bridged(2, 4), DRIVER_570, same_numa_level="PHB"),
    "a6000-3": lambda: make_node(boards.A6000, bridged(3, 4, (0, 1)), DRIVER_570),
    "rtx2080s-nobridge": lambda: make_single_gpu(boards.RTX2080S, 1, DRIVER_595, links_unsupported=True),
    "mixed": make_mixed,
    "rtx4090-pair": lambda: make_node(
        boards.RTX4090,
        ((), ()),
        DRIVER_570,
        same_numa_level="PHB",
        nics=nic_catalog.onboard_ethernet("eno1", gbit=10),
    ),
    "rtx5090-pair": lambda: make_node(boards.RTX5090, ((), ()), DRIVER_580, same_numa_level="PHB"),
    "l40s": lambda: make_single_gpu(boards.L40S, 0, DRIVER_595),
    "rtx-pro-6000": lambda: make_node(
        boards.RTX_PRO,
        ((),) * 4,
        DRIVER_580,
        numa=(0, 0, 1, 1),
        nics=nic_catalog.onboard_ethernet("eno1np0", "eno2np1", gbit=25),
    ),
    "no-gpu": lambda: Node((), (), (), *DRIVER_570),
    "no-driver": lambda: Node((), (), (), *DRIVER_570, init_code=9),
    "no-library": lambda: Node((), (), (), *DRIVER_570, init_code=12),
    "version-mismatch": lambda: Node((), (), (), *DRIVER_570, init_code=18),
}
