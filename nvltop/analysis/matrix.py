"""The matrix of `nvidia-smi topo -m`, and the traffic of pairs where it can be known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from nvltop.analysis.pcie import level
from nvltop.model import (
    Gpu,
    GpuFrame,
    Inventory,
    Link,
    LinkState,
    Matrix,
    Maybe,
    Missing,
    Nic,
    Pair,
    PciLocation,
    RemoteKind,
    known,
    total,
)
from nvltop.text import bus_number

ON_SWITCH = Missing("goes through NVSwitch: NVML does not tell the pair")
NO_LINK = Missing("no NVLink between these two")
SELF = Missing("the same GPU")
NO_PLACE: Final = Missing("sysfs does not tell where the GPU is on the PCI bus")
NUMBERED: Final = 525
"""Drivers from this one on number the NICs and explain the numbers in a legend; older ones use names."""


def driver_series(inventory: Inventory) -> int | None:
    """Return the first number of the driver's version, such as 570; None if it is not known."""
    version = inventory.driver_version
    series = re.match(r"\d{1,6}", version) if known(version) else None
    return int(series[0]) if series else None


@dataclass(frozen=True, slots=True)
class Around:
    """What `topo -m` shows beside the GPUs."""

    nics: tuple[tuple[Nic, PciLocation], ...] = ()
    """RDMA devices on the PCI bus."""
    gpu_places: Mapping[object, PciLocation] = field(default_factory=dict)
    """By bus number."""
    numbered: bool = True

    @classmethod
    def of(cls, inventory: Inventory) -> Around:
        """Take from an inventory what matters."""
        nics = inventory.nics if known(inventory.nics) else ()
        series = driver_series(inventory)
        return cls(
            nics=tuple((nic, nic.location) for nic in nics if nic.rdma and known(nic.location)),
            gpu_places={bus_number(place.pci_bus_id): place for place in inventory.gpu_locations},
            numbered=series is None or series >= NUMBERED,
        )

    def place(self, gpu: Gpu) -> Maybe[PciLocation]:
        """Return where a GPU sits."""
        bus = gpu.pci_bus_id
        return bus if isinstance(bus, Missing) else self.gpu_places.get(bus_number(bus), NO_PLACE)


@dataclass(frozen=True, slots=True)
class Topology:
    """The part of the matrix that changes only with links and inventory."""

    matrix: Matrix
    """Without the traffic of pairs that are joined directly."""
    direct: tuple[tuple[int, int, tuple[int, ...]], ...]
    """Positions of two GPUs, and the links that go straight from the first to the second."""


def build(gpus: Sequence[GpuFrame], pairs: Mapping[tuple[str, str], Pair]) -> Matrix:
    """Build the matrix of a node from its links and the PCIe level of each pair."""
    return with_traffic(topology(gpus, pairs), gpus)


def topology(
    gpus: Sequence[GpuFrame], pairs: Mapping[tuple[str, str], Pair], around: Around | None = None
) -> Topology:
    """Work out what joins each pair."""
    n = len(gpus)
    cells = [["X"] * n for _ in gpus]
    p2p: list[list[Maybe[str]]] = [["X"] * n for _ in gpus]
    traffic: list[list[Maybe[float]]] = [[SELF] * n for _ in gpus]
    missing: dict[str, str] = {}
    direct = []
    labels = [f"GPU{g.gpu.index}" for g in gpus]
    for i, a in enumerate(gpus):
        for j, b in enumerate(gpus):
            if i == j:
                continue
            pair = pairs.get((a.gpu.uuid, b.gpu.uuid))
            p2p[i][j] = pair.p2p_nvlink if pair else Missing("not read yet")
            straight = tuple(link.index for link in links_to(a, b))
            count = len(straight) or _through_switches(a, b, pair)
            unread = None if count else _unread_between(a, b)
            if count:
                cells[i][j] = f"NV{count}"
            elif unread:
                # PCIe would be a claim that no link joins them.
                cells[i][j] = "?"
                missing[f"{labels[i]},{labels[j]}"] = unread
            elif pair and known(pair.pcie):
                cells[i][j] = pair.pcie
            else:
                cells[i][j] = "?"
                why = pair.pcie if pair and isinstance(pair.pcie, Missing) else Missing("not read yet")
                missing[f"{labels[i]},{labels[j]}"] = why.reason
            traffic[i][j] = ON_SWITCH if count else NO_LINK
            if straight:
                direct.append((i, j, straight))
    matrix = Matrix(
        labels=tuple(labels),
        cells=tuple(map(tuple, cells)),
        p2p_nvlink=tuple(map(tuple, p2p)),
        pair_tx_bytes_per_s=tuple(map(tuple, traffic)),
        missing=missing,
    )
    return Topology(_with_nics(matrix, gpus, around) if around else matrix, tuple(direct))


