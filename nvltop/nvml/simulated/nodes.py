"""The simulated machines. A new one is an entry here and a line in `nvltop.nvml.demo_nodes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nvltop.nvml.simulated import boards, nic_catalog
from nvltop.nvml.simulated.link_layout import (
    UNCONNECTED,
    Links,
    all_pairs,
    bridges,
    direct,
    switched,
    thinned,
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
"""Links of each pair of a DGX-1, as `nvidia-smi topo -m` prints them there."""

NVL_ACTIVE: Final = (0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15)
"""Which of the 18 links of a bridged H100 PCIe or NVL are up: 12, with holes."""

BUSES: Final = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)
TWO_SOCKETS: Final = (0, 0, 0, 0, 1, 1, 1, 1)
FOUR_SOCKETS: Final = (3, 3, 1, 1, 7, 7, 5, 5)
"""NUMA nodes of a DGX A100, whose processors are cut into four each."""
CLUSTER: Final = bytes.fromhex("7b1e55aa90024c11a0d3f2c4e6081357")

OLD: Final = ("535.183.01", 12020)
MIDDLE: Final = ("570.86.15", 12080)
NEW: Final = ("580.95.05", 13000)
NEWEST: Final = ("595.45.04", 13020)


def node(board: Board, links: Links, driver: tuple[str, int], **what: Any) -> Node:
    """Put GPUs of one model into a machine."""
    n = len(links)
    what.setdefault("buses", tuple(BUSES[:n]) if n <= 8 else tuple(range(0x10, 0x10 + n)))
    what.setdefault("numa", TWO_SOCKETS[:n] if n == 8 else (0,) * n)
    return Node((board,) * n, links=links, driver=driver[0], cuda=driver[1], **what)


def hgx(board: Board, links: int, switches: int, driver: tuple[str, int], **what: Any) -> Node:
    """Put eight GPUs on NVSwitches."""
    buses = tuple(range(5, 5 + switches))
    return node(board, switched(8, links, switches), driver, switches=buses, cpus=224, **what)


def alone(board: Board, links: int, driver: tuple[str, int], **what: Any) -> Node:
    """Put one GPU into a machine, its links unconnected."""
    return node(board, ((UNCONNECTED,) * links,), driver, **what)


def tray(board: Board, gbit: int) -> Node:
    """Build a compute tray of an NVL72: four GPUs, the rack's switches out of sight."""
    return node(
        board, switched(4, 18, 18), NEW, switches=tuple(range(18)), numa=(0, 0, 1, 1), domain=8,
        cpus=144, hidden=True, clique=32766, cluster=CLUSTER, nics=nic_catalog.grace(gbit),
    )  # fmt: skip


def a_pair_and_a_4090() -> Node:
    """Mix two bridged A100 with a card of another kind."""
    gpus = (boards.A100_PCIE, boards.A100_PCIE, boards.RTX4090)
    links = (*bridges(2, 12, (0, 1)), ())
    return Node(gpus, (0x17, 0x31, 0xB1), links, MIDDLE[0], MIDDLE[1], numa=(0, 0, 1))


def dgx2() -> Node:
    """16 V100 on 12 switches."""
    return node(
        boards.V100_SXM3, switched(16, 6, 6), OLD, switches=tuple(range(0x60, 0x66)),
        numa=(0,) * 8 + (1,) * 8, cpus=96,
    )  # fmt: skip


