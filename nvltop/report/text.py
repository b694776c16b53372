"""A frame as plain text, for `--once`, pipes and files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from nvltop import __version__
from nvltop.analysis.verdict import mean_link_share
from nvltop.formatting import UNKNOWN, age, count, gb_per_s, memory, percent, rate
from nvltop.model import (
    ErrorCount,
    Frame,
    GpuFrame,
    Link,
    LinkState,
    Maybe,
    Missing,
    NicFrame,
    RemoteKind,
    known,
)
from nvltop.report import activity, findings
from nvltop.report.nics import nic_kind, nic_name
from nvltop.report.nics import unknowns as nic_unknowns
from nvltop.report.nvidia_smi import nvlink
from nvltop.report.nvidia_smi.topo import matrix_table
from nvltop.text import width

DASH = "-"
"""What does not exist, as against `?`, which was not read."""
UNKNOWN_REMOTE = "unknown"
LINKS_TITLE = "links (as `nvidia-smi nvlink -s`; behind it TX and RX in GB/s and the other end)"
ERRORS_TITLE = "link errors (as `nvidia-smi nvlink -e`; links with none share a line)"


def _rates_window(frame: Frame) -> str:
    """Say what time the rates of the report are means over: those of NVLink, else those of PCIe."""
    spans = [g.mean_span_s if g.links else g.pcie_span_s for g in frame.gpus]
    lengths = [span[1] - span[0] for span in spans if span and span[1] > span[0]]
    if not lengths:
        return "no rates yet"
    shortest, longest = f"{min(lengths):.3g}", f"{max(lengths):.3g}"
    return f"rates over {shortest if shortest == longest else f'{shortest} to {longest}'} s"


def to_text(frame: Frame, only: Iterable[str] | None = None) -> str:
    """Return a frame as text; `only` names the UUIDs of the GPUs to list."""
    wanted = None if only is None else set(only)
    gpus = [g for g in frame.gpus if wanted is None or g.gpu.uuid in wanted]
    parts = [_head(frame), gpu_table(gpus)]
    if frame.matrix.labels:
        parts.append("\n" + matrix_table(frame))
    parts.append(_titled("NICs", nics(frame)))
    if any(nvlink.instead_of_links(g) != nvlink.NO_NVLINK for g in gpus):
        parts.append(_titled(LINKS_TITLE, "\n".join(links(g, frame) for g in gpus)))
    parts.append(_titled(ERRORS_TITLE, "\n".join(link_errors(g) for g in gpus if nvlink.errors(g))))
    parts.append(_titled("jobs", jobs(frame)))
    parts.append(_titled("unknown:", unknowns(frame, gpus)))
    parts.append(_health(frame))
    return "\n".join(part for part in parts if part)


def node_line(frame: Frame) -> str:
    """`8 × NVIDIA H100 80GB HBM3 · driver 570.86.15 · CUDA 12.8`."""
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


def nvlink_line(frame: Frame) -> str:
    """`NVLink 4.0 · 144/144 links up · 4 NVSwitches · fabric ok`."""
    present = [g.nvlink.links_present for g in frame.gpus]
    unread = next((p for p in present if isinstance(p, Missing)), None)
    if unread and not any(known(p) and p for p in present):
        return f"NVLink unknown ({unread.reason})"
    c2c = [g.gpu.c2c for g in frame.gpus if known(g.gpu.c2c.links) and g.gpu.c2c.links]
    chips_up = sum(c.links_up for c in c2c if known(c.links_up))
    chips = f"C2C {chips_up} link{'' if chips_up == 1 else 's'} up" if c2c else ""
    if not any(known(p) and p for p in present):
        return " · ".join(filter(None, ("no NVLink on this node", chips))) if present else "no GPU read yet"
    generations = {g.gpu.nvlink_generation for g in frame.gpus if known(g.gpu.nvlink_generation) and g.links}
    ups = [g.nvlink.links_up for g in frame.gpus if g.links]
    up = sum(u for u in ups if known(u))
    parts = [f"NVLink {'/'.join(sorted(map(str, generations)))}" if generations else "NVLink"]
    # Old states are not shown as the state of now.
    old = bool(frame.tick.not_reading) or all(g.stale or g.state != "ok" for g in frame.gpus)
    some = any(isinstance(u, Missing) for u in ups)
    counted = f"{up}{'+?' if some else ''}" if (up or not some) and not old else "?"
    parts.append(f"{counted}/{sum(p for p in present if known(p))} links up")
    switches = {
        remote.pci_bus_id
        for g in frame.gpus
        for remote in (g.gpu.remotes if known(g.gpu.remotes) else ())
        if remote.kind is RemoteKind.SWITCH and known(remote.pci_bus_id)
    }
    if switches:
        parts.append(f"{len(switches)} NVSwitch{'es' if len(switches) > 1 else ''}")
    if old:
        return " · ".join(parts)
    if chips:
        parts.append(chips)
    fabric = sorted({_fabric(g) for g in frame.gpus if g.state == "ok" and known(g.fabric.state)})
    if fabric == ["ok"] and any(f.rule == "fabric-health" for f in frame.findings):
        # It was set up without an error, and is not well all the same.
        parts.append("fabric unhealthy")
    elif fabric:
        parts.append("fabric " + ", ".join(fabric))
    cliques = {g.fabric.clique_id for g in frame.gpus if known(g.fabric.cluster_uuid)}
    if cliques:
        parts.append("clique " + ", ".join(sorted(map(str, cliques))) + " (links also leave this tray)")
    return " · ".join(parts)


def _fabric(g: GpuFrame) -> str:
    """Say `ok`, or what the fabric's setting up has come to."""
    state, status = g.fabric.state, g.fabric.status
    if state == "completed" and known(status):
        return "ok" if status == "success" else f"failed ({status})"
    return _text(state)


