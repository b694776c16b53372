"""Metrics of the node as a whole: verdict, findings, and nvltop itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nvltop import __version__
from nvltop.analysis.incidents.ends import normal
from nvltop.analysis.verdict import VERDICT_IDS
from nvltop.export.activity import add_activity, add_at_limit
from nvltop.export.gpus import add_gpu
from nvltop.export.links import add_links
from nvltop.export.metric_set import (
    NOT_READ_LATELY,
    PORT_LABELS,
    SAMPLE_LIFETIME_S,
    InfoSpec,
    Labels,
    MetricFamily,
    MetricSet,
    MetricSpec,
    ValueSpec,
    gpu_labels,
)
from nvltop.export.nics import add_ports
from nvltop.model import Cost, Finding, Frame, GpuFrame, Severity, known

MAX_FINDINGS: Final = 200
"""Highest number of findings exported one by one, worst first; `nvltop_findings` counts all."""
RUNNING: Final = ("running", "replaced")

BUILD: Final = MetricSpec("build", "Version of nvltop.", "info")
NODE: Final[InfoSpec[Frame]] = InfoSpec(
    MetricSpec(
        "node", "Driver of this machine; `simulated` names a simulated node and its scenario.", "info"
    ),
    lambda f: {
        "driver_version": f.inventory.driver_version,
        "cuda_version": f.inventory.cuda_driver_version,
        "nvml_version": f.inventory.nvml_version,
        "simulated": f.inventory.demo,
    },
)
DRIVER: Final = MetricSpec("driver_up", "Whether the driver can be read: 1 or 0.")
GPUS: Final = MetricSpec("gpus", "GPUs of the node, lost ones included.")
VERDICT: Final = MetricSpec(
    "verdict", "Whether NVLink works and is the bottleneck: 1 for the verdict now, 0 for all others."
)
FINDINGS: Final = MetricSpec("findings", "Findings of the health rules, by severity.")
FINDING: Final = MetricSpec(
    "finding", "Always 1: a finding of a health rule; `link` is absent if it concerns a whole GPU."
)
FINDING_BEGAN: Final = MetricSpec(
    "finding_began_timestamp_seconds", "Unix time since which the condition of the finding has been present."
)
CHECK: Final = MetricSpec(
    "check", "Always 1; `outcome` of a family of health rules: fine, problem, pending, unknown, n/a."
)
CALL: Final = MetricSpec("driver_call_seconds", "Duration of a driver call in progress, if longer than 1 s.")
WORKER: Final = MetricSpec("worker", "Always 1; `state` of the process that reads NVML.")
LAST_XID: Final = MetricSpec(
    "last_xid", "Newest Xid of the GPU, from the kernel log or NVML; `link` is absent if it names none."
)
LAST_XID_TIME: Final = MetricSpec("last_xid_timestamp_seconds", "Unix time of the newest Xid of the GPU.")
FRAME_AGE: Final = MetricSpec("frame_age_seconds", "Time since the exported frame was made.")
INTERVAL: Final = MetricSpec("interval_seconds", "Requested refresh interval.")
COST: Final[tuple[ValueSpec[Cost], ...]] = (
    ValueSpec(
        MetricSpec("driver_calls_per_second", "NVML calls made by the reading process."),
        lambda c: c.calls_per_s,
    ),
    ValueSpec(
        MetricSpec("driver_time_ratio", "Share of the time that the reading process spends in NVML calls."),
        lambda c: c.driver_s_per_s,
    ),
    ValueSpec(
        MetricSpec(
            "reader_cpu_ratio", "CPU time of the reading process per second; process_* is the other one."
        ),
        lambda c: c.cpu_s_per_s,
    ),
    ValueSpec(
        MetricSpec("effective_interval_seconds", "Interval between two readings of the link counters."),
        lambda c: c.interval_s,
    ),
    ValueSpec(
        MetricSpec("sweep_seconds", "How long reading the link counters of all GPUs takes."),
        lambda c: c.sweep_s,
    ),
)


def families(
    frame: Frame, late_s: float = 0.0, only: Iterable[str] | None = None, hostname_label: str | None = None
) -> list[MetricFamily]:
    """Return all samples of a frame that is `late_s` old.

    `only` holds the UUIDs of the GPUs to list (None for all). Each sample has the name of the node in the
    label `hostname_label`, unless it is None.
    """
    name = frame.inventory.hostname
    metrics = MetricSet({hostname_label: name} if hostname_label and known(name) else {})
    _add_node(metrics, frame, late_s)
    not_reading = frame.tick.not_reading or (NOT_READ_LATELY if late_s > SAMPLE_LIFETIME_S else None)
    wanted = None if only is None else set(only)
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    shown: dict[str, Labels] = {}
    for gpu in frame.gpus:
        if wanted is None or gpu.gpu.uuid in wanted:
            add_gpu(metrics, gpu, late_s, not_reading)
            add_links(metrics, gpu, index_of, late_s, not_reading)
            _add_last_xid(metrics, frame, gpu)
            shown[gpu.gpu.uuid] = gpu_labels(gpu)
    if not not_reading:
        add_activity(metrics, frame.activity, shown)
    add_at_limit(metrics, dict(frame.at_limit_s), shown)
    add_ports(metrics, frame.nics, late_s, not_reading)
    if late_s <= SAMPLE_LIFETIME_S:
        _add_judgement(metrics, frame)
    return metrics.families()


def _add_last_xid(metrics: MetricSet, frame: Frame, gpu: GpuFrame) -> None:
    """Add the newest Xid of a GPU, from the kernel log or from NVML; nothing if there was none."""
    bus_id = gpu.gpu.pci_bus_id
    if not known(bus_id):
        return
    xids = [
        e
        for incident in frame.incidents
        for e in incident.events
        if e.fault.kind == "xid" and e.fault.pci_bus_id == normal(bus_id) and e.wall_s is not None
    ]
    if not xids:
        return
    newest = max(xids, key=lambda e: e.wall_s or 0.0)
    link = newest.fault.link
    labels = {**gpu_labels(gpu), **({} if link is None else {"link": str(link)})}
    metrics.add(LAST_XID, labels, float(newest.fault.code or 0))
    metrics.add(LAST_XID_TIME, labels, newest.wall_s or 0.0)


def _add_node(metrics: MetricSet, frame: Frame, late_s: float) -> None:
    tick, cost = frame.tick, frame.cost
    metrics.add(BUILD, {"version": __version__})
    metrics.add_info(NODE, frame, {})
    # While the reading process does not run, the state of the driver is unknown.
    if tick.worker != "starting" and not tick.not_reading:
        metrics.add(DRIVER, {}, float(tick.worker in RUNNING and not frame.inventory.problem))
    metrics.add(GPUS, {}, len(frame.gpus))
    metrics.add(WORKER, {"state": tick.worker})
    metrics.add(FRAME_AGE, {}, round(late_s, 3))
    metrics.add(INTERVAL, {}, tick.interval_s)
    if cost != Cost():
        metrics.add_values(COST, cost, {})
    labels_of = {g.gpu.index: gpu_labels(g) for g in frame.gpus}
    since: dict[tuple[int | None, str], float] = {}
    for call in tick.calls:
        # Several poll threads may be in the same call.
        since[call.gpu, call.function] = min(call.since_s, since.get((call.gpu, call.function), call.since_s))
    for (gpu, function), since_s in since.items():
        where = {} if gpu is None else labels_of.get(gpu, {"gpu": str(gpu)})
        metrics.add(CALL, {**where, "function": function}, round(tick.mono_s - since_s + late_s, 3))


def _add_judgement(metrics: MetricSet, frame: Frame) -> None:
    for verdict in VERDICT_IDS:
        metrics.add(VERDICT, {"verdict": verdict}, float(verdict == frame.verdict.id))
    for check in frame.checks:
        metrics.add(CHECK, {"check": check.name, "outcome": check.outcome})
    for severity in Severity.worst_first():
        count = sum(f.severity is severity for f in frame.findings)
        metrics.add(FINDINGS, {"severity": severity.value}, count)
    labels_of = {g.gpu.uuid: gpu_labels(g) for g in frame.gpus}
    first_port = {f.nic.device: f.port.port for f in reversed(frame.nics)}
    began_s: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for finding in frame.findings[:MAX_FINDINGS]:
        times = began_s.setdefault(tuple(_where(finding, labels_of, first_port).items()), [])
        times += [] if finding.began_s is None else [finding.began_s]
    # Findings that differ only in their text have one series.
    for labels, times in began_s.items():
        metrics.add(FINDING, dict(labels))
        if times:
            metrics.add(FINDING_BEGAN, dict(labels), min(times))


def _where(finding: Finding, labels_of: Mapping[str, Labels], first_port: Mapping[str, int]) -> Labels:
    labels = {"rule": finding.rule, "severity": finding.severity}
    if finding.gpu is not None:
        labels |= labels_of.get(finding.gpu, {"UUID": finding.gpu})
    if finding.nic is not None:
        # The `link` of a NIC is its port; a finding about the first port does not name it.
        port = first_port.get(finding.nic, 1) if finding.link is None else finding.link
        labels |= dict(zip(PORT_LABELS, (finding.nic, str(port)), strict=True))
    elif finding.link is not None:
        labels["link"] = str(finding.link)
    return labels
