"""PCI locations of devices, from the paths of their directories in sysfs."""

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
    """Return the PCI location of the device of a sysfs directory; symbolic links are resolved."""
    parts = os.path.realpath(folder).split("/")
    pci_parts = [part for part in parts if _HOST.fullmatch(part) or _DEVICE.fullmatch(part)]
    if any(part.startswith("usb") for part in parts):
        return NOT_ON_PCI
    if not pci_parts or not _DEVICE.fullmatch(pci_parts[-1]):
        return _location_by_name(folder)
    # A device may have further directories below that of its PCI function (virtio).
    function = "/".join(parts[: len(parts) - parts[::-1].index(pci_parts[-1])])
    return PciLocation(pci_parts[-1], tuple(pci_parts[:-1]), numa_node(Path(function)))


def _location_by_name(folder: Path) -> Maybe[PciLocation]:
    """Return the PCI location of a device whose directory is a copy, by the PCI slot in its `uevent`."""
    uevent = read_text(folder / "uevent")
    slot = _SLOT.search(uevent) if known(uevent) else None
    root = next((p.parent for p in folder.parents if p.name == "class"), None)
    original = root / "bus/pci/devices" / slot[1] if root and slot else None
    if original is None or not original.is_symlink():
        return NOT_ON_PCI
    return pci_location(original)


def numa_node(folder: Path) -> Maybe[int | None]:
    """Return the NUMA node of a PCI device; None if it has none on a machine with at most one node.

    The kernel reports -1 if the firmware assigns no node.
    """
    node = read_count(folder / "numa_node")
    if known(node):
        return node
    devices = next((p for p in folder.parents if p.name == "devices"), folder)
    online = read_text(devices / "system/node/online")
    return None if isinstance(online, Missing) or online.isdigit() else NO_NODE


def gpu_locations(sys_root: Path, buses: Iterable[str]) -> tuple[PciLocation, ...]:
    """Return the PCI locations of GPUs by NVML's bus ids; GPUs that sysfs does not show are omitted."""
    found = []
    for bus in buses:
        number = bus_number(bus)
        if number:
            domain, b, device, function = number
            name = f"{domain:04x}:{b:02x}:{device:02x}.{function:x}"
            location = pci_location(sys_root / "bus/pci/devices" / name)
            if known(location) and location.bridges:
                port = sys_root / "bus/pci/devices" / location.bridges[-1]
                found.append(_with_port(location, port))
    return tuple(found)


def _with_port(location: PciLocation, port: Path) -> PciLocation:
    """Return a location with the limits of the PCIe port above the device, which are those of its slot."""
    width = read_count(port / "max_link_width")
    speed = read_text(port / "max_link_speed")
    gen = (
        speed
        if isinstance(speed, Missing)
        else _GENERATIONS.get(speed.split()[0] if speed else "", NOT_A_NUMBER)
    )
    return replace(location, port_width=NOT_READ if width == 0 else width, port_gen=gen)
