"""Rules about repairs of a GPU: recovery-action (requested by the driver), remap (of its memory)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.claim import DCGM, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult, why_unread
from nvltop.model import GpuFrame, Missing, Severity, first_missing, known

RECOVERY_ACTIONS: Final = {
    1: ("a reset of the GPU", "a GPU reset", "End all processes on it and reset it (`nvidia-smi -r -i {}`)"),
    2: ("a reboot of the machine", "a node reboot", "Drain the machine and reboot the operating system"),
    3: (
        "an end of peer-to-peer traffic",
        "a P2P drain",
        "End the processes that use this GPU together with others; it can be reset after that",
    ),
    4: (
        "a drain and a reset",
        "a drain and reset",
        "Start nothing new on it; when its work has ended, reset it",
    ),
    5: (
        "a recovery of its IMEX domain",
        "an IMEX recovery",
        "Restart the IMEX service of the domain (`nvidia-imex`)",
    ),
    6: ("a reset of its bus", "a bus reset", "Drain the machine and reset the bus of the GPU, or reboot"),
    7: ("a reboot of the system", "a system reboot", "Drain and reboot the whole system"),
}
"""Values of field 230, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION.

Each has a description for the summary, one for the headline, and a next step."""
ACTION_DRAIN_P2P: Final = 3
MAX_REMAPPED_ROWS: Final = 512
"""Number of remapped rows from which the GPU is critical (DCGM and Azure's node checks)."""


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check which recovery the driver requests, and repairs of GPU memory."""
    gpus = rule_input.readable_gpus
    claims = [claim for g in gpus for claim in (*_action(rule_input, g), *_remap(rule_input, g))]
    actions = [g.fabric.recovery_action for g in gpus]
    if any(known(a) for a in actions):
        return claims, "no GPU needs a reset or repair"
    if any(known(g.fabric.remap_pending) for g in gpus):
        unread = first_missing(actions)
        return claims, f"no memory repair pending (recovery action: {unread.reason if unread else 'unknown'})"
    return claims, why_unread(actions)


def _action(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    """Claim that the driver requests a recovery action for a GPU."""
    action = g.fabric.recovery_action
    if not known(action) or action == 0:
        return
    what, short, step = RECOVERY_ACTIONS.get(
        action, (f"an unknown action (number {action})", f"action {action}", "")
    )
    yield Claim(
        rule="recovery-action",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)}: driver requests {short}",
        summary=f"The driver requests {what} for {gpu_name(g)}",
        escalations=(Escalation(Severity.WARNING if action == ACTION_DRAIN_P2P else Severity.CRITICAL),),
        read_s=rule_input.read_s(g, "fabric"),
        evidence=rule_input.evidence(g, "fabric", recovery_action=action),
        next_step=step.format(g.gpu.index) or "See the recovery action in `nvidia-smi -q`",
        source="NVML field 230",
    )


def _remap(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    """Claim that row remapping of GPU memory has failed, is exhausted, or needs a reset."""
    pending, failed, rows = g.fabric.remap_pending, g.fabric.remap_failed, g.fabric.remapped_rows
    many = known(rows) and rows >= MAX_REMAPPED_ROWS
    if failed is True or many:
        why = "could not be repaired" if failed is True else f"has had {rows} rows replaced"
        short = "row remap failed" if failed is True else f"rows remapped: {rows}"
        yield Claim(
            rule="remap",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: memory {short}",
            summary=f"The memory of {gpu_name(g)} {why}",
            escalations=(Escalation(Severity.CRITICAL),),
            read_s=rule_input.read_s(g, "fabric"),
            evidence=rule_input.evidence(
                g, "fabric", remap_failed=failed is True, remapped_rows=_plain(rows)
            ),
            next_step="Drain the GPU, run nvidia-bug-report.sh and ask for NVIDIA's field diagnostic",
            source=DCGM,
        )
    elif pending is True:
        yield Claim(
            rule="remap",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: reset needed for memory repair",
            summary=f"{gpu_name(g)} needs a reset to finish repairing its memory",
            escalations=(Escalation(Severity.WARNING),),
            read_s=rule_input.read_s(g, "fabric"),
            evidence=rule_input.evidence(g, "fabric", remap_pending=True, remapped_rows=_plain(rows)),
            next_step=f"Reset it after its work has drained (`nvidia-smi -r -i {g.gpu.index}`)",
            source=DCGM,
        )


def _plain(value: object) -> object:
    return None if isinstance(value, Missing) else value


def _depends_on(rule_input: RuleInput) -> tuple[object, ...]:
    """Return what the result depends on."""
    return (rule_input.inventory, *[(g.state, g.fabric) for g in rule_input.gpus])


RULE_GROUP: Final = RuleGroup("repairs", ("recovery-action", "remap"), evaluate, depends_on=_depends_on)
