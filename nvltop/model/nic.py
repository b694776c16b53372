"""Network interfaces of this node, and their locations on the PCI bus."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from nvltop.frozen import frozen
from nvltop.model.missing import NOT_READ, Maybe, Missing

NO_NODE: Final = Missing("the kernel reports no NUMA node")
"""NUMA node of a device to which the firmware assigns none (-1), on a machine with several."""
NO_FIRMWARE: Final = Missing("the kernel reports no firmware version")
LPF: Final = "lpf"
"""Role of an NVSwitch's management function (limited port function, HGX B200 and B300): an InfiniBand device
through which NVLSM reaches the switch. It has no cable and does not carry the data of jobs."""


@frozen
class PciLocation:
    """Location of a device on the PCI bus."""

    pci_bus_id: str
    """PCI bus id in the kernel's format: `0000:1b:00.0`."""
    bridges: tuple[str, ...]
    """Path to the device: the host bridge (`pci0000:15`), then each PCI bridge."""
    numa_node: Maybe[int | None] = NOT_READ
    """NUMA node of the device; None if it has none and the machine has at most one."""
    port_width: Maybe[int] = NOT_READ
    """Number of lanes of the upstream PCIe port, the limit of the slot (`max_link_width`); GPUs only."""
    port_gen: Maybe[int] = NOT_READ
    """PCIe generation of the upstream port (`max_link_speed`); GPUs only."""


@frozen
class Nic:
    """One RDMA device, or one Ethernet interface without an RDMA device."""

    device: str
    """Device name: `mlx5_0`, `ens1f0`."""
    rdma: bool
    location: Maybe[PciLocation] = NOT_READ
    """PCI location; missing for a device that is not on a PCI bus, such as software RDMA."""
    model: str = ""
    """Part number of the board, or PCI vendor and device: equal for devices of one model."""
    virtual: bool = False
    """Whether it is a virtual function (SR-IOV)."""
    bond: bool = False
    """Whether it bonds several ports."""
    interfaces: tuple[str, ...] = ()
    """Network interfaces of its ports."""
    firmware: Maybe[str] = NO_FIRMWARE
    """Version of its firmware; the kernel reports it for RDMA devices."""
    role: str = ""
    """`lpf` for the management function of an NVSwitch; empty for a NIC that carries data."""


@frozen
class NicPort:
    """State and cumulative counters of one port at one reading."""

    device: str
    port: int
    """Port number from 1; 0 for an Ethernet interface without RDMA."""
    link_layer: Maybe[str] = NOT_READ
    """`InfiniBand` or `Ethernet`."""
    state: Maybe[str] = NOT_READ
    """`active`, `armed`, `init` or `down`."""
    physical: str = ""
    """Physical state, such as `LinkUp`, `Polling` or `Disabled`; empty if not reported."""
    rate_bytes_per_s: Maybe[float] = NOT_READ
    """Current rate of the port, one direction."""
    tx_bytes: Maybe[int] = NOT_READ
    """InfiniBand: all traffic; RoCE: RDMA traffic; otherwise all bytes that the interface has sent."""
    rx_bytes: Maybe[int] = NOT_READ
    ip_tx_bytes: Maybe[int] = NOT_READ
    """RoCE: traffic of the kernel's network stack, which is not RDMA."""
    ip_rx_bytes: Maybe[int] = NOT_READ
    errors: dict[str, Maybe[int]] = field(default_factory=dict)
    """Error counters that the port has, by the kernel's name."""


@frozen
class NicPorts:
    """One reading of all ports of the node."""

    ports: tuple[NicPort, ...]
