"""The node: versions, age of the values, GPUs, topology and NICs."""

from __future__ import annotations

from nvltop.formatting import UNKNOWN, age
from nvltop.model import Frame, Maybe, Missing, known
from nvltop.report import tables
from nvltop.report.nvidia_smi.topo import matrix_table
from nvltop.report.phrases import or_reason, rates_window
from nvltop.snapshot.sections.head import hung_calls
from nvltop.snapshot.sections.inputs import Snapshot, code_block

AGE_GROUPS = ("links", "states", "gauges", "errors", "fabric")


def versions(snapshot: Snapshot) -> str:
    """Return the versions of the driver, libraries and platform."""
    inventory = snapshot.frame.inventory
    names: list[tuple[str, Maybe[object]]] = [
        ("NVIDIA driver", inventory.driver_version),
        ("NVML", inventory.nvml_version),
        ("CUDA (driver)", inventory.cuda_driver_version),
    ]
    if snapshot.replayed:
        names.append(("nvltop (replay)", snapshot.versions["nvltop"]))
    else:
        names += snapshot.versions.items()
        names.append(("container", _yes_or_no(inventory.container)))
    if known(inventory.booted_s):
        names.append(("uptime", age(max(0.0, snapshot.frame.tick.wall_s - inventory.booted_s))))
    if inventory.demo:
        names.append(("SIMULATED node", inventory.demo))
    return code_block(tables.table([[name, or_reason(value)] for name, value in names], left=2))


def _yes_or_no(value: Maybe[bool]) -> Maybe[str]:
    return value if isinstance(value, Missing) else "yes" if value else "no"


def reading(snapshot: Snapshot) -> str:
    """Return the age of the values, whether the driver answers, and the cost of reading."""
    frame = snapshot.frame
    tick, cost = frame.tick, frame.cost
    lines = [f"Reading process: {tick.worker}." + (f" {tick.note}." if tick.note else "")]
    lines += hung_calls(frame)
    lines.append(f"Observed for {age(max(0.0, tick.wall_s - frame.started_s))}.")
    if cost.interval_s:
        lines.append(
            f"Interval {tick.interval_s:g} s requested, {cost.interval_s:g} s effective; "
            f"{cost.calls_per_s:.0f} NVML calls/s, {cost.driver_s_per_s * 1000:.1f} ms/s in the driver."
        )
    rows = [["AGE", *(g.upper() for g in AGE_GROUPS), "STATE"]]
    for g in frame.gpus:
        ages = [age(g.age_s[group]) if group in g.age_s else "-" for group in AGE_GROUPS]
        state = g.state if g.state == "ok" else f"{g.state} ({g.state_reason})"
        rows.append([f"GPU {g.gpu.index}", *ages, state + (", stale" if g.stale else "")])
    return code_block("\n".join([*lines, *(["", tables.table(rows)] if frame.gpus else [])]))


def gpus(snapshot: Snapshot) -> str:
    """Return the table of GPUs, and the time over which its rates are averaged."""
    frame = snapshot.frame
    if not frame.gpus:
        return "No GPU has been read."
    window = rates_window(frame)
    return f"{window[0].upper()}{window[1:]}.\n\n{code_block(tables.gpu_table(frame.gpus))}"


def more_about_gpus(snapshot: Snapshot) -> str:
    """Return a table of GPUs with values that the screen does not show."""
    frame = snapshot.frame
    if not frame.gpus:
        return ""
    rows = [["GPU", "ID", "NVLINK", "MODULE", "MIG", "VIRTUALIZATION", "PERSISTENCE", "FABRIC", "RECOVERY"]]
    for g in frame.gpus:
        gpu, fabric = g.gpu, g.fabric
        values: list[Maybe[object]] = [
            gpu.nvlink_generation,
            gpu.module_id,
            _yes_or_no(gpu.mig),
            gpu.virtualization,
            _yes_or_no(gpu.persistence),
            fabric.health_summary if known(fabric.health_summary) else fabric.state,
            fabric.recovery_action,
        ]
        rows.append([str(gpu.index), gpu.uuid, *("-" if isinstance(v, Missing) else str(v) for v in values)])
    parts = [tables.table(rows, left=2), tables.firmware(frame.gpus)]
    return "\n\n".join(code_block(part) for part in parts if part)


def matrix(snapshot: Snapshot) -> str:
    """Return the matrix, and why peer-to-peer over NVLink is unavailable between some GPUs."""
    frame = snapshot.frame
    if not frame.gpus:
        return ""
    return "\n\n".join(filter(None, (code_block(matrix_table(frame)), _p2p(frame))))


def nics(snapshot: Snapshot) -> str:
    """Return a row for each port of a NIC."""
    return code_block(tables.nics(snapshot.frame))


def _p2p(frame: Frame) -> str:
    m = frame.matrix
    connected = [
        value
        for cells, row in zip(m.cells, m.p2p_nvlink, strict=False)
        for cell, value in zip(cells, row, strict=False)
        if cell.startswith("NV")
    ]
    if not connected:
        return ""
    if all(value == "OK" for value in connected):
        return "Peer-to-peer over NVLink is OK between all GPUs that NVLink connects."
    rows = [["", *m.labels[: len(m.p2p_nvlink)]]]
    rows += [
        [label, *(UNKNOWN if isinstance(v, Missing) else v for v in row)]
        for label, row in zip(m.labels, m.p2p_nvlink, strict=False)
    ]
    reasons = dict.fromkeys(v.reason for row in m.p2p_nvlink for v in row if isinstance(v, Missing))
    footnotes = "".join(f"\n{UNKNOWN}: {reason}" for reason in reasons)
    table = code_block(tables.table(rows) + footnotes)
    return f"Peer-to-peer over NVLink, as `nvidia-smi topo -p2p n` shows it:\n\n{table}"


def unknowns(snapshot: Snapshot) -> str:
    """Return the reason of each `?`."""
    return code_block(tables.unknowns(snapshot.frame, snapshot.frame.gpus))
