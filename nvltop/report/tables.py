"""The tables of the text report, which the snapshot's `report.md` shows as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.link_capacity import NO_LINK_UP, mean_link_share
from nvltop.formatting import UNKNOWN, age, count, gb_per_s, memory, partial_count, percent, rate
from nvltop.model import (
    NOT_READ,
    NOT_SUPPORTED,
    ErrorCount,
    Frame,
    GpuFrame,
    Link,
    LinkState,
    Maybe,
    Missing,
    NicFrame,
    known,
)
from nvltop.report import activity
from nvltop.report.nics import nic_kind, nic_name
from nvltop.report.nics import unknowns as nic_unknowns
from nvltop.report.nvidia_smi import nvlink
from nvltop.report.phrases import remote_name, text_or_unknown, unlisted_processes
from nvltop.text import ranges, width

DASH: Final = "-"
"""Cell of a value that does not exist, unlike `?`, which could not be read."""
WITHOUT_NVLINK: Final = (Missing("no NVLink"), NO_LINK_UP)
"""Reasons for which there is no traffic of links."""


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Lay out rows in columns; the first `left` columns are aligned left, the rest right."""
    widths = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        blanks = [" " * (widest - width(text)) for text, widest in zip(row, widths, strict=True)]
        placed = [t + b if i < left else b + t for i, (t, b) in enumerate(zip(row, blanks, strict=True))]
        lines.append("  ".join(placed).rstrip())
    return "\n".join(lines)


def gpu_table(gpus: Sequence[GpuFrame]) -> str:
    """Return a row for each GPU."""
    if not gpus:
        return ""
    head = ["GPU", "NAME", "BUS", "UTIL%", "MEM", "W", "°C", "TX GB/s", "RX GB/s", "%SPD", "LINKS", "ERR"]
    head += ["PCIE", "PCIE TX", "PCIE RX", "NUMA"]
    rows = [head]
    for g in gpus:
        gauges, link, pcie = g.gauges, g.nvlink, g.pcie
        no_link = known(link.links_present) and link.links_present == 0
        inactive = no_link or link.links_up == 0
        rows.append(
            [
                str(g.gpu.index),
                text_or_unknown(g.gpu.name) + _state_note(g),
                text_or_unknown(g.gpu.pci_bus_id),
                _whole(gauges.util_percent),
                memory(gauges.memory_used_bytes, gauges.memory_total_bytes),
                _whole(gauges.power_w),
                _whole(gauges.temperature_c),
                DASH if inactive else gb_per_s(link.mean_tx_bytes_per_s, 0),
                DASH if inactive else gb_per_s(link.mean_rx_bytes_per_s, 0),
                DASH if inactive else percent(mean_link_share(g.nvlink), 0),
                DASH if no_link else f"{count(link.links_up, 0)}/{count(link.links_present, 0)}",
                DASH if no_link else partial_count(link.errors_total, link.errors_unread_part is not None, 0),
                f"{text_or_unknown(gauges.pcie_gen)}x{text_or_unknown(gauges.pcie_width)}",
                rate(pcie.tx_bytes_per_s),
                rate(pcie.rx_bytes_per_s),
                text_or_unknown(g.gpu.numa_node),
            ]
        )
    return table(rows, left=3)


def _state_note(g: GpuFrame) -> str:
    """Return why a GPU cannot be read, or how old its values are if they are older than expected."""
    if g.state != "ok":
        return f" ({g.state_reason})"
    return f" (read {age(g.read_age_s)} ago)" if g.stale else ""


def firmware(gpus: Sequence[GpuFrame]) -> str:
    """Return a row for each kind of board, with the columns that at least one GPU has."""
    columns: dict[str, list[Maybe[object]]] = {
        "BOARD": [g.gpu.board_part_number for g in gpus],
        "VBIOS": [g.gpu.vbios for g in gpus],
        "TRAY": [g.gpu.tray for g in gpus],
        "SLOT": [g.gpu.slot for g in gpus],
        "CHASSIS": [g.gpu.chassis_serial for g in gpus],
        "NVLE": [g.gpu.nvlink_encryption for g in gpus],
        "NVLINK FIRMWARE": [g.gpu.nvlink_firmware for g in gpus],
    }
    shown = {title: values for title, values in columns.items() if any(known(v) for v in values)}
    if not shown:
        return ""
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, g in enumerate(gpus):
        alike.setdefault(tuple(_version(values[i]) for values in shown.values()), []).append(g.gpu.index)
    rows = [["GPUS", *shown], *([ranges(indices), *cells] for cells, indices in alike.items())]
    return table(rows, left=len(rows[0]))


def _version(value: Maybe[object]) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return DASH if value == NOT_SUPPORTED else text_or_unknown(value)


def nics(frame: Frame) -> str:
    """Return a row for each port of a NIC."""
    if not frame.nics:
        return ""
    kinds = list(dict.fromkeys(kind for f in frame.nics for kind in f.errors))
    shown = [k for k in kinds if any(k in f.errors and f.errors[k].total != 0 for f in frame.nics)]
    ip = ("IP TX", "IP RX") if any(nic_kind(f) == "RoCE" for f in frame.nics) else ()
    rows = [["NIC", "NAME", "TYPE", "STATE", "SPEED GB/s", "TX GB/s", "RX GB/s", *ip, *shown]]
    rows += [
        [
            f.label or DASH,
            nic_name(f),
            nic_kind(f),
            text_or_unknown(f.port.state) + (f" (read {age(f.age_s)} ago)" if f.stale else ""),
            *(gb_per_s(v, 0) for v in (f.port.rate_bytes_per_s, f.tx_bytes_per_s, f.rx_bytes_per_s)),
            *(_ip_rates(f)[: len(ip)]),
            *(_counted(f.errors.get(kind)) for kind in shown),
        ]
        for f in frame.nics
    ]
    return table(rows, left=4)