BUILDERS: Final[dict[str, Callable[[], Node]]] = {
    "dgx-h100": lambda: hgx(boards.H100, 18, 4, MIDDLE, nics=nic_catalog.dgx(400, 200, TWO_SOCKETS)),
    "dgx-h200": lambda: hgx(boards.H200, 18, 4, MIDDLE, nics=nic_catalog.dgx(400, 200, TWO_SOCKETS)),
    "dgx-a100": lambda: hgx(
        boards.A100, 12, 6, OLD, numa=FOUR_SOCKETS, nics=nic_catalog.dgx_a100(FOUR_SOCKETS), gpus_per_switch=2
    ),
    "a800": lambda: hgx(boards.A800, 8, 4, OLD, nics=nic_catalog.few()),
    "h800": lambda: node(
        boards.H800, thinned(switched(8, 8, 4), 18, range(8)), MIDDLE, switches=(5, 6, 7, 8), cpus=224
    ),
    "dgx1-p100": lambda: node(boards.P100, direct(CUBE_MESH_P100), OLD, cpus=80),
    "dgx1-v100": lambda: node(
        boards.V100,
        direct(CUBE_MESH_V100),
        OLD,
        cpus=80,
        nics=nic_catalog.dgx1(),
        gpus_per_switch=2,
        gpus_per_host=4,
    ),
    "dgx2": dgx2,
    "hgx-a100-4": lambda: node(boards.A100, direct(all_pairs(4, 4)), MIDDLE, numa=(0, 1, 2, 3), cpus=128),
    "hgx-h100-4": lambda: node(boards.H100, direct(all_pairs(4, 6)), MIDDLE, numa=(0, 0, 1, 1), cpus=128),
    "a100-pcie-pairs": lambda: node(
        boards.A100_PCIE, bridges(4, 12, (0, 1), (2, 3)), MIDDLE, numa=(0, 1, 2, 3), cpus=96
    ),
    "a100-pcie": lambda: node(boards.A100_PCIE, bridges(2, 12), MIDDLE, numa=(0, 1)),
    "h100-nvl-pair": lambda: node(boards.H100_NVL, thinned(direct(all_pairs(2, 12)), 18, NVL_ACTIVE), MIDDLE),
    "h100-vm": lambda: node(
        boards.H100, switched(1, 18, 4), MIDDLE, switches=(5, 6, 7, 8), hidden=True, virtualization=1
    ),
    "hgx-h100-vm": lambda: hgx(boards.H100, 18, 4, MIDDLE, hidden=True, virtualization=1),
    "h100-mig": lambda: hgx(boards.H100, 18, 4, MIDDLE, mig=True),
    "hgx-b200": lambda: hgx(boards.B200, 18, 2, NEW, nics=nic_catalog.rails(400, TWO_SOCKETS)),
    "hgx-b300": lambda: hgx(
        boards.B300, 18, 2, NEWEST, nics=nic_catalog.rails(800, TWO_SOCKETS, model="MT_0000001161")
    ),
    "gh200": lambda: alone(boards.GH200, 18, MIDDLE, domain=9, cpus=72),
    "gb200-tray": lambda: tray(boards.GB200, 400),
    "gb300-tray": lambda: tray(boards.GB300, 800),
    "rubin": lambda: hgx(boards.RUBIN_GPU, 36, 6, NEWEST),
    "gb10": lambda: alone(boards.GB10, 0, NEW, domain=0xF, buses=(1,), cpus=20),
    "rtx3090-pair": lambda: node(boards.RTX3090, direct(all_pairs(2, 4)), MIDDLE, near="PHB"),
    "rtx3090-nobridge": lambda: node(boards.RTX3090, bridges(2, 4), MIDDLE, near="PHB"),
    "a6000-3": lambda: node(boards.A6000, bridges(3, 4, (0, 1)), MIDDLE),
    "rtx2080s-nobridge": lambda: alone(boards.RTX2080S, 1, NEWEST, no_links_told=True),
    "mixed": a_pair_and_a_4090,
    "rtx4090-pair": lambda: node(
        boards.RTX4090, ((), ()), MIDDLE, near="PHB", nics=nic_catalog.plain("eno1", gbit=10)
    ),
    "rtx5090-pair": lambda: node(boards.RTX5090, ((), ()), NEW, near="PHB"),
    "l40s": lambda: alone(boards.L40S, 0, NEWEST),
    "rtx-pro-6000": lambda: node(
        boards.RTX_PRO,
        ((),) * 4,
        NEW,
        numa=(0, 0, 1, 1),
        nics=nic_catalog.plain("eno1np0", "eno2np1", gbit=25),
    ),
    "no-gpu": lambda: Node((), (), (), *MIDDLE),
    "no-driver": lambda: Node((), (), (), *MIDDLE, init=9),
    "no-library": lambda: Node((), (), (), *MIDDLE, init=12),
    "version-mismatch": lambda: Node((), (), (), *MIDDLE, init=18),
}
