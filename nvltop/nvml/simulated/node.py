"""What a simulated machine is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nvltop.nvml.simulated.nic_catalog import NicSpecs

PASCAL, VOLTA, TURING, AMPERE, ADA, HOPPER, BLACKWELL, RUBIN = 4, 5, 6, 7, 8, 9, 10, 13
"""NVML's numbers of the architectures."""


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """Where a link ends: a switch or a GPU, and the link number there."""

    kind: str
    """`gpu`, `switch`, or `none` for a link that is not connected."""
    device: int = 0
    link: int = 0


@dataclass(frozen=True, slots=True)
class Board:
    """A model of GPU, and how its driver answers."""

    name: str
    architecture: int
    memory_gib: int
    power_limit_w: int
    pcie_gen: int
    link_version: int = 0
    """NVML's enum: 2 is 2.0, 4 is 3.0, 5 is 3.1, 6 is 4.0."""
    link_mb_per_s: int = 0
    data_counts: bool = True
    """False where DATA counters stand still while RAW ones move (RTX 3090)."""
    total_scope: bool = True
    """Whether UINT_MAX as scope gives the sum of the links (not on P100 and V100)."""
    c2c_links: int = 0
    c2c_mb_per_s: int = 44712
    memory_info: bool = True
    """False on GB10, which has no memory of its own."""
    fabric: bool = False
    """Whether the GPU has a fabric state (Hopper and later, on NVSwitch)."""
    pcie_width: int = 16

    @property
    def averages_power(self) -> bool:
        """Whether `nvmlDeviceGetPowerUsage` gives a mean over a second: Ampere and later, but for GA100."""
        ga100 = self.architecture == AMPERE and self.link_version == 4
        return self.architecture >= AMPERE and not ga100


@dataclass(frozen=True, slots=True)
class Node:
    """A machine."""

    boards: tuple[Board, ...]
    """Of each GPU."""
    buses: tuple[int, ...]
    """PCI bus number of each GPU."""
    links: tuple[tuple[LinkEnd, ...], ...]
    """Of each GPU, by link index."""
    driver: str
    cuda: int
    switches: tuple[int, ...] = ()
    """PCI bus number of each NVSwitch."""
    numa: tuple[int, ...] = ()
    domain: int = 0
    """PCI domain of all devices."""
    pcie_levels: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """PCIe level of the pairs (lower index first) that the NUMA nodes do not tell."""
    cross_numa_level: str = "SYS"
    """PCIe level between GPUs of different NUMA nodes."""
    same_numa_level: str = "NODE"
    init_code: int = 0
    """What nvmlInit answers."""
    cpus: int = 64
    hides_remotes: bool = False
    """A VM that hides where links end."""
    virtualization: int = 0
    mig: bool = False
    """MIG is on: the driver refuses questions about links."""
    links_unsupported: bool = False
    """A driver that does not answer NVLink questions on a card without a bridge."""
    nics: NicSpecs = ()
    gpus_per_switch: int = 1
    """GPUs that share a PCIe switch, where NICs hang on it."""
    gpus_per_host: int = 1
    """GPUs that share a host bridge."""
    clique_id: int = 0
    cluster_uuid: bytes = bytes(16)

    @property
    def gpus(self) -> int:
        """Number of GPUs."""
        return len(self.buses)