def _ip_rates(f: NicFrame) -> tuple[str, str]:
    """Return the TX and RX that pass through the kernel, beside RDMA."""
    if nic_kind(f) != "RoCE":
        return DASH, DASH
    return gb_per_s(f.ip_tx_bytes_per_s, 0), gb_per_s(f.ip_rx_bytes_per_s, 0)


def links(g: GpuFrame, frame: Frame) -> str:
    """Return the links of a GPU as `nvidia-smi nvlink -s` prints them, each with TX, RX and other end."""
    if instead := nvlink.instead_of_links(g):
        return f"{nvlink.gpu_line(g)}\n{instead}"
    index_of = {other.gpu.uuid: other.gpu.index for other in frame.gpus}
    raw = " RAW, with protocol overhead" if g.nvlink.counter == "raw" else ""
    rows = [
        [nvlink.status(link), *_traffic(link), remote_name(link, index_of), _state(link)] for link in g.links
    ]
    return f"{nvlink.gpu_line(g)}{raw}\n{table(rows, left=6)}"


def _traffic(link: Link) -> tuple[str, ...]:
    if link.state is LinkState.DOWN:
        return "", "", "", ""
    return "TX", gb_per_s(link.mean_tx_bytes_per_s), "RX", gb_per_s(link.mean_rx_bytes_per_s)


def _state(link: Link) -> str:
    """Return the state of a link that `nvidia-smi nvlink -s` does not have, else an empty text."""
    if link.state in (LinkState.UP, LinkState.DOWN):
        return ""
    return f"{link.state.value} ({link.state_reason})" if link.state_reason else link.state.value


def link_errors(g: GpuFrame) -> str:
    """Return the error counters of a GPU's links as `nvidia-smi nvlink -e` prints them."""
    return "\n".join((nvlink.gpu_line(g), *nvlink.errors(g)))


def _counted(error: ErrorCount | None) -> str:
    if error is None:
        return DASH
    text = count(error.total, 0)
    if error.last_change_s is not None and known(error.since_start):
        text += f" (+{error.since_start}, {age(error.last_change_s)} ago)"
    return text


def jobs(frame: Frame) -> str:
    """Return a row for each job, what each is doing, and why some processes are hidden."""
    index_of = {g.gpu.uuid: str(g.gpu.index) for g in frame.gpus}
    rows = [["JOB", "USER", "PROCESSES", "GPUS", "TX GB/s", "RX GB/s"]]
    for job in frame.jobs:
        mark = "" if job.exact else " (shared)"
        rows.append(
            [
                job.label,
                text_or_unknown(job.user),
                str(len(job.pids)),
                ",".join(index_of.get(uuid, UNKNOWN) for uuid in job.gpus) + mark,
                DASH if job.tx_bytes_per_s in WITHOUT_NVLINK else gb_per_s(job.tx_bytes_per_s, 0),
                DASH if job.rx_bytes_per_s in WITHOUT_NVLINK else gb_per_s(job.rx_bytes_per_s, 0),
            ]
        )
    lines = [table(rows, left=2)] if len(rows) > 1 else []
    labels = {job.key: job.label for job in frame.jobs}
    for found in frame.activity:
        name = labels.get(found.job or "") or f"GPU {','.join(index_of[u] for u in found.gpus)}"
        if text := activity.describe(frame, found):
            lines.append(f"{name}: {text}")
    unlisted = unlisted_processes(frame)
    if unlisted and frame.processes != NOT_READ:
        lines.append(unlisted)
    return "\n".join(lines)


def unknowns(frame: Frame, gpus: Sequence[GpuFrame]) -> str:
    """Return the reason of each `?` in the tables of GPUs, jobs and NICs, and of each `N/A` in the matrix."""
    reasons: dict[str, list[str]] = {}
    unopened: set[str] = set()
    for g in gpus:
        if g.gpu.problem and isinstance(g.gpu.pci_bus_id, Missing):
            # The driver does not open this GPU, so all of its values are unknown for the same reason.
            reasons.setdefault(f"everything: {g.gpu.problem}", []).append(str(g.gpu.index))
            unopened.add(f"GPU{g.gpu.index}")
            continue
        named: dict[str, Maybe[object]] = {
            "util": g.gauges.util_percent,
            "memory": g.gauges.memory_used_bytes,
            "power": g.gauges.power_w,
            "temperature": g.gauges.temperature_c,
            "NVLink TX": g.nvlink.mean_tx_bytes_per_s,
            "NVLink RX": g.nvlink.mean_rx_bytes_per_s,
            "errors": g.nvlink.errors_unread_part or g.nvlink.errors_total,
            "PCIe traffic": g.pcie.tx_bytes_per_s,
            "NUMA": g.gpu.numa_node,
        }
        for what, value in named.items():
            if isinstance(value, Missing) and value not in WITHOUT_NVLINK:
                reasons.setdefault(f"{what}: {value.reason}", []).append(str(g.gpu.index))
    lines = [f"{why} (GPU {', '.join(where)})" for why, where in reasons.items()]
    lines += [
        f"TX, RX: {moved.reason} (job {job.label})"
        for job in frame.jobs
        if isinstance(moved := job.tx_bytes_per_s, Missing) and moved not in WITHOUT_NVLINK
    ]
    cells = frame.matrix.missing.items()
    lines += [f"matrix {pair}: {why}" for pair, why in cells if unopened.isdisjoint(pair.split(","))]
    return "\n".join(f"  {line}" for line in (*lines, *nic_unknowns(frame)))


def _whole(value: Maybe[float]) -> str:
    return UNKNOWN if isinstance(value, Missing) else f"{value:.0f}"
