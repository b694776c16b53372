"""Phrases about a node and its links that the reports, the snapshot and the screen share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.formatting import UNKNOWN, age, in_seconds
from nvltop.model import (
    PCIE_SAMPLED,
    Counter,
    ErrorCount,
    Frame,
    GpuFrame,
    Link,
    Maybe,
    Missing,
    RemoteKind,
    first_missing,
    known,
)
from nvltop.model.missing import UNSUPPORTED
from nvltop.text import counted

T = TypeVar("T")
UNKNOWN_REMOTE: Final = "unknown"
"""Name of the other end of a link that the driver does not report."""

SAMPLES: Final = "samples of 20 ms"
"""What older drivers measure of PCIe while they are asked: no mean over the time between two answers."""


def pcie_is_sampled(gpus: Sequence[GpuFrame]) -> bool:
    """Return whether the PCIe rates are such samples."""
    return any(g.pcie.source == PCIE_SAMPLED for g in gpus)


def rates_window(frame: Frame) -> str:
    """Return the time over which rates are averaged: those of NVLink, or of PCIe without NVLink."""
    if not any(g.links for g in frame.gpus) and pcie_is_sampled(frame.gpus):
        return f"rates: {SAMPLES}"
    spans = [g.mean_span_s if g.links else g.pcie_span_s for g in frame.gpus]
    lengths = [span[1] - span[0] for span in spans if span and span[1] > span[0]]
    if not lengths:
        return "no rates yet"
    shortest, longest = in_seconds(min(lengths)), in_seconds(max(lengths))
    return f"rates over {shortest if shortest == longest else f'{shortest} to {longest}'}"


def counted_gpus(gpus: Sequence[GpuFrame]) -> tuple[list[GpuFrame], bool]:
    """Return the GPUs whose values are added up, and whether these are the last values and not those of now.

    Values of a GPU that are older than expected do not count beside current ones. If no GPU has current ones,
    the sum is that of the last values, as each row is.
    """
    readable = [g for g in gpus if g.state == "ok"]
    current = [g for g in readable if not g.stale]
    return (current, False) if current or not readable else (readable, True)


def nothing_is_read(frame: Frame) -> bool:
    """Return whether all values are older than expected, because the reading process does not read."""
    return frame.tick.not_reading is not None and counted_gpus(frame.gpus)[1]


def node_line(frame: Frame) -> str:
    """Return `8 × NVIDIA H100 80GB HBM3 · driver 570.86.15 · CUDA 12.8`."""
    names = [g.gpu.name if known(g.gpu.name) else "unknown GPU" for g in frame.gpus]
    kinds = [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]
    inventory = frame.inventory
    if known(inventory.driver_version):
        kinds.append(f"driver {inventory.driver_version}")
    if known(inventory.cuda_driver_version):
        kinds.append(f"CUDA {inventory.cuda_driver_version}")
    if inventory.demo:
        kinds.append(f"SIMULATED ({inventory.demo})")
    return " · ".join(kinds)


def has_unread_links(g: GpuFrame) -> bool:
    """Return whether it is unknown how many links a GPU has, although GPUs like it may have some."""
    present = g.nvlink.links_present
    return isinstance(present, Missing) and present not in UNSUPPORTED and g.gpu.mig is not True


def nvlink_line(frame: Frame) -> str:
    """Return `NVLink 4.0 · 144/144 links up · 4 NVSwitches · fabric ok`."""
    present = [g.nvlink.links_present for g in frame.gpus]
    why = first_missing(present)
    if why and not any(known(p) and p for p in present):
        return f"NVLink unknown ({why.reason})"
    c2c = [g.gpu.c2c for g in frame.gpus if known(g.gpu.c2c.links) and g.gpu.c2c.links]
    chips_up = sum(c.links_up for c in c2c if known(c.links_up))
    chips = f"C2C {counted(chips_up, 'link')} up" if c2c else ""
    if not any(known(p) and p for p in present):
        return " · ".join(filter(None, ("no NVLink on this node", chips))) if present else "no GPU read yet"
    generations = {g.gpu.nvlink_generation for g in frame.gpus if known(g.gpu.nvlink_generation) and g.links}
    linked = [g for g in frame.gpus if g.links]
    counted_now, old = counted_gpus(linked)
    ups = [g.nvlink.links_up for g in counted_now]
    up = sum(u for u in ups if known(u))
    parts = [f"NVLink {'/'.join(sorted(map(str, generations)))}" if generations else "NVLink"]
    unread = "+?" if any(map(has_unread_links, frame.gpus)) else ""
    some = unread or len(counted_now) < len(linked) or any(isinstance(u, Missing) for u in ups)
    ups_text = f"{up}{'+?' if some else ''}" if up or not some else "?"
    ago = max((g.age_s.get("states", 0.0) for g in counted_now), default=0.0)
    when = f" {age(ago)} ago" if old and ups_text != "?" else ""
    parts.append(f"{ups_text}/{sum(p for p in present if known(p))}{unread} links up{when}")
    if raw := [g for g in linked if g.nvlink.counter is Counter.RAW]:
        parts.append(f"RAW counters{'' if len(raw) == len(linked) else f' of {gpu_names(raw)}'}")
    switches = {
        remote.pci_bus_id
        for g in frame.gpus
        for remote in (g.gpu.remotes if known(g.gpu.remotes) else ())
        if remote.kind is RemoteKind.SWITCH and known(remote.pci_bus_id)
    }
    if switches:
        parts.append(counted(len(switches), "NVSwitch", "NVSwitches"))
    if old:
        return " · ".join(parts)
    if chips:
        parts.append(chips)
    fabric = sorted({_fabric(g) for g in frame.gpus if g.state == "ok" and known(g.fabric.state)})
    if fabric == ["ok"] and any(f.rule == "fabric-health" for f in frame.findings):
        # Registration succeeded, but the fabric has reported a fault since then.
        parts.append("fabric unhealthy")
    elif fabric:
        parts.append("fabric " + ", ".join(fabric))
    cliques = {g.fabric.clique_id for g in frame.gpus if known(g.fabric.cluster_uuid)}
    if cliques:
        parts.append("clique " + ", ".join(sorted(map(str, cliques))) + " (links also leave this tray)")
    return " · ".join(parts)


def _fabric(g: GpuFrame) -> str:
    """Return `ok`, or the state in which the registration with the fabric is or has failed."""
    state, status = g.fabric.state, g.fabric.status
    if state == "completed" and known(status):
        return "ok" if status == "success" else f"failed ({status})"
    return text_or_unknown(state)


def remote_name(link: Link, index_of: dict[str, int]) -> str:
    """Return the name of the other end: `GPU 3 link 1`, `NVSwitch 00000000:86:00.0 link 29`, `unknown`."""
    remote = link.remote
    number = f" link {remote.link}" if known(remote.link) else ""
    if remote.gpu in index_of:
        return f"GPU {index_of[remote.gpu]}{number}"
    bus = f" {remote.pci_bus_id}" if known(remote.pci_bus_id) else ""
    names = {RemoteKind.GPU: "GPU", RemoteKind.SWITCH: "NVSwitch", RemoteKind.NPU: "NPU"}
    if remote.kind in names:
        return f"{names[remote.kind]}{bus}{number}"
    return f"{UNKNOWN_REMOTE}{bus}"


def unknown_by_reason(name: str, values: Mapping[str, Maybe[object]]) -> list[str]:
    """Return the unknown values of an object grouped by reason: `GPU 0 ? power, temp: not supported`."""
    names_by_reason: dict[str, list[str]] = {}
    for value_name, value in values.items():
        if isinstance(value, Missing):
            names_by_reason.setdefault(value.reason, []).append(value_name)
    return [f"{name} ? {', '.join(names)}: {reason}" for reason, names in names_by_reason.items()]


def unread_count(error: ErrorCount) -> str:
    """Return why an error counter cannot be read, and its last count; empty if it can be read."""
    if not isinstance(error.total, Missing):
        return ""
    if error.last_known is None:
        return error.total.reason
    number, age_s = error.last_known
    return f"{error.total.reason}; it was {number} when last read, {age(age_s)} ago"


def text_or_unknown(value: Maybe[object]) -> str:
    """Return a value as text, `?` if it could not be read."""
    return UNKNOWN if isinstance(value, Missing) else str(value)


def or_reason(value: Maybe[T], text: Callable[[T], str] = str) -> str:
    """Return a value as text, `? (reason)` if it could not be read."""
    return f"{UNKNOWN} ({value.reason})" if isinstance(value, Missing) else text(value)


def tx_rx_or_reason(tx: Maybe[float], rx: Maybe[float], text: Callable[[float], str]) -> str:
    """Return `TX 1.2 GB/s, RX 900 MB/s`; a reason that both have is given once."""
    if isinstance(tx, Missing) and tx == rx:
        return f"TX and RX {or_reason(tx, text)}"
    return f"TX {or_reason(tx, text)}, RX {or_reason(rx, text)}"


def unlisted_processes(frame: Frame) -> str:
    """Return how many processes are not listed, and why; empty if all are."""
    if isinstance(frame.processes, Missing):
        return f"processes unknown: {frame.processes.reason}"
    parts = []
    if frame.processes.hidden:
        several = "es are" if frame.processes.hidden > 1 else " is"
        parts.append(f"{frame.processes.hidden} process{several} hidden: {frame.processes.hidden_reason}")
    if isinstance(frame.processes.unread, Missing):
        parts.append(f"processes of some GPUs unknown: {frame.processes.unread.reason}")
    return " · ".join(parts)
