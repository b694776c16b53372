"""The node's network interfaces, from sysfs.

RDMA devices (`class/infiniband`) come first, in the order of `nvidia-smi topo -m`. Ethernet interfaces follow
that have a PCI function and do not belong to an RDMA device.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from nvltop.host.nic_ports import NicPortReader
from nvltop.host.pci_location import NOT_ON_PCI, gpu_locations, pci_location
from nvltop.host.safe_read import read_safely
from nvltop.host.sysfs import list_names, read_text, sys_root
from nvltop.model import LPF, NO_FIRMWARE, Maybe, Missing, Nic, NicPort, NicPorts, PciLocation, known
from nvltop.text import clean

ARPHRD_ETHER: Final = "1"
"""Content of `type` for an Ethernet interface (ARPHRD_ETHER)."""
MAX_NICS: Final = 256
"""Largest number of NICs of each kind."""
MAX_OPEN_PORTS: Final = 32
"""Number of ports whose files stay open, eight each: a process may have 1024 open files."""
ERRORS_INTERVAL_S: Final = 5.0
"""Interval of the error counters, seconds; some drivers get each one from the firmware."""
MELLANOX_VENDOR: Final = "0x15b3"
"""PCI vendor id of ConnectX adapters."""
SWITCH_VPD_MARK: Final = b"SW_MNG"
"""Part of the vital product data of an NVSwitch's management function.

Adapters with the same PCI device id (15b3:1021) lack it (start script of the fabric manager).
"""
VPD_BYTES: Final = 1024
"""Number of bytes read of the vital product data."""
_NUMBER: Final = re.compile(r"\d+")


class NicTable:
    """The NICs of the node and the readers of their ports."""

    def __init__(self, root: Path | None = None) -> None:
        """Initialize the table; `root` is the directory of sysfs, by default `HOST_SYS`."""
        self._root = root or sys_root()
        self._readers: list[NicPortReader] = []
        self._seen: object = None
        self._errors_s: float | None = None
        self._roles: dict[str, str] = {}
        """Roles by sysfs directory of the PCI function, cached because the firmware provides the data."""

    def changed(self) -> bool:
        """Return whether devices have appeared or disappeared since the last `find`."""
        return self._seen != self._names()

    def _names(self) -> tuple[list[str], list[str]]:
        return list_names(f"{self._root}/class/infiniband"), list_names(f"{self._root}/class/net")

    def find(self) -> Maybe[tuple[Nic, ...]]:
        """Find the NICs, whose ports `read` reads from then on."""
        self._seen = devices, interfaces = self._names()
        for reader in self._readers:
            reader.close()
        self._readers, self._errors_s = [], None
        if not (self._root / "class").is_dir():
            return Missing(f"no sysfs at {clean(str(self._root))}")
        rdma = sort_as_nvidia_smi({self._rdma(name): self._registered(name) for name in devices[:MAX_NICS]})
        taken = {i for nic in rdma for i in nic.interfaces}
        plain = [nic for name in interfaces[:MAX_NICS] if (nic := self._ethernet(name, taken))]
        found = (*rdma, *plain)
        raw = {clean(name): name for name in (*devices, *interfaces)}
        for nic in found:
            name = raw[nic.device]
            for port in _ports(self._root / "class/infiniband" / name) if nic.rdma else [0]:
                interface = self._interface(nic, name, port)
                self._readers.append(
                    NicPortReader(
                        self._root,
                        nic,
                        name,
                        port,
                        raw.get(interface, interface),
                        keeps_open=len(self._readers) < MAX_OPEN_PORTS,
                    )
                )
        return found

    def gpu_locations(self, buses: Sequence[str]) -> tuple[PciLocation, ...]:
        """Return the PCI locations of GPUs by NVML's bus ids; GPUs that sysfs does not show are omitted."""
        return gpu_locations(self._root, buses)

    def read(self, now_s: float) -> NicPorts:
        """Read all ports; error counters are read every `ERRORS_INTERVAL_S` and cached in between."""
        with_errors = self._errors_s is None or now_s - self._errors_s >= ERRORS_INTERVAL_S
        if with_errors:
            self._errors_s = now_s
        ports = [_read_port(reader, with_errors) for reader in self._readers]
        return NicPorts(tuple(port for port in ports if port))

    def _rdma(self, name: str) -> Nic:
        folder = self._root / "class/infiniband" / name
        device = folder / "device"
        interfaces = list_names(device / "net")
        for port in _ports(folder):
            interface = read_text(folder / "ports" / str(port) / "gid_attrs/ndevs/0")
            if known(interface) and interface and interface not in interfaces:
                interfaces.append(interface)  # the bond of the ports
        interfaces += sorted({self._master(i) for i in interfaces} - {"", *interfaces})
        return Nic(
            device=clean(name),
            rdma=True,
            location=pci_location(device) if device.exists() else NOT_ON_PCI,
            model=_model(folder, device),
            virtual=os.path.lexists(device / "physfn"),
            bond="bond" in name or any(self._bonded(i) for i in interfaces),
            interfaces=tuple(clean(i) for i in interfaces),
            firmware=_firmware(folder),
            role=self._role(folder, device),
        )

    def _role(self, folder: Path, device: Path) -> str:
        """Return the role of an RDMA device; only root can detect that it manages an NVSwitch."""
        if (
            read_text(device / "vendor") != MELLANOX_VENDOR
            or read_text(folder / "ports/1/link_layer") == "Ethernet"
        ):
            return ""
        function = os.path.realpath(device)
        if function not in self._roles:
            self._roles[function] = LPF if SWITCH_VPD_MARK in _head(device / "vpd") else ""
        return self._roles[function]

    def _registered(self, name: str) -> int | None:
        """Return the number that an RDMA device was given when its driver registered it."""
        for verbs in list_names(self._root / "class/infiniband" / name / "device/infiniband_verbs"):
            number = verbs.removeprefix("uverbs")
            if number.isascii() and number.isdigit():
                return int(number)
        return None

    def _ethernet(self, name: str, taken: set[str]) -> Nic | None:
        folder = self._root / "class/net" / name
        device = folder / "device"
        if name in taken or not device.exists() or (device / "infiniband").is_dir():
            return None
        location: Maybe[PciLocation] = pci_location(device)
        if isinstance(location, Missing) or read_text(folder / "type") != ARPHRD_ETHER:
            return None
        if (folder / "phy80211").exists():
            return None  # Wi-Fi
        if self._master(name) in taken:
            return None  # belongs to a bond that has an RDMA device
        return Nic(
            device=clean(name),
            rdma=False,
            location=location,
            model=_model(folder, device),
            virtual=os.path.lexists(device / "physfn"),
            interfaces=(clean(name),),
        )

    def _master(self, interface: str) -> str:
        try:
            return os.path.basename(os.readlink(self._root / "class/net" / interface / "master"))
        except OSError:
            return ""

    def _bonded(self, interface: str) -> bool:
        return (self._root / "class/net" / interface / "bonding").is_dir()

    def _interface(self, nic: Nic, name: str, port: int) -> str:
        """Return the network interface of a port, or an empty string if it cannot be determined."""
        if not nic.rdma:
            return nic.device
        interface = read_text(self._root / f"class/infiniband/{name}/ports/{port}/gid_attrs/ndevs/0")
        if known(interface) and interface:
            return interface
        if nic.bond:
            return next((i for i in nic.interfaces if self._bonded(i)), "")
        return nic.interfaces[0] if len(nic.interfaces) == 1 else ""


