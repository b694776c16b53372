"""The matrix of `nvidia-smi topo -m`, and the traffic of pairs where NVML counts it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Final, NamedTuple

from nvltop.analysis.link_states import LINK_DOWN
from nvltop.analysis.pcie import pcie_level
from nvltop.frozen import frozen
from nvltop.model import (
    NOT_READ,
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
from nvltop.model.missing import LOST_REASONS
from nvltop.text import bus_number

VIA_NVSWITCH = Missing("goes through NVSwitch: NVML does not report the pair")
NOT_CONNECTED = Missing("no NVLink between these two")
SAME_GPU = Missing("the same GPU")
NO_PCI_LOCATION: Final = Missing("sysfs does not report the location of the GPU on the PCI bus")
NUMBERED_NICS_SERIES: Final = 525
"""Driver series from which `topo -m` numbers the NICs and adds a legend; earlier ones use names."""


def driver_series(inventory: Inventory) -> int | None:
    """Return the first number of the driver's version, such as 570; None if it is unknown."""
    version = inventory.driver_version
    series = re.match(r"\d{1,6}", version) if known(version) else None
    return int(series[0]) if series else None


@frozen
class PciLayout:
    """NICs and PCI locations for the matrix."""

    nics: tuple[tuple[Nic, PciLocation], ...] = ()
    """RDMA devices with their PCI locations."""
    gpu_locations: Mapping[object, PciLocation] = field(default_factory=dict)
    """PCI locations of GPUs by bus number."""
    numbered: bool = True

    @classmethod
    def of(cls, inventory: Inventory) -> PciLayout:
        """Return the layout of an inventory."""
        nics = inventory.nics if known(inventory.nics) else ()
        series = driver_series(inventory)
        return cls(
            nics=tuple((nic, nic.location) for nic in nics if nic.rdma and known(nic.location)),
            gpu_locations={bus_number(place.pci_bus_id): place for place in inventory.gpu_locations},
            numbered=series is None or series >= NUMBERED_NICS_SERIES,
        )

    def location(self, gpu: Gpu) -> Maybe[PciLocation]:
        """Return the PCI location of a GPU."""
        bus = gpu.pci_bus_id
        return bus if isinstance(bus, Missing) else self.gpu_locations.get(bus_number(bus), NO_PCI_LOCATION)


@frozen
class Topology:
    """The part of the matrix that changes only with links and inventory."""

    matrix: Matrix
    """The matrix without the traffic of directly connected pairs."""
    direct: tuple[tuple[int, int, tuple[int, ...]], ...]
    """Positions of two GPUs, and the links from the first directly to the second."""


class _ActiveEnds(NamedTuple):
    """Where the active links of a GPU end."""

    direct: dict[str, list[int]]
    """Links that end at another GPU, by its UUID."""
    kinds: Counter[RemoteKind]
    """Number of links by kind of their remote end."""


def build(gpus: Sequence[GpuFrame], pairs: Mapping[tuple[str, str], Pair]) -> Matrix:
    """Build the matrix of a node from its links and the PCIe level of each pair."""
    return with_traffic(topology(gpus, pairs), gpus)


def topology(
    gpus: Sequence[GpuFrame], pairs: Mapping[tuple[str, str], Pair], layout: PciLayout | None = None
) -> Topology:
    """Return the connection of each pair."""
    n = len(gpus)
    cells = [["X"] * n for _ in gpus]
    p2p: list[list[Maybe[str]]] = [["X"] * n for _ in gpus]
    traffic: list[list[Maybe[float]]] = [[SAME_GPU] * n for _ in gpus]
    missing: dict[str, str] = {}
    direct = []
    labels = [f"GPU{g.gpu.index}" for g in gpus]
    ends = [_active_ends(g) for g in gpus]
    lost = [_loss(g) for g in gpus]
    for i, a in enumerate(gpus):
        for j, b in enumerate(gpus):
            if i == j:
                continue
            pair = pairs.get((a.gpu.uuid, b.gpu.uuid))
            gone = lost[i] or lost[j]
            own_links = () if gone else tuple(ends[i].direct.get(b.gpu.uuid, ()))
            count = 0 if gone else len(own_links) or _through_switches(ends[i], ends[j], pair)
            unread = gone or (None if count else _unread_between(a, b))
            # With a lost GPU, the status is that of the inventory from before.
            p2p[i][j] = Missing(gone) if gone else pair.p2p_nvlink if pair else _unpaired(a, b)
            if count:
                cells[i][j] = f"NV{count}"
            elif unread:
                # A PCIe level would say that no NVLink connects them.
                cells[i][j] = "?"
                missing[f"{labels[i]},{labels[j]}"] = unread
            elif pair and known(pair.pcie):
                cells[i][j] = pair.pcie
            else:
                cells[i][j] = "?"
                why = pair.pcie if pair and isinstance(pair.pcie, Missing) else _unpaired(a, b)
                missing[f"{labels[i]},{labels[j]}"] = why.reason
            traffic[i][j] = VIA_NVSWITCH if count else Missing(unread) if unread else _apart(a, b)
            if own_links:
                direct.append((i, j, own_links))
    matrix = Matrix(
        labels=tuple(labels),
        cells=tuple(map(tuple, cells)),
        p2p_nvlink=tuple(map(tuple, p2p)),
        pair_tx_bytes_per_s=tuple(map(tuple, traffic)),
        missing=missing,
    )
    return Topology(_with_nics(matrix, gpus, lost, layout) if layout else matrix, tuple(direct))


