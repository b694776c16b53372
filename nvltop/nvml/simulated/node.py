"""Description of a simulated machine: its boards, links, PCI buses and driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from nvltop.frozen import frozen
from nvltop.nvml.simulated.nic_catalog import NicSpecs

PASCAL, VOLTA, TURING, AMPERE, ADA, HOPPER, BLACKWELL, RUBIN = 4, 5, 6, 7, 8, 9, 10, 13
"""Values of nvmlDeviceArchitecture_t."""


@frozen
class LinkEnd:
    """Remote end of a link: a switch or a GPU, and the link number there."""

    kind: str
    """`gpu`, `switch`, or `none` for a link that is not connected."""
    device: int = 0
    """Index of the GPU or of the switch."""
    link: int = 0


@frozen
class Board:
    """A GPU model, and what its driver supports."""

    name: str
    architecture: int
    memory_gib: int
    power_limit_w: int
    pcie_gen: int
    link_version: int = 0
    """nvmlNvlinkVersion_t: 2 is 2.0, 4 is 3.0, 5 is 3.1, 6 is 4.0."""
    link_mb_per_s: int = 0
    data_counts: bool = True
    """Whether the DATA counters count; on an RTX 3090 only the RAW counters do."""
    total_scope: bool = True
    """Whether scope id UINT_MAX returns the sum over the links; not on P100 and V100."""
    c2c_links: int = 0
    c2c_mb_per_s: int = 44712
    memory_info: bool = True
    """Whether the driver reports GPU memory; not on GB10, which has none of its own."""
    fabric: bool = False
    """Whether the GPU has a fabric state (Hopper and later, on NVSwitch)."""
    pcie_width: int = 16
    slowdown_c: int | None = None
    """Temperature from which the hardware slows the GPU down; None since Ada, which reports margins."""

    @property
    def averages_power(self) -> bool:
        """Whether `nvmlDeviceGetPowerUsage` returns a mean over a second: since Ampere, except GA100."""
        ga100 = self.architecture == AMPERE and self.link_version == 4
        return self.architecture >= AMPERE and not ga100


@frozen
class Node:
    """A machine."""

    boards: tuple[Board, ...]
    """Board of each GPU."""
    buses: tuple[int, ...]
    """PCI bus number of each GPU."""
    links: tuple[tuple[LinkEnd, ...], ...]
    """Remote ends of each GPU's links, by link index."""
    driver: str
    cuda: int
    switches: tuple[int, ...] = ()
    """PCI bus number of each NVSwitch."""
    numa: tuple[int, ...] = ()
    """NUMA node of each GPU."""
    domain: int = 0
    """PCI domain of all devices."""
    pcie_levels: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """PCIe topology level of pairs (lower index first) for which the NUMA nodes do not determine it."""
    cross_numa_level: str = "SYS"
    """PCIe topology level between GPUs of different NUMA nodes."""
    same_numa_level: str = "NODE"
    """PCIe topology level between GPUs of one NUMA node."""
    init_code: int = 0
    """Return code of nvmlInit."""
    cpus: int = 64
    """Number of logical CPUs."""
    hides_remotes: bool = False
    """Whether the driver hides the remote ends of links, as in some VMs."""
    virtualization: int = 0
    """nvmlGpuVirtualizationMode_t."""
    mig: bool = False
    """Whether MIG is enabled; the driver then supports no calls about links."""
    links_unsupported: bool = False
    """Whether the driver supports no calls about links, as on some boards without a bridge."""
    nics: NicSpecs = ()
    gpus_per_switch: int = 1
    """Number of GPUs that share a PCIe switch with NICs."""
    gpus_per_host: int = 1
    """Number of GPUs that share a PCIe host bridge."""
    clique_id: int = 0
    """Clique id of the NVLink fabric."""
    cluster_uuid: bytes = bytes(16)
    """Cluster UUID of the NVLink fabric; all zero on a node without a multi-node fabric."""

    @property
    def branch(self) -> int:
        """Driver branch, such as 570."""
        return int(self.driver.partition(".")[0])

    @property
    def gpus(self) -> int:
        """Number of GPUs."""
        return len(self.buses)
