"""Sysfs trees: the directories and links that represent PCI devices and network interfaces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

NEAR = ("X", "PIX", "PXB", "PHB", "NODE")
COUNTERS = {
    "port_xmit_data": 1000,
    "port_rcv_data": 2000,
    "symbol_error": 0,
    "link_downed": 1,
    "port_rcv_errors": 0,
    "port_xmit_wait": 7,
}


class Tree:
    """A sysfs tree under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("class/infiniband", "class/net", "bus/pci/devices", "devices/system/node"):
            (root / folder).mkdir(parents=True)
        self.write("devices/system/node/online", "0-1")

    def write(self, path: str | Path, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def pci(self, address: str, bridges: Sequence[str], numa: int = 0) -> Path:
        """Create a PCI device below these bridges; return its directory."""
        folder = self.root.joinpath("devices", *bridges, address)
        folder.mkdir(parents=True)
        (folder / "numa_node").write_text(f"{numa}\n")
        (folder / "vendor").write_text("0x15b3\n")
        (folder / "device").write_text("0x1021\n")
        self._link(self.root / "bus/pci/devices" / address, folder)
        return folder

    def rdma(
        self, name: str, pci: Path, layer: str = "InfiniBand", rate: str = "400 Gb/sec (4X NDR)"
    ) -> Path:
        """Create an RDMA device with one port on a PCI function; return the directory of the port."""
        port = pci / "infiniband" / name / "ports/1"
        (port / "counters").mkdir(parents=True)
        self._link(pci / "infiniband" / name / "device", pci)
        self._link(self.root / "class/infiniband" / name, pci / "infiniband" / name)
        for file, text in (
            ("state", "4: ACTIVE"),
            ("phys_state", "5: LinkUp"),
            ("rate", rate),
            ("link_layer", layer),
        ):
            (port / file).write_text(f"{text}\n")
        for counter, value in COUNTERS.items():
            (port / "counters" / counter).write_text(f"{value}\n")
        return port

    def net(self, name: str, pci: Path, speed: int = 25000, state: str = "up", kind: int = 1) -> Path:
        """Create a network interface on a PCI function; return its directory."""
        folder = pci / "net" / name
        (folder / "statistics").mkdir(parents=True)
        self._link(folder / "device", pci)
        self._link(self.root / "class/net" / name, folder)
        for file, value in (
            ("speed", speed),
            ("operstate", state),
            ("type", kind),
            ("carrier_down_count", 2),
        ):
            (folder / file).write_text(f"{value}\n")
        for counter, value in (("tx_bytes", 300), ("rx_bytes", 400), ("rx_crc_errors", 0)):
            (folder / "statistics" / counter).write_text(f"{value}\n")
        return folder

    def master(self, interface: Path, bond: str) -> None:
        """Add an interface to a bond."""
        (self.root / "class/net" / bond / "bonding").mkdir(parents=True, exist_ok=True)
        self._link(interface / "master", self.root / "class/net" / bond)

    def _link(self, at: Path, to: Path) -> None:
        at.symlink_to(os.path.relpath(to, at.parent))


def make_machine(tree: Tree, gpus: int, nics: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Create the devices of a machine whose `nvidia-smi topo -m` has these rows; return the GPUs' bus ids.

    Devices that are `PIX` share a switch, `PXB` a switch of switches, `PHB` a host bridge, `NODE` a
    NUMA node. Only cells of the PCI bus count, that is all but those of NVLink.
    """
    n = gpus + len(nics)
    of = {level: _groups(n, rows, level) for level in NEAR}
    buses = []
    for i in range(n):
        host, outer, inner, node = (of[level][i] for level in ("PHB", "PXB", "PIX", "NODE"))
        bridges = (
            f"pci0000:{host:02x}",
            f"0000:{host:02x}:01.{outer % 8}",
            f"0000:{0x40 + outer:02x}:00.0",
            f"0000:{0x40 + outer:02x}:1{inner % 8}.{inner // 8}",
            f"0000:{0x80 + inner:02x}:00.0",
            f"0000:{0x80 + inner:02x}:1{i % 8}.{i // 8}",
        )
        address = f"0000:{0xB0 + i:02x}:00.0"
        device = tree.pci(address, bridges, node)
        if i < gpus:
            buses.append(f"0000{address.upper()}")
        else:
            tree.rdma(nics[i - gpus], device)
    return buses


def _groups(n: int, rows: Sequence[Sequence[str]], level: str) -> list[int]:
    """Return the group of each device; devices of a group are up to `level` apart."""
    near = NEAR[: NEAR.index(level) + 1]
    group = list(range(n))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            if cell in near:
                group = [group[i] if g == group[j] else g for g in group]
    return group
