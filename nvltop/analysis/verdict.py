"""What links can carry, and the one line that answers "is NVLink working, and is it my bottleneck?".

The answer is that of the most limited job (`activity/`), after the faults of the node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from nvltop.analysis import verdict_text
from nvltop.analysis.rates import LEARNING_REFRESH, NO_SECOND_READING
from nvltop.formatting import age
from nvltop.model import (
    Finding,
    GpuFrame,
    Inventory,
    Job,
    Judgement,
    Maybe,
    Missing,
    NvLink,
    Severity,
    Tick,
    Verdict,
    known,
)
from nvltop.text import ranges

CEILINGS: Final = {
    "2.0": 20.0 / 25.781,
    "3.0": 20.0 / 25.0,
    "3.1": 12.0 / 14.0625,
    "4.0": 20.6 / 26.562,
    "5.0": 40.1 / 53.125,
}
"""What NCCL reaches of NVML's speed per link, by generation (nccl src/graph/topo.h; GB/s over GB/s)."""

NO_RATES_YET: Final = frozenset({NO_SECOND_READING.reason, LEARNING_REFRESH.reason})
"""Reason for a rate to be missing at the start."""
GPU_BUSY_PERCENT: Final = 50.0
PCIE_BUSY_SHARE: Final = 0.20
"""Share of the PCIe link's rate from which PCIe counts as carrying the traffic."""
PCIE_LANE_BYTES_PER_S: Final = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Bytes/s of one lane by generation, after line coding."""
VERDICT_IDS: Final = (
    "starting",
    "no-gpu",
    "degraded",
    "unknown",
    "silent",
    "saturated",
    "partly",
    "unclear",
    "carrying",
    "pcie",
    "busy-no-traffic",
    "idle",
    "mig",
    "no-nvlink",
    "no-link-up",
)
"""Every id that a verdict can have."""


def ceiling(generation: Maybe[str]) -> Maybe[float]:
    """Return the share of the speed that NCCL reaches on this generation of NVLink."""
    if isinstance(generation, Missing):
        return generation
    return CEILINGS.get(generation) or Missing(f"no figure published for NVLink {generation}")


def link_share(nvlink: NvLink) -> Maybe[float]:
    """Return the busier direction's rate over the speed of the GPU's up links."""
    return busier_share(nvlink.tx_bytes_per_s, nvlink.rx_bytes_per_s, nvlink.speed_bytes_per_s)


def mean_link_share(nvlink: NvLink) -> Maybe[float]:
    """Return the busier direction's mean rate over the speed of the GPU's up links."""
    return busier_share(nvlink.mean_tx_bytes_per_s, nvlink.mean_rx_bytes_per_s, nvlink.speed_bytes_per_s)


def busier_share(tx: Maybe[float], rx: Maybe[float], speed: Maybe[float]) -> Maybe[float]:
    """Return the busier direction's share of a speed, all in bytes/s."""
    rates = [r for r in (tx, rx) if known(r)]
    if not rates:
        return tx
    if isinstance(speed, Missing):
        return speed
    return max(rates) / speed if speed else Missing("no link is up")


def pcie_speed(gpu: GpuFrame) -> float:
    """Return the bytes/s that the GPU's PCIe link can carry a direction now; 0 if unknown."""
    gen, width = gpu.gauges.pcie_gen, gpu.gauges.pcie_width
    if isinstance(gen, Missing) or isinstance(width, Missing):
        return 0.0
    return PCIE_LANE_BYTES_PER_S.get(gen, 0.0) * width


def pcie_share(gpu: GpuFrame) -> float:
    """Return the busier PCIe direction over what the link can carry now; 0 if unknown."""
    rates = [r for r in (gpu.pcie.tx_bytes_per_s, gpu.pcie.rx_bytes_per_s) if known(r)]
    speed = pcie_speed(gpu)
    return max(rates) / speed if rates and speed else 0.0


VERDICT_BY_STATE: Final = {
    "silent": "silent",
    "limits": "saturated",
    "limits-part": "partly",
    "may-limit": "partly",
    "unclear": "unclear",
    "below": "carrying",
    "hidden": "carrying",
    "light": "carrying",
    "no-traffic": "busy-no-traffic",
    "unknown": "unknown",
    "idle": "idle",
}
"""The verdict id of each state of a job, the most limited state first."""
ACTIVE_STATES: Final = frozenset(VERDICT_BY_STATE) - {"idle", "unknown", "no-traffic"}
"""States of jobs that use NVLink, or did just now."""
READY: Final = "fabric-not-ready"
"""A rule that makes NVLink unusable, however mild it is while it is new."""
NO_DATA: Final = ("stuck", "ended")


