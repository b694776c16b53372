"""Where devices sit on the PCI bus, from the way to their folder in sysfs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from nvltop.host.sysfs import NOT_A_NUMBER, read_count, read_text
from nvltop.model import NO_NODE, NOT_READ, Maybe, Missing, PciLocation, known
from nvltop.text import bus_number

_HOST: Final = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
_DEVICE: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_SLOT: Final = re.compile(rf"PCI_SLOT_NAME=({_DEVICE.pattern})")
_GENERATIONS: Final[dict[str, Maybe[int]]] = {
    "2.5": 1,
    "5": 2,
    "5.0": 2,
    "8": 3,
    "8.0": 3,
    "16": 4,
    "16.0": 4,
    "32": 5,
    "32.0": 5,
    "64": 6,
    "64.0": 6,
}
"""PCIe generation by GT/s, as in `8.0 GT/s PCIe` (older kernels: `8 GT/s`)."""
NOT_ON_PCI: Final = Missing("not on the PCI bus")


def pci_location(folder: Path) -> Maybe[PciLocation]:
    """Return where the device of a sysfs folder sits; links on the way are followed."""
    steps = os.path.realpath(folder).split("/")
    way = [step for step in steps if _HOST.fullmatch(step) or _DEVICE.fullmatch(step)]
    if any(step.startswith("usb") for step in steps):
        return NOT_ON_PCI
    if not way or not _DEVICE.fullmatch(way[-1]):
        return _by_name(folder)
    # Below its PCI function a device may have folders of its own (virtio).
    own = "/".join(steps[: len(steps) - steps[::-1].index(way[-1])])
    return PciLocation(way[-1], tuple(way[:-1]), numa_node(Path(own)))


def _by_name(folder: Path) -> Maybe[PciLocation]:
    """Return the place of a device whose folder is a copy: what it is called leads to the original."""
    told = read_text(folder / "uevent")
    slot = _SLOT.search(told) if known(told) else None
    root = next((p.parent for p in folder.parents if p.name == "class"), None)
    original = root / "bus/pci/devices" / slot[1] if root and slot else None
    if original is None or not original.is_symlink():
        return NOT_ON_PCI
    return pci_location(original)


def numa_node(folder: Path) -> Maybe[int | None]:
    """Return the NUMA node of a PCI device; None if it has none on a machine with at most one node.

    Firmware that assigns no node makes the kernel say -1.
    """
    node = read_count(folder / "numa_node")
    if known(node):
        return node
    devices = next((p for p in folder.parents if p.name == "devices"), folder)
    online = read_text(devices / "system/node/online")
    return None if isinstance(online, Missing) or online.isdigit() else NO_NODE


def gpu_locations(sys_root: Path, buses: Iterable[str]) -> tuple[PciLocation, ...]:
    """Return where the GPUs with these bus ids (as NVML writes them) sit, as far as sysfs tells."""
    found = []
    for bus in buses:
        number = bus_number(bus)
        if number:
            domain, b, device, function = number
            name = f"{domain:04x}:{b:02x}:{device:02x}.{function:x}"
            place = pci_location(sys_root / "bus/pci/devices" / name)
            if known(place) and place.bridges:
                found.append(_with_port(place, sys_root / "bus/pci/devices" / place.bridges[-1]))
    return tuple(found)


def _with_port(place: PciLocation, port: Path) -> PciLocation:
    """Add what the PCIe port above a device supports, which is the limit of its slot."""
    width = read_count(port / "max_link_width")
    speed = read_text(port / "max_link_speed")
    gen = (
        speed
        if isinstance(speed, Missing)
        else _GENERATIONS.get(speed.split()[0] if speed else "", NOT_A_NUMBER)
    )
    return replace(place, port_width=NOT_READ if width == 0 else width, port_gen=gen)
