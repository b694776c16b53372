"""How near NICs and GPUs are to each other, as an inventory says: it changes no more often than that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nvltop.analysis.matrix import Around
from nvltop.analysis.pcie import LEVELS, level
from nvltop.model import Inventory, PciLocation, known
from nvltop.text import bus_number


@dataclass(frozen=True, slots=True)
class NicProximity:
    """Where the GPUs and NICs of a node hang."""

    inventory: Inventory
    nearest: Mapping[str, str]
    """How near each NIC is to the GPU that is nearest to it: those for storage are farther off."""
    far: frozenset[str]
    """GPUs, by UUID, whose nearest NIC is behind another processor."""
    nics: int
    """Of how many NICs that is said."""
    ports: Mapping[str, PciLocation]
    """The place of each GPU that has one, with the limits of its slot, by UUID."""

    @classmethod
    def of(cls, inventory: Inventory) -> NicProximity:
        """Work it out."""
        around = Around.of(inventory)
        gpus = {g.uuid: at for g in inventory.gpus if known(at := around.place(g))}
        own = [at for nic, at in around.nics if not nic.virtual and not nic.role]
        nearest = {}
        for nic, at in around.nics:
            levels = [near for gpu in gpus.values() if known(near := level(at, gpu))]
            if levels:
                nearest[nic.device] = min(levels, key=LEVELS.index)
        far = [
            uuid
            for uuid, gpu in gpus.items()
            if own and all(level(gpu, at) == LEVELS[-1] and _on_nodes(gpu, at) for at in own)
        ]
        by_bus = {bus_number(place.pci_bus_id): place for place in inventory.gpu_locations}
        ports = {
            g.uuid: place
            for g in inventory.gpus
            if known(g.pci_bus_id) and (place := by_bus.get(bus_number(g.pci_bus_id)))
        }
        return cls(inventory, nearest, frozenset(far), len(own), ports)


def _on_nodes(*places: PciLocation) -> bool:
    """Whether the NUMA nodes of all devices are known, so that they can be compared."""
    return all(known(place.numa_node) and place.numa_node is not None for place in places)