def _head(frame: Frame) -> str:
    when = datetime.fromtimestamp(frame.tick.wall_s).astimezone().isoformat(timespec="seconds")
    return "\n".join(
        (
            f"nvltop {__version__} · {when} · {_rates_window(frame)}",
            node_line(frame),
            nvlink_line(frame),
            *_verdict(frame),
        )
    )


def _verdict(frame: Frame) -> list[str]:
    """Return headline and sentence of the verdict, and how long it was watched."""
    found = frame.verdict
    lines = [found.headline]
    if found.summary != found.headline:
        lines.append(found.summary)
    if watched := activity.watched_phrase(frame):
        lines.append(watched)
    return lines


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Lay out rows in columns; the first `left` columns are aligned left, the rest right."""
    widths = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        blanks = [" " * (widest - width(text)) for text, widest in zip(row, widths, strict=True)]
        placed = [t + b if i < left else b + t for i, (t, b) in enumerate(zip(row, blanks, strict=True))]
        lines.append("  ".join(placed).rstrip())
    return "\n".join(lines)


def _titled(title: str, text: str) -> str:
    return f"\n{title}\n{text}" if text else ""


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
        dark = no_link or link.links_up == 0
        rows.append(
            [
                str(g.gpu.index),
                _text(g.gpu.name) + ("" if g.state == "ok" else f" ({g.state_reason})"),
                _text(g.gpu.pci_bus_id),
                _whole(gauges.util_percent),
                memory(gauges.memory_used_bytes, gauges.memory_total_bytes),
                _whole(gauges.power_w),
                _whole(gauges.temperature_c),
                DASH if dark else gb_per_s(link.mean_tx_bytes_per_s, 0),
                DASH if dark else gb_per_s(link.mean_rx_bytes_per_s, 0),
                DASH if dark else percent(mean_link_share(g.nvlink), 0),
                DASH if no_link else f"{_text(link.links_up)}/{_text(link.links_present)}",
                DASH if no_link else count(link.errors_total, 0),
                f"{_text(gauges.pcie_gen)}x{_text(gauges.pcie_width)}",
                rate(pcie.tx_bytes_per_s),
                rate(pcie.rx_bytes_per_s),
                _text(g.gpu.numa_node),
            ]
        )
    return table(rows, left=3)


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
            _text(f.port.state),
            *(gb_per_s(v, 0) for v in (f.port.rate_bytes_per_s, f.tx_bytes_per_s, f.rx_bytes_per_s)),
            *(_ip_rates(f)[: len(ip)]),
            *(_counted(f.errors.get(kind)) for kind in shown),
        ]
        for f in frame.nics
    ]
    return table(rows, left=4)


def _ip_rates(f: NicFrame) -> tuple[str, str]:
    """Return what goes through the kernel beside RDMA."""
    if nic_kind(f) != "RoCE":
        return DASH, DASH
    return gb_per_s(f.ip_tx_bytes_per_s, 0), gb_per_s(f.ip_rx_bytes_per_s, 0)


def links(g: GpuFrame, frame: Frame) -> str:
    """Return the links of a GPU as `nvidia-smi nvlink -s` has them, each with TX, RX and other end behind."""
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
    """Return the state where `nvidia-smi nvlink -s` has no word for it."""
    if link.state in (LinkState.UP, LinkState.DOWN):
        return ""
    return f"{link.state.value} ({link.state_reason})" if link.state_reason else link.state.value


def link_errors(g: GpuFrame) -> str:
    """Return the error counters of a GPU's links, as `nvidia-smi nvlink -e` has them."""
    return "\n".join((nvlink.gpu_line(g), *nvlink.errors(g)))


