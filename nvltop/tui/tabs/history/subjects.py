"""What a chart of the tab History shows: the node, a GPU, one of its links, PCIe, or NICs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.link_capacity import pcie_speed, practical_max
from nvltop.analysis.rate_history import SeriesKey
from nvltop.frozen import frozen
from nvltop.model import GpuFrame, NicFrame, known
from nvltop.report.nics import nic_name
from nvltop.text import counted, ranges
from nvltop.tui.render.view_state import ViewState

ALL_NICS: Final = ("", 0)


@frozen
class Subject:
    """Whose traffic a chart shows."""

    gpu: str | None = None
    """UUID; None for the node."""
    link: int | None = None
    nic: tuple[str, int] | None = None
    """Device and port of a NIC, or `ALL_NICS`."""
    pcie: bool = False


NODE: Final = Subject()


def subjects(view: ViewState) -> list[Subject]:
    """Return the subjects that Up and Down select: the node, each GPU, all NICs, and each NIC."""
    ports = [(f.nic.device, f.port.port) for f in view.frame.nics]
    found = [NODE, *(Subject(g.gpu.uuid) for g in view.gpus)]
    return found + [Subject(nic=port) for port in ([ALL_NICS, *ports] if ports else [])]


def parts(view: ViewState, subject: Subject) -> list[Subject]:
    """Return the subjects of the smaller charts that are shown with a subject."""
    if subject.nic:
        ports = [(f.nic.device, f.port.port) for f in view.frame.nics]
        return [Subject(nic=port) for port in ports] if subject.nic == ALL_NICS else []
    other = Subject(subject.gpu, pcie=not subject.pcie)
    if subject.gpu:
        g = _gpu(view, subject.gpu)
        links = g.links if g and subject.link is None else ()
        return [other, *(Subject(subject.gpu, link.index) for link in links)]
    nics = [Subject(nic=ALL_NICS)] if view.frame.nics else []
    return [other, *nics, *(Subject(g.gpu.uuid, pcie=subject.pcie) for g in view.gpus)]


def series_keys(view: ViewState, subject: Subject, direction: str) -> tuple[SeriesKey, ...]:
    """Return the series whose sum is the traffic of a subject in one direction, `tx` or `rx`."""
    if subject.nic:
        return tuple((f.nic.device, f.port.port, direction) for f in _ports(view, subject))
    name = f"pcie_{direction}" if subject.pcie else direction
    if subject.gpu:
        return ((subject.gpu, None if subject.pcie else subject.link, name),)
    # A GPU without NVLink has no part in the traffic of the links.
    summed = [g for g in _summed(view) if subject.pcie or g.nvlink.links_up != 0]
    return tuple((g.gpu.uuid, None, name) for g in summed)


def _summed(view: ViewState) -> list[GpuFrame]:
    """Return the GPUs of the charts of the node: those that can be read, unless none can."""
    return [g for g in view.gpus if g.state == "ok"] or list(view.gpus)


def name(view: ViewState, subject: Subject) -> str:
    """Return the name of a subject: `NVLink of GPU 3`, `PCIe of all GPUs except GPU 3`, `NIC mlx5_0`."""
    if subject.nic:
        ports = _ports(view, subject)
        named = nic_name(ports[0]) if ports and subject.nic != ALL_NICS else ""
        return f"NIC {named}" if named else "all NICs"
    g = _gpu(view, subject.gpu)
    listed = "all GPUs" if len(view.gpus) == len(view.frame.gpus) else counted(len(view.gpus), "GPU")
    summed = _summed(view)
    if left_out := sorted(g.gpu.index for g in view.gpus if g not in summed):
        listed += f" except GPU {ranges(left_out)}"
    whose = f"GPU {g.gpu.index}" if g else listed
    if subject.link is not None and not subject.pcie:
        whose += f" link {subject.link}"
    return f"{'PCIe' if subject.pcie else 'NVLink'} of {whose}"


def limit(view: ViewState, subject: Subject) -> tuple[float, str]:
    """Return the rate that a subject can reach in one direction, in bytes/s, and its name; 0 if unknown."""
    if subject.nic:
        rates = [f.port.rate_bytes_per_s for f in _ports(view, subject) if f.active]
        return sum(r for r in rates if known(r)), "port speed"
    gpus = [g for g in view.gpus if g.gpu.uuid == subject.gpu] if subject.gpu else _summed(view)
    if subject.pcie:
        return sum(map(pcie_speed, gpus)), "PCIe speed"
    if subject.link is not None and gpus:
        link = next((link for link in gpus[0].links if link.index == subject.link), None)
        reached = practical_max(link.speed_bytes_per_s, gpus[0].nvlink.ceiling) if link else 0.0
        return (reached if known(reached) else 0.0), "NCCL max"
    each = [practical_max(g.nvlink.speed_bytes_per_s, g.nvlink.ceiling) for g in gpus]
    named = "NCCL max" if any(known(g.nvlink.ceiling) for g in gpus) else "speed"
    return sum(r for r in each if known(r)), named


def concerns(subject: Subject, gpu: str | None, nic: str | None) -> bool:
    """Return whether an event of a GPU, a NIC or the node belongs to the chart of a subject."""
    if subject.nic:
        return nic is not None and subject.nic in (ALL_NICS, (nic, subject.nic[1]))
    return nic is None and (subject.gpu is None or gpu in (None, subject.gpu))


def _gpu(view: ViewState, uuid: str | None) -> GpuFrame | None:
    return next((g for g in view.frame.gpus if g.gpu.uuid == uuid), None)


def _ports(view: ViewState, subject: Subject) -> Sequence[NicFrame]:
    return [f for f in view.frame.nics if subject.nic in (ALL_NICS, (f.nic.device, f.port.port))]
