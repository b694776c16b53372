"""Rule about the load of links: saturated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis import verdict_text
from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.analysis.health.rule import CheckSummary, RuleGroup, RuleInput, RuleResult
from nvltop.model import Judgement, Missing, Severity, known
from nvltop.text import ranges

SATURATED_S: Final = 30.0
"""Time after which a limited job is reported, seconds."""


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check whether NVLink limits jobs, by the same analysis as the verdict."""
    if not rule_input.linked_gpus:
        return (), None
    return _saturated(rule_input), _summary(rule_input)


def _summary(rule_input: RuleInput) -> CheckSummary:
    """Return the headlines of the judgements of all jobs, or why a job could not be judged."""
    lost = {g.gpu.uuid for g in rule_input.gpus if g.state != "ok"}
    # A check is about the GPUs that can be read.
    found = [j for j in rule_input.judgements if not lost.issuperset(j.gpus)]
    unknown = next((j for j in found if j.state == "unknown"), None)
    if unknown:
        members = [g for g in rule_input.gpus if g.gpu.uuid in unknown.gpus]
        # What is true of some GPUs only, such as "no link is up", names them.
        owner = f"{gpu_names(members)}: " if len(members) < len(rule_input.gpus) else ""
        return Missing(f"{owner}{unknown.why}")
    if not found:
        return Missing("not judged yet")
    limited = [j for j in found if j.state in verdict_text.LIMIT_STATES]
    if limited:
        return _headlines(rule_input, limited)
    unclear = [j for j in found if j.state == "unclear"]
    if unclear:
        return Missing(_headlines(rule_input, unclear))
    return "no link at its limit for long"


def _headlines(rule_input: RuleInput, found: list[Judgement]) -> str:
    """Return the headline of each job, with its GPUs if there are several; equal ones together."""
    index_of = {g.gpu.uuid: g.gpu.index for g in rule_input.gpus}
    gpus_of: dict[str, list[int]] = {}
    for j in found:
        gpus = gpus_of.setdefault(verdict_text.headline(j, index_of), [])
        gpus += [index_of[uuid] for uuid in j.gpus if uuid in index_of]
    if len(rule_input.judgements) == 1:
        return "; ".join(gpus_of)
    return "; ".join(
        text if text.startswith("GPU") else f"GPU {ranges(sorted(gpus))}: {text}"
        for text, gpus in gpus_of.items()
    )


def _saturated(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim, as information, that NVLink limits a job."""
    index_of = {g.gpu.uuid: g.gpu.index for g in rule_input.gpus}
    by_uuid = {g.gpu.uuid: g for g in rule_input.gpus}
    jobs = {job.key: job for job in rule_input.jobs}
    for j in rule_input.judgements:
        if j.state != "limits":
            continue
        g = by_uuid[j.gpu or j.gpus[0]]
        several = len(j.gpus) == len(rule_input.gpus)
        yield Claim(
            rule="saturated",
            gpu=j.gpu or (None if several else j.gpus[0]),
            headline=verdict_text.headline(j, index_of),
            summary=verdict_text.summary(j, index_of, jobs),
            escalations=(Escalation(Severity.INFO, after_s=SATURATED_S, readings=3),),
            read_s=rule_input.read_s(g, "links"),
            evidence=rule_input.evidence(
                g,
                "links",
                gpus=[index_of[uuid] for uuid in j.gpus if uuid in index_of],
                share_at_limit=round(j.at_limit, 3) if known(j.at_limit) else None,
                share_of_nccl_max=round(j.level, 3) if known(j.level) else None,
                window_s=round(j.window_s, 1),
            ),
            next_step="Overlap communication with computation, or send less",
            source="NVIDIA/nccl src/graph/topo.h",
        )


RULE_GROUP: Final = RuleGroup("load", ("saturated",), evaluate, SATURATED_S)