def node_verdict(
    inventory: Inventory,
    gpus: Sequence[GpuFrame],
    tick: Tick,
    judgements: Sequence[Judgement] = (),
    findings: Sequence[Finding] = (),
    jobs: Sequence[Job] = (),
    watched_s: float = 0.0,
) -> Verdict:
    """Judge the node as it is now; `watched_s` is how long the traffic has been read."""
    if inventory.problem:
        return _plain("no-gpu", inventory.problem.summary, "No GPU can be read")
    if not gpus and tick.worker == "ended":
        return _plain(
            "unknown",
            "Cannot tell: nvltop's reading process has ended",
            "Unknown: nvltop's own reader is not running",
        )
    if not gpus:
        return _plain("starting", "Reading the GPUs for the first time")
    if all(g.stale for g in gpus):
        # Old numbers make no verdict.
        unread_s = min(min(g.age_s.values(), default=0.0) for g in gpus)
        old = f"Cannot tell: nothing has been read for {age(unread_s)}"
        found = Verdict("unknown", old, "Unknown: the data is old", watched_s)
    else:
        found = _of_jobs([g for g in gpus if not g.stale], tick, judgements, jobs, watched_s)
    fault = next((f for f in findings if _breaks(f)), None)
    if fault is None:
        return found
    summary = f"{fault.summary}. {found.summary}"
    return Verdict("degraded", summary, fault.headline, watched_s, found.judgement, found.others)


def _plain(which: str, summary: str, headline: str = "") -> Verdict:
    return Verdict(which, summary, headline or verdict_text.fitting([summary]))


def _breaks(finding: Finding) -> bool:
    """Whether a finding says that NVLink, or a GPU, does not work."""
    if finding.rule == READY:
        return True
    # A driver that does not answer says nothing of the links: then the numbers are old, and unknown.
    return finding.severity is Severity.CRITICAL and finding.nic is None and finding.rule != "driver-stuck"


def _of_jobs(
    gpus: Sequence[GpuFrame],
    tick: Tick,
    judgements: Sequence[Judgement],
    jobs: Sequence[Job],
    watched_s: float,
) -> Verdict:
    linked = [g for g in gpus if known(g.nvlink.links_up) and g.nvlink.links_up > 0]
    if not linked:
        return _without_links(gpus)
    order = list(VERDICT_BY_STATE)
    told = sorted(judgements, key=lambda j: (order.index(j.state), -verdict_text.limit_share(j)))
    if not told:
        return _plain("starting", "Measuring: a rate needs two readings")
    top = told[0]
    index_of = {g.gpu.uuid: g.gpu.index for g in gpus}
    if top.state == "unknown" and top.why in NO_RATES_YET:
        return _plain("starting", f"Measuring: {top.why}")
    if top.state == "unknown" and tick.worker in NO_DATA:
        why = "the driver does not answer" if tick.worker == "stuck" else "the reading process has ended"
        return Verdict(
            "unknown", f"Cannot tell: {why}; {top.why}", "Unknown: the data is old", watched_s, top
        )
    if top.state in ("no-traffic", "idle"):
        return _without_traffic(gpus, top, index_of, watched_s)
    others = sum(j.state in ACTIVE_STATES for j in told[1:])
    suffix = f" (+{others} job{'s' if others > 1 else ''})" if others else ""
    words = verdict_text.summary(top, index_of, {job.key: job for job in jobs})
    where = f"GPU {ranges(index_of[uuid] for uuid in top.gpus if uuid in index_of)}" if len(told) > 1 else ""
    said = verdict_text.headline(top, index_of, suffix, where)
    return Verdict(VERDICT_BY_STATE[top.state], words, said, watched_s, top, others)


def _without_traffic(
    gpus: Sequence[GpuFrame], top: Judgement, index_of: Mapping[str, int], watched_s: float
) -> Verdict:
    """Say what GPUs do that move next to nothing over NVLink."""
    words = verdict_text.summary(top, index_of, {})
    busy = [g for g in gpus if known(g.gauges.util_percent) and g.gauges.util_percent >= GPU_BUSY_PERCENT]
    if busy and top.over_pcie > 1:
        text = "GPUs are busy; their traffic goes over PCIe, not NVLink"
        return Verdict("pcie", text, "GPUs use PCIe, not NVLink", watched_s, top)
    if busy:
        who = "GPUs are" if len(busy) > 1 else "One GPU is"
        return Verdict("busy-no-traffic", words, f"{who} busy, NVLink carries nothing", watched_s, top)
    return Verdict("idle", words, verdict_text.headline(top, index_of), watched_s, top)


def _without_links(gpus: Sequence[GpuFrame]) -> Verdict:
    if any(g.gpu.mig is True for g in gpus):
        return _plain("mig", "MIG is on: no NVLink between GPUs, by design")
    if all(known(g.gpu.name) and "GB10" in g.gpu.name for g in gpus):
        return _plain(
            "no-nvlink", "GB10: one chip, one pool of memory, nothing to link", "GB10: one chip, no NVLink"
        )
    counts = [g.nvlink.links_present for g in gpus]
    if all(known(c) and c == 0 for c in counts):
        if len(gpus) == 1:
            return _plain("no-nvlink", "No NVLink: this GPU talks over PCIe")
        return _plain("no-nvlink", "No NVLink: these GPUs talk over PCIe")
    unread = [c for c in counts if isinstance(c, Missing)]
    if unread:
        return _plain(
            "unknown",
            f"Cannot tell: links unknown ({unread[0].reason})",
            "Unknown: the links could not be read",
        )
    ups = [g.nvlink.links_up for g in gpus]
    missing = [u for u in ups if isinstance(u, Missing)]
    if missing:
        return _plain(
            "unknown",
            f"Cannot tell: link states unknown ({missing[0].reason})",
            "Unknown: link states could not be read",
        )
    return _plain("no-link-up", "No NVLink is up: not connected, or down")