def _apart(a: GpuFrame, b: GpuFrame) -> Missing:
    """Return why two GPUs without an active link between them exchange nothing."""
    return LINK_DOWN if direct_links(a, b) or direct_links(b, a) else NOT_CONNECTED


def _loss(g: GpuFrame) -> str | None:
    """Return why nothing is known of a lost GPU; None if it is not lost."""
    if g.gpu.problem in LOST_REASONS:
        return g.gpu.problem
    # The links are read more often than the inventory.
    return next((link.state_reason for link in g.links if link.state_reason in LOST_REASONS), None)


def _unpaired(a: GpuFrame, b: GpuFrame) -> Missing:
    """Return why the inventory does not say what connects two GPUs: one of them could not be opened."""
    problem = a.gpu.problem or b.gpu.problem
    return Missing(problem) if problem else NOT_READ


def _with_nics(
    matrix: Matrix, gpus: Sequence[GpuFrame], lost: Sequence[str | None], layout: PciLayout
) -> Matrix:
    """Add rows and columns of the NICs with their PCIe proximity."""
    if not layout.nics:
        return matrix
    n = len(gpus)
    names = [nic.device for nic, _ in layout.nics]
    numbers = [f"NIC{i}" for i in range(len(names))]
    labels = (*matrix.labels, *(numbers if layout.numbered else names))
    locations: list[Maybe[PciLocation]] = [
        Missing(why) if (why := gone or g.gpu.problem) else layout.location(g.gpu)
        for g, gone in zip(gpus, lost, strict=True)
    ]
    locations += [location for _, location in layout.nics]
    missing = dict(matrix.missing)
    cells = []
    for i, a in enumerate(locations):
        row = list(matrix.cells[i]) if i < n else []
        for j in range(len(row), len(locations)):
            cell = "X" if i == j else _pcie_level(a, locations[j])
            if isinstance(cell, Missing):
                missing[f"{labels[i]},{labels[j]}"] = cell.reason
            row.append(cell if known(cell) else "?")
        cells.append(tuple(row))
    legend = dict(zip(numbers, names, strict=True)) if layout.numbered else {}
    return replace(matrix, labels=labels, cells=tuple(cells), missing=missing, legend=legend)


def _pcie_level(a: Maybe[PciLocation], b: Maybe[PciLocation]) -> Maybe[str]:
    if isinstance(a, Missing):
        return a
    return b if isinstance(b, Missing) else pcie_level(a, b)


def with_traffic(topology: Topology, gpus: Sequence[GpuFrame]) -> Matrix:
    """Return the matrix with the traffic of the directly connected pairs."""
    if not topology.direct:
        return topology.matrix
    traffic = [list(row) for row in topology.matrix.pair_tx_bytes_per_s]
    for i, j, links in topology.direct:
        traffic[i][j] = _sum_tx([gpus[i].links[k] for k in links])
    return replace(topology.matrix, pair_tx_bytes_per_s=tuple(map(tuple, traffic)))


def direct_links(a: GpuFrame, b: GpuFrame) -> list[Link]:
    """Return the links from `a` directly to `b`, those that are down as well."""
    return [link for link in a.links if link.remote.gpu == b.gpu.uuid]


def links_to(a: GpuFrame, b: GpuFrame) -> list[Link]:
    """Return the active links from `a` directly to `b`."""
    return [link for link in direct_links(a, b) if link.active]


def _active_ends(g: GpuFrame) -> _ActiveEnds:
    """Return where the active links of a GPU end; each is looked at once, not once for each other GPU."""
    ends = _ActiveEnds({}, Counter())
    for link in g.links:
        if link.active:
            ends.kinds[link.remote.kind] += 1
            if link.remote.gpu:
                ends.direct.setdefault(link.remote.gpu, []).append(link.index)
    return ends


def _through_switches(a: _ActiveEnds, b: _ActiveEnds, pair: Pair | None) -> int:
    """Return the links of a pair through NVSwitches: the lower number of links of the two."""
    count = min(a.kinds[RemoteKind.SWITCH], b.kinds[RemoteKind.SWITCH])
    if count:
        return count
    # In VMs that hide the switches, the P2P status still shows whether NVLink connects the pair.
    if pair and pair.p2p_nvlink == "OK":
        return min(a.kinds[RemoteKind.UNKNOWN], b.kinds[RemoteKind.UNKNOWN])
    return 0


def _unread_between(a: GpuFrame, b: GpuFrame) -> str | None:
    """Return why it is unknown whether a link connects a pair; None if it is known."""
    for g, other in ((a, b), (b, a)):
        for link in g.links:
            at_switch = link.remote.kind is RemoteKind.SWITCH
            if link.state is LinkState.UNKNOWN and (at_switch or link.remote.gpu == other.gpu.uuid):
                return link.state_reason
    return None


def _sum_tx(links: Sequence[Link]) -> Maybe[float]:
    return total([link.mean_tx_bytes_per_s for link in links])
