"""Rules about jobs: heartbeat-stopped, straggler, stuck-collective; those of link_load.py are added."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final

from nvltop.analysis.activity.gpu_groups import GpuGroup, group_by_job
from nvltop.analysis.health import link_load
from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.link_capacity import NO_TRAFFIC_SHARE, pcie_share
from nvltop.formatting import age, in_seconds
from nvltop.median import median
from nvltop.model import Activity, GpuFrame, Severity, StepPeriod, known

HANG_S: Final = 60.0
"""Time after which a suspected hang is reported, seconds."""
HANG_UTIL_PERCENT: Final = 95.0
"""Utilization above which a GPU may be spinning."""
HANG_POWER_SHARE: Final = 0.35
"""Share of the power limit below which a busy GPU may be spinning."""
SILENT_JOB_S: Final = 10.0
"""Silence of a job, seconds, after which its remaining traffic is polling and not work."""
MIN_SPINNING: Final = 2
"""Number of GPUs of a job that must spin: one alone may be busy with something else."""
MAX_DIFFERENT_SHARE: Final = 0.25
"""Share of the GPUs of a hung job that may behave differently from those that spin."""
DIFFERENT_POWER_SHARE: Final = 0.15
"""Share of the median power by which the power of a GPU must differ to single it out."""
IDLE_PERCENT: Final = 5.0
"""Utilization, and used share of the memory, up to which a GPU is idle, percent."""
STRAGGLER_WAIT_S: Final = 45.0
"""Time after which a straggler is reported, seconds, in addition to the averaging time of its signs."""

NO_STEP_YET: Final = "no hang, even load; a straggler shows only once a step is recognized"
PY_SPY_STEP: Final = "Run `py-spy dump` on each rank, and read the log of NCCL's watchdog"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check whether jobs hang, stop, wait for one GPU, or load their links unevenly."""
    gpus = rule_input.linked_gpus
    if not gpus:
        return (), None
    by_uuid = {g.gpu.uuid: g for g in gpus}
    claims = [*_stuck(rule_input, gpus), *link_load.evaluate(rule_input.imbalances, by_uuid)]
    for activity in rule_input.activity:
        claims += [*_stopped(rule_input, by_uuid, activity), *_straggler(rule_input, by_uuid, activity)]
    if not rule_input.activity and not claims:
        moves = any(known(s := g.nvlink.recent_share) and s >= NO_TRAFFIC_SHARE for g in gpus)
        return claims, NO_STEP_YET if moves else "no job moves data over NVLink"
    return claims, "no hang, no straggler, even load on all links"


def _stuck(rule_input: RuleInput, gpus: Sequence[GpuFrame]) -> Iterator[Claim]:
    """Claim that the GPUs of a job spin; GPUs without a known job are treated as one job."""
    # A hung job may poll, which causes little traffic compared with its work.
    silent = {uuid for j in rule_input.judgements if j.silent_s >= SILENT_JOB_S for uuid in j.gpus}
    spins = {g.gpu.uuid for g in gpus if _spins(g, silent)}
    if len(spins) < MIN_SPINNING:
        return
    groups = group_by_job(rule_input.jobs, gpus)
    taken = {uuid for group in groups for uuid in group.gpus}
    # GPUs without a known job may belong together if their memory is in use.
    free = [g for g in gpus if g.gpu.uuid not in taken and (g.gpu.uuid in spins or _holds_memory(g))]
    mostly = sum(g.gpu.uuid not in spins for g in free) <= max(1, MAX_DIFFERENT_SHARE * len(free))
    groups.append(GpuGroup("", None, tuple(g.gpu.uuid for g in free if mostly or g.gpu.uuid in spins)))
    by_uuid = {g.gpu.uuid: g for g in gpus}
    for group in groups:
        members = [by_uuid[uuid] for uuid in group.gpus if uuid in by_uuid]
        spinning = [g for g in members if g.gpu.uuid in spins]
        others = [g for g in members if g.gpu.uuid not in spins]
        if len(spinning) < MIN_SPINNING or len(others) > max(1, MAX_DIFFERENT_SHARE * len(members)):
            continue
        odd, how = _different_gpu(spinning, others)
        hint = f"; {gpu_name(odd)} is different: {how}" if odd else ""
        yield Claim(
            rule="stuck-collective",
            gpu=odd.gpu.uuid if odd else _first(members, gpus),
            identity=f"job of {members[0].gpu.uuid}",
            headline=f"HANG? {gpu_name(odd)} {_state(odd)}, {len(spinning)} GPUs spin"
            if odd
            else f"HANG? {short_gpu_names(spinning)} spin without traffic",
            summary=f"Probably hung: {gpu_names(spinning)} spin at full utilization without traffic and at"
            f" low power{hint}",
            escalations=(Escalation(Severity.WARNING, after_s=HANG_S, readings=10),),
            read_s=rule_input.read_s(spinning[0], "gauges"),
            evidence=rule_input.evidence(
                spinning[0],
                "gauges",
                gpus=[g.gpu.index for g in spinning],
                power_w=[g.gauges.power_w for g in spinning if known(g.gauges.power_w)],
                different=odd.gpu.index if odd else None,
            ),
            next_step=PY_SPY_STEP if odd is None else f"{PY_SPY_STEP}, first on the one on {gpu_name(odd)}",
            source="NVIDIA/nccl issue 968",
            confidence="likely",
        )


def _first(members: Sequence[GpuFrame], gpus: Sequence[GpuFrame]) -> str | None:
    """Return the GPU to attach a claim about a job to; None if the job uses all GPUs."""
    return None if len(members) == len(gpus) else members[0].gpu.uuid


