"""Network interfaces: what joins this node to others, and where they sit on the PCI bus."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nvltop.model.missing import NOT_READ, Maybe, Missing

NO_NODE: Final = Missing("the kernel tells no NUMA node")
"""The NUMA node of a device to which the firmware assigns none (-1), on a machine with several."""
LPF: Final = "lpf"
"""Role of an NVSwitch's management function (limited port function, HGX B200 and B300): an InfiniBand device
through which NVLSM reaches the switch. It has no cable and carries no data of jobs."""


@dataclass(frozen=True, slots=True)
class PciLocation:
    """Where a PCI device sits."""

    pci_bus_id: str
    """As the kernel writes it: `0000:1b:00.0`."""
    bridges: tuple[str, ...]
    """The way down to it: the host bridge (`pci0000:15`), then every PCI bridge."""
    numa_node: Maybe[int | None] = NOT_READ
    """None where the machine has one NUMA node and the device none, or the kernel knows none at all."""
    port_width: Maybe[int] = NOT_READ
    """Lanes of the PCIe port above it, which is the slot's limit (`max_link_width` in sysfs); GPUs only."""
    port_gen: Maybe[int] = NOT_READ
    """PCIe generation that the port above it supports (`max_link_speed` in sysfs); GPUs only."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One RDMA device, or one Ethernet interface that no RDMA device stands for."""

    device: str
    """Its name: `mlx5_0`, `ens1f0`."""
    rdma: bool
    location: Maybe[PciLocation] = NOT_READ
    """Missing for what is on no PCI bus, such as software RDMA."""
    model: str = ""
    """What alike devices have in common: the board's part number, or PCI vendor and device."""
    virtual: bool = False
    """A virtual function (SR-IOV)."""
    bond: bool = False
    """Several ports made one."""
    interfaces: tuple[str, ...] = ()
    """Network interfaces of the same ports."""
    role: str = ""
    """`lpf` for the management function of an NVSwitch; empty for a NIC that carries data."""


@dataclass(frozen=True, slots=True)
class NicPort:
    """What one port said at one poll; the counters are cumulative."""

    device: str
    port: int
    """From 1; 0 for an Ethernet interface without RDMA."""
    link_layer: Maybe[str] = NOT_READ
    """`InfiniBand` or `Ethernet`."""
    state: Maybe[str] = NOT_READ
    """`active`, `armed`, `init` or `down`."""
    physical: str = ""
    """What the port itself is doing, such as `LinkUp`, `Polling`, `Disabled`; empty if not told."""
    rate_bytes_per_s: Maybe[float] = NOT_READ
    """What the port runs at now, one direction."""
    tx_bytes: Maybe[int] = NOT_READ
    """InfiniBand: all traffic; RoCE: RDMA traffic; else what the interface has sent."""
    rx_bytes: Maybe[int] = NOT_READ
    ip_tx_bytes: Maybe[int] = NOT_READ
    """RoCE: what goes through the kernel beside RDMA."""
    ip_rx_bytes: Maybe[int] = NOT_READ
    errors: dict[str, Maybe[int]] = field(default_factory=dict)
    """By the kernel's name of the counter; only those that there are."""


@dataclass(frozen=True, slots=True)
class NicPorts:
    """One poll of all ports of the node."""

    ports: tuple[NicPort, ...]