def _read_port(reader: NicPortReader, with_errors: bool) -> NicPort | None:
    """Read a port; a failure of its driver affects this port only."""
    port = read_safely(partial(reader.read, with_errors), "/sys")
    return reader.unread(port) if isinstance(port, Missing) else port


def _ports(folder: Path) -> list[int]:
    return sorted(int(name) for name in list_names(folder / "ports") if name.isascii() and name.isdigit())


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, or nothing if it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(VPD_BYTES) or b""
    except OSError:
        return b""


def _firmware(folder: Path) -> Maybe[str]:
    """Return the firmware version of an RDMA device; software RDMA has none."""
    version = read_text(folder / "fw_ver")
    return version if isinstance(version, Missing) or version else NO_FIRMWARE


def _model(folder: Path, device: Path) -> str:
    """Return a string that identifies the model of a device."""
    board = read_text(folder / "board_id")
    if known(board) and board:
        return board
    numbers = [read_text(device / name) for name in ("vendor", "device")]
    return ":".join(n.removeprefix("0x") for n in numbers if known(n))


def sort_as_nvidia_smi(registered: Mapping[Nic, int | None]) -> list[Nic]:
    """Return RDMA devices in the order in which `nvidia-smi topo -m` numbers them.

    `registered` has the number of each device's `uverbs`. nvidia-smi uses the order in which the drivers
    registered the devices. Bonds come last, because they are created after all ports, although they get
    numbers that have become free. If sysfs lacks the numbers, the names determine the order: devices whose
    names differ only in numbers are sorted by these (`mlx5_9` before `mlx5_10`), and such groups by the
    lowest PCI bus number in each.
    """
    nics = list(registered)
    if all(number is not None for number in registered.values()):
        return sorted(nics, key=lambda nic: (nic.bond, registered[nic], *_numbers(nic)))
    lowest_bus: dict[str, tuple[int, ...]] = {}
    for nic in nics:
        pattern = _name_pattern(nic)
        lowest_bus[pattern] = min(lowest_bus.get(pattern, _bus(nic)), _bus(nic))
    return sorted(
        nics,
        key=lambda nic: (nic.bond, lowest_bus[_name_pattern(nic)], _name_pattern(nic), *_numbers(nic)),
    )


def _name_pattern(nic: Nic) -> str:
    return _NUMBER.sub("#", nic.device)


def _numbers(nic: Nic) -> Iterator[int]:
    return (int(n) for n in _NUMBER.findall(nic.device)[:8])


def _bus(nic: Nic) -> tuple[int, ...]:
    if isinstance(nic.location, Missing):
        return (1 << 32,)
    return tuple(int(part, 16) for part in re.split("[:.]", nic.location.pci_bus_id))