def _spins(g: GpuFrame, silent: Container[str]) -> bool:
    """Return whether a GPU is fully utilized, draws little power and moves no data."""
    util, power, limit = g.gauges.util_percent, g.gauges.power_w, g.gpu.power_limit_w
    # First what is rarely true.
    return (
        known(util)
        and util >= HANG_UTIL_PERCENT
        and known(power)
        and known(limit)
        and power < HANG_POWER_SHARE * limit
        and known(share := g.nvlink.recent_share)
        and (share < NO_TRAFFIC_SHARE or g.gpu.uuid in silent)
        and known(g.pcie.tx_bytes_per_s)
        and pcie_share(g) < NO_TRAFFIC_SHARE
    )


def _different_gpu(spinning: Sequence[GpuFrame], others: Sequence[GpuFrame]) -> tuple[GpuFrame | None, str]:
    """Return the one GPU that behaves differently from the rest, and how; None if there is none."""
    if len(others) == 1:
        g = others[0]
        util, power = g.gauges.util_percent, g.gauges.power_w
        if known(util) and known(power):
            return g, f"{util:.0f} % busy at {power:.0f} W"
        return g, "it cannot be read"
    powers = {g.gpu.uuid: p for g in spinning if known(p := g.gauges.power_w)}
    if others or len(powers) < 3:
        return None, ""
    usual = median(powers.values())
    apart = [
        g for g in spinning if abs(powers.get(g.gpu.uuid, usual) - usual) > DIFFERENT_POWER_SHARE * usual
    ]
    if len(apart) != 1:
        return None, ""
    return apart[0], f"it draws {powers[apart[0].gpu.uuid]:.0f} W, the others {usual:.0f} W"


def _state(g: GpuFrame) -> str:
    util = g.gauges.util_percent
    return "idle" if known(util) and util <= IDLE_PERCENT else "differs"


def _stopped(rule_input: RuleInput, by_uuid: dict[str, GpuFrame], activity: Activity) -> Iterator[Claim]:
    step = activity.step
    members = [by_uuid[uuid] for uuid in activity.gpus if uuid in by_uuid]
    if not known(step) or step.silent_s < step.stopped_after_s or not members or _left(activity, members):
        return
    silent = age(step.silent_s)  # as in the verdict, which is on the same screen
    yield Claim(
        rule="heartbeat-stopped",
        gpu=_first(members, list(by_uuid.values())),
        headline=f"No NVLink traffic for {silent} (step {in_seconds(step.period_s)})",
        summary=f"The job on {gpu_names(members)} has had no NVLink traffic for {silent}"
        f" (normal: every {in_seconds(step.period_s)}), {_utilization_note(members)}",
        escalations=(Escalation(Severity.NOTICE),),
        evidence=_step_evidence(step),
        next_step="See whether it saves a checkpoint or evaluates; if not, "
        + PY_SPY_STEP[0].lower()
        + PY_SPY_STEP[1:],
        confidence="possible" if step.confidence == "possible" else "likely",
    )


def _step_evidence(step: StepPeriod) -> dict[str, object]:
    return {
        "step_s": round(step.period_s, 3),
        "silent_s": round(step.silent_s, 1),
        "reported_after_s": round(step.stopped_after_s, 1),
    }


def _left(activity: Activity, members: Sequence[GpuFrame]) -> bool:
    """Return whether a job without known processes has ended: its GPUs are idle and their memory is free."""
    if activity.job:
        return False
    return all(
        known(u := g.gauges.util_percent) and u <= IDLE_PERCENT and not _holds_memory(g) for g in members
    )


def _holds_memory(g: GpuFrame) -> bool:
    """Return whether memory of a GPU is in use, or cannot be read."""
    used, total = g.gauges.memory_used_bytes, g.gauges.memory_total_bytes
    return not (known(used) and known(total)) or used > IDLE_PERCENT / 100 * total


def _utilization_note(members: Sequence[GpuFrame]) -> str:
    """Return what the GPUs do while there is no traffic, as the end of a sentence."""
    utils = [u for g in members if known(u := g.gauges.util_percent)]
    if len(utils) < len(members):
        return "and the utilization of its GPUs cannot be read"
    if min(utils) >= HANG_UTIL_PERCENT:
        return "and its GPUs are busy, computing or waiting"
    return "and its GPUs are idle" if max(utils) <= IDLE_PERCENT else "with some of its GPUs busy, others not"


def _straggler(rule_input: RuleInput, by_uuid: dict[str, GpuFrame], activity: Activity) -> Iterator[Claim]:
    """Claim that the other GPUs of a job wait for one of them."""
    straggler = activity.straggler
    g = by_uuid.get(straggler.gpu) if straggler else None
    if straggler is None or g is None:
        return
    yield Claim(
        rule="straggler",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)} is the straggler of its job",
        summary=f"The other GPUs of the job seem to wait for {gpu_name(g)}: it "
        + " and ".join(straggler.signs),
        escalations=(Escalation(Severity.NOTICE, after_s=STRAGGLER_WAIT_S, readings=10),),
        read_s=rule_input.read_s(g, "gauges"),
        evidence=rule_input.evidence(g, "gauges", signs=list(straggler.signs)),
        next_step="Compare its clock, temperature and power limit with the others', then its data loader",
        confidence="likely" if len(straggler.signs) > 1 else "possible",
    )


RULE_GROUP: Final = RuleGroup(
    "jobs",
    ("heartbeat-stopped", "straggler", "stuck-collective", *link_load.RULES),
    evaluate,
    HANG_S + STRAGGLER_WAIT_S,
)