def _with_nics(matrix: Matrix, gpus: Sequence[GpuFrame], around: Around) -> Matrix:
    """Add rows and columns of the NICs, by how near they are on the PCI bus."""
    if not around.nics:
        return matrix
    n = len(gpus)
    names = [nic.device for nic, _ in around.nics]
    numbers = [f"NIC{i}" for i in range(len(names))]
    labels = (*matrix.labels, *(numbers if around.numbered else names))
    places: list[Maybe[PciLocation]] = [around.place(g.gpu) for g in gpus]
    places += [place for _, place in around.nics]
    missing = dict(matrix.missing)
    cells = []
    for i, a in enumerate(places):
        row = list(matrix.cells[i]) if i < n else []
        for j in range(len(row), len(places)):
            cell = "X" if i == j else _level(a, places[j])
            if isinstance(cell, Missing):
                missing[f"{labels[i]},{labels[j]}"] = cell.reason
            row.append(cell if known(cell) else "?")
        cells.append(tuple(row))
    legend = dict(zip(numbers, names, strict=True)) if around.numbered else {}
    return replace(matrix, labels=labels, cells=tuple(cells), missing=missing, legend=legend)


def _level(a: Maybe[PciLocation], b: Maybe[PciLocation]) -> Maybe[str]:
    if isinstance(a, Missing):
        return a
    return b if isinstance(b, Missing) else level(a, b)


def with_traffic(topology: Topology, gpus: Sequence[GpuFrame]) -> Matrix:
    """Return the matrix with the traffic of the pairs that are joined directly."""
    if not topology.direct:
        return topology.matrix
    traffic = [list(row) for row in topology.matrix.pair_tx_bytes_per_s]
    for i, j, links in topology.direct:
        traffic[i][j] = _sum_tx([gpus[i].links[k] for k in links])
    return replace(topology.matrix, pair_tx_bytes_per_s=tuple(map(tuple, traffic)))


def links_to(a: GpuFrame, b: GpuFrame) -> list[Link]:
    """Return the active links of `a` that go straight to `b`."""
    return [link for link in a.links if link.active and link.remote.gpu == b.gpu.uuid]


def _through_switches(a: GpuFrame, b: GpuFrame, pair: Pair | None) -> int:
    """Count the links of a pair joined by NVSwitches: as many as the one with fewer has."""
    count = min(_links_on(a, RemoteKind.SWITCH), _links_on(b, RemoteKind.SWITCH))
    if count:
        return count
    # Where a VM hides both the switches and their number, P2P still says whether NVLink joins the pair.
    if pair and pair.p2p_nvlink == "OK":
        return min(_links_on(a, RemoteKind.UNKNOWN), _links_on(b, RemoteKind.UNKNOWN))
    return 0


def _unread_between(a: GpuFrame, b: GpuFrame) -> str | None:
    """Return why it cannot be told whether a link joins a pair; None if it can."""
    for g, other in ((a, b), (b, a)):
        for link in g.links:
            at_switch = link.remote.kind is RemoteKind.SWITCH
            if link.state is LinkState.UNKNOWN and (at_switch or link.remote.gpu == other.gpu.uuid):
                return link.state_reason
    return None


def _links_on(gpu: GpuFrame, kind: RemoteKind) -> int:
    return sum(link.active and link.remote.kind is kind for link in gpu.links)


def _sum_tx(links: Sequence[Link]) -> Maybe[float]:
    return total([link.mean_tx_bytes_per_s for link in links])
