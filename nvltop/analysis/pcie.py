"""How near two PCI devices are, in the words of `nvidia-smi topo -m`."""

from __future__ import annotations

from typing import Final

from nvltop.model import NO_NODE, Maybe, Missing, PciLocation

LEVELS: Final = ("PIX", "PXB", "PHB", "NODE", "SYS")
"""Nearest first."""


def level(a: PciLocation, b: PciLocation) -> Maybe[str]:
    """Return what traffic between two devices crosses.

    `PIX` is at most one PCIe switch: a switch is its upstream port, which both ways share, and a
    downstream port for each device. `PXB` is more of them, `PHB` the host bridge; beyond it `NODE` and
    `SYS` tell whether both hang on the same NUMA node. Two devices without one are on the same if the
    machine has but one.
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
    # A device without a node (-1) is on none of the others' (NCCL, NVIDIA/nccl issue 1453).
    return "NODE" if nodes[0] == nodes[1] != NO_NODE else "SYS"
