"""The verdict of a node: whether NVLink works, and whether it is the bottleneck.

Faults of the node come first. Otherwise the verdict is the judgement of the most limited job (`activity/`).
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
    Missing,
    Severity,
    Tick,
    Verdict,
    known,
)
from nvltop.text import counted, ranges

STARTING_REASONS: Final = frozenset({NO_SECOND_READING.reason, LEARNING_REFRESH.reason})
"""Reasons for which a rate is missing at the start."""
GPU_BUSY_PERCENT: Final = 50.0
"""Utilisation above which a GPU is busy, in percent."""
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
"""All ids of verdicts."""


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
"""Verdict id of each state of a job, the most limited state first."""
ACTIVE_STATES: Final = frozenset(VERDICT_BY_STATE) - {"idle", "unknown", "no-traffic"}
"""States of jobs that use NVLink now or used it recently."""
FABRIC_RULE: Final = "fabric-not-ready"
"""Rule whose finding means that NVLink is unusable, even while its severity is still low."""
NO_DATA_STATES: Final = ("stuck", "ended")
"""States of the worker in which it reads nothing."""


def node_verdict(
    inventory: Inventory,
    gpus: Sequence[GpuFrame],
    tick: Tick,
    judgements: Sequence[Judgement] = (),
    findings: Sequence[Finding] = (),
    jobs: Sequence[Job] = (),
    watched_s: float = 0.0,
) -> Verdict:
    """Return the verdict of a node; `watched_s` is the time for which the traffic has been read."""
    if inventory.problem:
        return _without_judgement("no-gpu", inventory.problem.summary, "No GPU can be read")
    if not gpus and tick.worker == "ended":
        return _without_judgement(
            "unknown",
            "Unknown: nvltop's reading process has ended",
            "Unknown: nvltop's own reader is not running",
        )
    if not gpus:
        return _without_judgement("starting", "Reading the GPUs for the first time")
    if all(g.stale for g in gpus):
        # Old numbers do not give a verdict.
        unread_s = min(min(g.age_s.values(), default=0.0) for g in gpus)
        old = f"Unknown: nothing has been read for {age(unread_s)}"
        found = Verdict("unknown", old, "Unknown: the data is old", watched_s)
    else:
        found = _from_judgements([g for g in gpus if not g.stale], tick, judgements, jobs, watched_s)
    fault = next((f for f in findings if _breaks(f)), None)
    if fault is None:
        return found
    summary = f"{fault.summary}. {found.summary}"
    return Verdict("degraded", summary, fault.headline, watched_s, found.judgement, found.others)


def _without_judgement(verdict_id: str, summary: str, headline: str = "") -> Verdict:
    """Return a verdict that is not based on the traffic of a job."""
    return Verdict(verdict_id, summary, headline or verdict_text.fit_headline([summary]))


def _breaks(finding: Finding) -> bool:
    """Return whether a finding means that NVLink or a GPU does not work."""
    if finding.rule == FABRIC_RULE:
        return True
    # A driver that does not answer is not evidence about the links: the numbers are then old and unknown.
    return finding.severity is Severity.CRITICAL and finding.nic is None and finding.rule != "driver-stuck"


def _from_judgements(
    gpus: Sequence[GpuFrame],
    tick: Tick,
    judgements: Sequence[Judgement],
    jobs: Sequence[Job],
    watched_s: float,
) -> Verdict:
    """Return the verdict of the most limited job, or why there is none."""
    linked = [g for g in gpus if known(g.nvlink.links_up) and g.nvlink.links_up > 0]
    if not linked:
        return _without_links(gpus)
    order = list(VERDICT_BY_STATE)
    ranked = sorted(judgements, key=lambda j: (order.index(j.state), -verdict_text.limit_share(j)))
    if not ranked:
        return _without_judgement("starting", "Measuring: a rate needs two readings")
    top = ranked[0]
    index_of = {g.gpu.uuid: g.gpu.index for g in gpus}
    if top.state == "unknown" and top.why in STARTING_REASONS:
        return _without_judgement("starting", f"Measuring: {top.why}")
    if top.state == "unknown" and tick.worker in NO_DATA_STATES:
        why = "the driver does not answer" if tick.worker == "stuck" else "the reading process has ended"
        return Verdict("unknown", f"Unknown: {why}; {top.why}", "Unknown: the data is old", watched_s, top)
    if top.state in ("no-traffic", "idle"):
        return _without_traffic(gpus, top, index_of, watched_s)
    others = sum(j.state in ACTIVE_STATES for j in ranked[1:])
    suffix = f" (+{counted(others, 'job')})" if others else ""
    summary = verdict_text.summary(top, index_of, {job.key: job for job in jobs})
    where = (
        f"GPU {ranges(index_of[uuid] for uuid in top.gpus if uuid in index_of)}" if len(ranked) > 1 else ""
    )
    headline = verdict_text.headline(top, index_of, suffix, where)
    return Verdict(VERDICT_BY_STATE[top.state], summary, headline, watched_s, top, others)


def _without_traffic(
    gpus: Sequence[GpuFrame], top: Judgement, index_of: Mapping[str, int], watched_s: float
) -> Verdict:
    """Return the verdict of GPUs that move almost no data over NVLink."""
    summary = verdict_text.summary(top, index_of, {})
    busy = [g for g in gpus if known(g.gauges.util_percent) and g.gauges.util_percent >= GPU_BUSY_PERCENT]
    if busy and top.over_pcie > 1:
        text = "GPUs are busy; their traffic goes over PCIe, not NVLink"
        return Verdict("pcie", text, "GPUs use PCIe, not NVLink", watched_s, top)
    if busy:
        who = "GPUs are" if len(busy) > 1 else "One GPU is"
        return Verdict("busy-no-traffic", summary, f"{who} busy, NVLink carries nothing", watched_s, top)
    return Verdict("idle", summary, verdict_text.headline(top, index_of), watched_s, top)


def _without_links(gpus: Sequence[GpuFrame]) -> Verdict:
    """Return the verdict of GPUs without an active NVLink."""
    if any(g.gpu.mig is True for g in gpus):
        return _without_judgement("mig", "MIG is on: no NVLink between GPUs, by design")
    if all(known(g.gpu.name) and "GB10" in g.gpu.name for g in gpus):
        return _without_judgement(
            "no-nvlink", "GB10: one chip, one pool of memory, nothing to link", "GB10: one chip, no NVLink"
        )
    counts = [g.nvlink.links_present for g in gpus]
    if all(known(c) and c == 0 for c in counts):
        if len(gpus) == 1:
            return _without_judgement("no-nvlink", "No NVLink: this GPU talks over PCIe")
        return _without_judgement("no-nvlink", "No NVLink: these GPUs talk over PCIe")
    unread = [c for c in counts if isinstance(c, Missing)]
    if unread:
        return _without_judgement(
            "unknown",
            f"Unknown: the links could not be read ({unread[0].reason})",
            "Unknown: the links could not be read",
        )
    ups = [g.nvlink.links_up for g in gpus]
    missing = [u for u in ups if isinstance(u, Missing)]
    if missing:
        return _without_judgement(
            "unknown",
            f"Unknown: link states could not be read ({missing[0].reason})",
            "Unknown: link states could not be read",
        )
    return _without_judgement("no-link-up", "No NVLink is up (normal without a bridge)")
