"""Names of GPUs, and which device each link leads to, as far as they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from nvltop.frozen import frozen
from nvltop.model import Inventory, RemoteKind, known
from nvltop.text import bus_number


@frozen
class End:
    """One end of a link."""

    bus_id: str
    link: int | None
    switch: bool = False


@frozen
class LinkEnds:
    """The layout of the links of one machine; empty where only a log is known."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Name of a GPU such as `GPU 3`, by PCI bus id."""
    remotes: Mapping[tuple[str, int], End] = field(default_factory=dict)
    """Other end of a GPU's link, by PCI bus id and link."""

    def name(self, bus_id: str) -> str:
        """Return how to call a GPU."""
        known_as = self.names.get(bus_id)
        return f"{known_as} ({short(bus_id)})" if known_as else f"GPU {short(bus_id)}"

    def remote(self, bus_id: str | None, link: int | None) -> End | None:
        """Return the other end of a link, None if it is not known."""
        return None if bus_id is None or link is None else self.remotes.get((bus_id, link))


def short(bus_id: str) -> str:
    """Return a PCI bus id without the leading zeros of its domain, as the kernel log writes it."""
    domain, _, rest = bus_id.partition(":")
    return f"{domain[-4:] if domain.startswith('0000') else domain.lstrip('0')}:{rest}".lower()


def normal(bus_id: str) -> str:
    """Return a PCI bus id in the form of log events, whatever form it has."""
    numbers = bus_number(bus_id)
    if numbers is None:
        return bus_id
    domain, bus, device, function = numbers
    return f"{domain:08X}:{bus:02X}:{device:02X}.{function}"


def of_inventory(inventory: Inventory) -> LinkEnds:
    """Return the link layout of a node."""
    by_uuid = {
        gpu.uuid: normal(gpu.pci_bus_id) for gpu in inventory.gpus if known(gpu.pci_bus_id)
    }  # fmt: skip
    names = {by_uuid[gpu.uuid]: f"GPU {gpu.index}" for gpu in inventory.gpus if gpu.uuid in by_uuid}
    remotes: dict[tuple[str, int], End] = {}
    for gpu in inventory.gpus:
        if gpu.uuid not in by_uuid or not known(gpu.remotes):
            continue
        for link, remote in enumerate(gpu.remotes):
            where = by_uuid.get(remote.gpu or "")
            if where is None and known(remote.pci_bus_id):
                where = normal(remote.pci_bus_id)
            if where is not None:
                port = remote.link if known(remote.link) else None
                remotes[by_uuid[gpu.uuid], link] = End(where, port, remote.kind is RemoteKind.SWITCH)
    return LinkEnds(names, remotes)
