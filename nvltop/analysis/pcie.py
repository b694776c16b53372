"""How near two PCI devices are, in the words of `nvidia-smi topo -m`."""

from __future__ import annotations

from typing import Final

from nvltop.model import Maybe, Missing, Place

LEVELS: Final = ("PIX", "PXB", "PHB", "NODE", "SYS")
"""Nearest first."""
NO_NODE: Final = Missing("the kernel tells no NUMA node")


def level(a: Place, b: Place) -> Maybe[str]:
    """Return what traffic between two devices crosses.

    `PIX` is at most one PCIe switch: a switch is its upstream port, which both ways share, and a
    downstream port for each device. `PXB` is more of them, `PHB` the host bridge; beyond it `NODE` and
    `SYS` tell whether both hang on the same NUMA node.
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
    for place in (a, b):
        if isinstance(place.numa_node, Missing):
            return place.numa_node
    if a.numa_node == b.numa_node:
        return "NODE"
    return NO_NODE if None in (a.numa_node, b.numa_node) else "SYS"
