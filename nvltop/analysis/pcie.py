"""Proximity of two PCI devices, in the terms of `nvidia-smi topo -m`."""

from __future__ import annotations

from typing import Final

from nvltop.model import NO_NODE, Maybe, Missing, PciLocation

PCIE_LEVELS: Final = ("PIX", "PXB", "PHB", "NODE", "SYS")
"""Levels, the nearest first."""


def pcie_level(a: PciLocation, b: PciLocation) -> Maybe[str]:
    """Return what traffic between two devices has to cross.

    `PIX` is at most one PCIe switch, which appears as a shared upstream port and one downstream port for
    each device. `PXB` is several switches, `PHB` the host bridge. Beyond the host bridge, `NODE` means the
    same NUMA node and `SYS` different ones. Two devices without a NUMA node are on the same one if the
    machine has only one.
    """
    if a.pci_bus_id == b.pci_bus_id:
        return "PIX"  # two devices of one PCI function, such as a subfunction and its parent
    shared = 0
    for one, other in zip(a.bridges, b.bridges, strict=False):
        if one != other:
            break
        shared += 1
    if shared > 1:
        return "PIX" if max(len(a.bridges), len(b.bridges)) - shared <= 1 else "PXB"
    if shared == 1:
        return "PHB"
    nodes = (a.numa_node, b.numa_node)
    unread = next((n for n in nodes if isinstance(n, Missing) and n != NO_NODE), None)
    if unread:
        return unread
    # A device without a NUMA node (-1) shares no node with other devices (NCCL, NVIDIA/nccl issue 1453).
    return "NODE" if nodes[0] == nodes[1] != NO_NODE else "SYS"
