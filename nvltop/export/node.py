"""What is exported of the node as a whole: verdict, findings, and the monitor itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nvltop import __version__
from nvltop.analysis.health.debounce import SEVERITIES
from nvltop.analysis.verdict import VERDICT_IDS
from nvltop.export.activity import add_activity, add_at_limit
from nvltop.export.gpus import add_gpu
from nvltop.export.links import add_links
from nvltop.export.metric_set import (
    PORT_LABELS,
    TOO_OLD_S,
    Family,
    Info,
    Labels,
    Metric,
    Sheet,
    Value,
    gpu_labels,
)
from nvltop.export.nics import add_ports
from nvltop.model import Cost, Finding, Frame, known

MAX_FINDINGS: Final = 200
"""Findings exported one by one, worst first; `nvltop_findings` counts all."""
RUNNING: Final = ("running", "replaced")

BUILD: Final = Metric("build", "Version of nvltop.", "info")
NODE: Final[Info[Frame]] = Info(
    Metric("node", "Driver of this machine; `simulated` names a simulated node and its scenario.", "info"),
    lambda f: {
        "driver_version": f.inventory.driver_version,
        "cuda_version": f.inventory.cuda_driver_version,
        "nvml_version": f.inventory.nvml_version,
        "simulated": f.inventory.demo,
    },
)
DRIVER: Final = Metric("driver_up", "Whether the driver can be read: 1 or 0.")
GPUS: Final = Metric("gpus", "GPUs of the node, lost ones included.")
VERDICT: Final = Metric(
    "verdict", "Whether NVLink works and is the bottleneck: 1 for the verdict now, 0 for all others."
)
FINDINGS: Final = Metric("findings", "Findings of the health rules, by severity.")
FINDING: Final = Metric("finding", "Always 1: what a health rule says now; `link` is empty for a whole GPU.")
CHECK: Final = Metric(
    "check", "Always 1; `outcome` of a family of health rules: fine, problem, pending, unknown, n/a."
)
CALL: Final = Metric("driver_call_seconds", "How long a driver call has been going on, if longer than 1 s.")
WORKER: Final = Metric("worker", "Always 1; `state` of the process that reads NVML.")
AGE: Final = Metric("frame_age_seconds", "Time since the monitor last looked at the readings.")
INTERVAL: Final = Metric("interval_seconds", "Refresh interval asked for.")
COST: Final[tuple[Value[Cost], ...]] = (
    Value(
        Metric("driver_calls_per_second", "NVML calls made by the reading process."), lambda c: c.calls_per_s
    ),
    Value(
        Metric("driver_time_ratio", "Share of the time that the reading process spends in NVML calls."),
        lambda c: c.driver_s_per_s,
    ),
    Value(
        Metric("reader_cpu_ratio", "CPU time of the reading process per second; process_* is the other one."),
        lambda c: c.cpu_s_per_s,
    ),
    Value(
        Metric("effective_interval_seconds", "Interval between two readings of the link counters."),
        lambda c: c.interval_s,
    ),
    Value(
        Metric("sweep_seconds", "How long reading the link counters of all GPUs takes."), lambda c: c.sweep_s
    ),
)


def families(
    frame: Frame, late_s: float = 0.0, only: Iterable[str] | None = None, hostname: bool = False
) -> list[Family]:
    """Return all samples of a frame.

    `late_s` is how long ago the frame was made, `only` names the UUIDs of the GPUs to list, and with
    `hostname` each sample has the label `Hostname`.
    """
    name = frame.inventory.hostname
    sheet = Sheet({"Hostname": name} if hostname and known(name) else {})
    _add_node(sheet, frame, late_s)
    wanted = None if only is None else set(only)
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    shown: dict[str, Labels] = {}
    for gpu in frame.gpus:
        if wanted is None or gpu.gpu.uuid in wanted:
            add_gpu(sheet, gpu, late_s)
            add_links(sheet, gpu, index_of, late_s)
            shown[gpu.gpu.uuid] = gpu_labels(gpu)
    add_activity(sheet, frame.activity, shown)
    add_at_limit(sheet, dict(frame.at_limit_s), shown)
    add_ports(sheet, frame.nics, late_s)
    if late_s <= TOO_OLD_S:
        _add_judgement(sheet, frame)
    return sheet.families()


def _add_node(sheet: Sheet, frame: Frame, late_s: float) -> None:
    tick, cost = frame.tick, frame.cost
    sheet.add(BUILD, {"version": __version__})
    sheet.add_info(NODE, frame, {})
    # While our own worker does not run, nothing is known of the driver.
    if tick.worker not in ("starting", "paused", "ended"):
        sheet.add(DRIVER, {}, float(tick.worker in RUNNING and not frame.inventory.problem))
    sheet.add(GPUS, {}, len(frame.gpus))
    sheet.add(WORKER, {"state": tick.worker})
    sheet.add(AGE, {}, round(late_s, 3))
    sheet.add(INTERVAL, {}, tick.interval_s)
    if cost != Cost():
        sheet.add_values(COST, cost, {})
    labels_of = {g.gpu.index: gpu_labels(g) for g in frame.gpus}
    since: dict[tuple[int | None, str], float] = {}
    for call in tick.calls:
        # Several threads may be in the same call.
        since[call.gpu, call.function] = min(call.since_s, since.get((call.gpu, call.function), call.since_s))
    for (gpu, function), since_s in since.items():
        where = {} if gpu is None else labels_of.get(gpu, {"gpu": str(gpu)})
        sheet.add(CALL, {**where, "function": function}, round(tick.mono_s - since_s + late_s, 3))


def _add_judgement(sheet: Sheet, frame: Frame) -> None:
    for verdict in VERDICT_IDS:
        sheet.add(VERDICT, {"verdict": verdict}, float(verdict == frame.verdict.id))
    for check in frame.checks:
        sheet.add(CHECK, {"check": check.name, "outcome": check.outcome})
    for severity in SEVERITIES:
        count = sum(f.severity == severity for f in frame.findings)
        sheet.add(FINDINGS, {"severity": severity}, count)
    labels_of = {g.gpu.uuid: gpu_labels(g) for g in frame.gpus}
    first_port = {f.nic.device: f.port.port for f in reversed(frame.nics)}
    for finding in frame.findings[:MAX_FINDINGS]:
        sheet.add(FINDING, _where(finding, labels_of, first_port))


def _where(finding: Finding, labels_of: Mapping[str, Labels], first_port: Mapping[str, int]) -> Labels:
    labels = {"rule": finding.rule, "severity": finding.severity}
    if finding.gpu is not None:
        labels |= labels_of.get(finding.gpu, {"UUID": finding.gpu})
    if finding.nic is not None:
        # Of a NIC, `link` is the port; a finding about the first does not name it.
        port = first_port.get(finding.nic, 1) if finding.link is None else finding.link
        labels |= dict(zip(PORT_LABELS, (finding.nic, str(port)), strict=True))
    elif finding.link is not None:
        labels["link"] = str(finding.link)
    return labels