def remote_name(link: Link, index_of: dict[str, int]) -> str:
    """Name the other end: `GPU 3 link 1`, `NVSwitch 00000000:86:00.0 link 29`, `unknown`."""
    remote = link.remote
    number = f" link {remote.link}" if known(remote.link) else ""
    if remote.gpu in index_of:
        return f"GPU {index_of[remote.gpu]}{number}"
    bus = f" {remote.pci_bus_id}" if known(remote.pci_bus_id) else ""
    names = {RemoteKind.GPU: "GPU", RemoteKind.SWITCH: "NVSwitch", RemoteKind.NPU: "NPU"}
    if remote.kind in names:
        return f"{names[remote.kind]}{bus}{number}"
    return f"{UNKNOWN_REMOTE}{bus}"


def _counted(error: ErrorCount | None) -> str:
    if error is None:
        return DASH
    text = count(error.total, 0)
    if error.last_change_s is not None and known(error.since_start):
        text += f" (+{error.since_start}, {age(error.last_change_s)} ago)"
    return text


def unknowns(frame: Frame, gpus: Sequence[GpuFrame]) -> str:
    """Say why each `?` of the tables of GPUs and NICs, and each `N/A` between two of them, is one."""
    reasons: dict[str, list[str]] = {}
    unopened: set[str] = set()
    for g in gpus:
        if g.gpu.problem and isinstance(g.gpu.pci_bus_id, Missing):
            # The driver does not open it: nothing of it is known, and the reason is the same for all.
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
            "errors": g.nvlink.errors_total,
            "PCIe traffic": g.pcie.tx_bytes_per_s,
            "NUMA": g.gpu.numa_node,
        }
        for what, value in named.items():
            if isinstance(value, Missing) and value.reason not in ("no NVLink", "no link is up"):
                reasons.setdefault(f"{what}: {value.reason}", []).append(str(g.gpu.index))
    lines = [f"{why} (GPU {', '.join(where)})" for why, where in reasons.items()]
    cells = frame.matrix.missing.items()
    lines += [f"matrix {pair}: {why}" for pair, why in cells if unopened.isdisjoint(pair.split(","))]
    return "\n".join(f"  {line}" for line in (*lines, *nic_unknowns(frame)))


def jobs(frame: Frame) -> str:
    """List the jobs, and say what cannot be seen of the processes."""
    index_of = {g.gpu.uuid: str(g.gpu.index) for g in frame.gpus}
    rows = [["JOB", "USER", "PROCESSES", "GPUS", "TX GB/s", "RX GB/s"]]
    for job in frame.jobs:
        mark = "" if job.exact else " (shared)"
        rows.append(
            [
                job.label,
                _text(job.user),
                str(len(job.pids)),
                ",".join(index_of.get(uuid, UNKNOWN) for uuid in job.gpus) + mark,
                gb_per_s(job.tx_bytes_per_s, 0),
                gb_per_s(job.rx_bytes_per_s, 0),
            ]
        )
    lines = [table(rows, left=2)] if len(rows) > 1 else []
    labels = {job.key: job.label for job in frame.jobs}
    for found in frame.activity:
        name = labels.get(found.job or "") or f"GPU {','.join(index_of[u] for u in found.gpus)}"
        if told := activity.describe(frame, found):
            lines.append(f"{name}: {told}")
    if known(frame.processes) and frame.processes.hidden:
        several = "es are" if frame.processes.hidden > 1 else " is"
        lines.append(f"{frame.processes.hidden} process{several} hidden: {frame.processes.hidden_reason}")
    return "\n".join(lines)


def _health(frame: Frame) -> str:
    """Say what was found, and else what was looked at."""
    found = findings.to_lines(frame)
    fine = [c.name for c in frame.checks if c.outcome == "fine"]
    if not found and not fine and all(c.outcome == "n/a" for c in frame.checks):
        return ""
    unread = [f"{c.name} ({c.detail})" for c in frame.checks if c.outcome == "unknown"]
    pending = [f"{c.name} ({c.detail})" for c in frame.checks if c.outcome == "pending"]
    lines = ["", "health", *(f"  {line}" for line in found)]
    if pending:
        lines.append(f"  pending: {', '.join(pending)}")
    if fine:
        lines.append(f"  fine: {', '.join(fine)}")
    if unread:
        lines.append(f"  unknown: {', '.join(unread)}")
    return "\n".join(lines)


def _whole(value: Maybe[float]) -> str:
    return UNKNOWN if isinstance(value, Missing) else f"{value:.0f}"


def _text(value: Maybe[object]) -> str:
    return UNKNOWN if isinstance(value, Missing) else str(value)
