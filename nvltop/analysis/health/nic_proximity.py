"""How near the NICs and GPUs of a node are to each other."""

from __future__ import annotations

from collections.abc import Mapping

from nvltop.analysis.matrix import PciLayout
from nvltop.analysis.pcie import PCIE_LEVELS, pcie_level
from nvltop.frozen import frozen
from nvltop.model import Inventory, PciLocation, known
from nvltop.text import bus_number


@frozen
class NicProximity:
    """Proximity of GPUs and NICs, computed once per inventory."""

    inventory: Inventory
    nearest: Mapping[str, str]
    """Level (as in `nvidia-smi topo -m`) between each NIC and its nearest GPU, by device name.

    NICs for storage are farther away."""
    far: frozenset[str]
    """UUIDs of the GPUs whose nearest NIC is attached to another processor."""
    nics: int
    """Number of NICs that `far` takes into account."""
    ports: Mapping[str, PciLocation]
    """PCI location of GPUs, with the limits of their slots, by UUID."""

    @classmethod
    def of(cls, inventory: Inventory) -> NicProximity:
        """Return the proximity of the GPUs and NICs of an inventory."""
        around = PciLayout.of(inventory)
        gpus = {g.uuid: at for g in inventory.gpus if known(at := around.location(g))}
        own = [at for nic, at in around.nics if not nic.virtual and not nic.role]
        nearest = {}
        for nic, at in around.nics:
            levels = [near for gpu in gpus.values() if known(near := pcie_level(at, gpu))]
            if levels:
                nearest[nic.device] = min(levels, key=PCIE_LEVELS.index)
        far = [
            uuid
            for uuid, gpu in gpus.items()
            if own and all(pcie_level(gpu, at) == PCIE_LEVELS[-1] and _on_nodes(gpu, at) for at in own)
        ]
        by_bus = {bus_number(place.pci_bus_id): place for place in inventory.gpu_locations}
        ports = {
            g.uuid: place
            for g in inventory.gpus
            if known(g.pci_bus_id) and (place := by_bus.get(bus_number(g.pci_bus_id)))
        }
        return cls(inventory, nearest, frozenset(far), len(own), ports)


def _on_nodes(*places: PciLocation) -> bool:
    """Return whether the NUMA nodes of all devices are known, so that they can be compared."""
    return all(known(place.numa_node) and place.numa_node is not None for place in places)
