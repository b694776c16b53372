"""Rules about the NVLink fabric: fabric-not-ready, fabric-failed, fabric-health, outside-domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.board import Interconnect, ends_in_switches, is_rack
from nvltop.analysis.health.claim import DCGM, HELD_PLACEHOLDER, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.formatting import age
from nvltop.model import GpuFrame, Missing, Severity, first_missing, known

ARCHITECTURES_WITHOUT_FABRIC: Final = ("pascal", "volta", "turing", "ampere", "ada")
FABRIC_SETUP_S: Final = 120.0
"""A fabric takes up to so long to set up after a boot."""

MASK_TRUE: Final = 1
"""A two-bit field of the health mask: 0 not supported, 1 true, 2 false."""
HEALTH_MASK_WARNINGS: Final[dict[str, tuple[int, Severity, str]]] = {
    "degraded bandwidth": (0, Severity.CRITICAL, ""),
    "route recovering": (2, Severity.WARNING, "Watch whether it ends"),
    "unhealthy route": (4, Severity.CRITICAL, "Drain and reset the GPU"),
    "access timeout recovery": (6, Severity.WARNING, "Watch whether it ends"),
}
"""Shift, severity and next step of each warning in the mask.

Decoded here, as some versions of nvidia-ml-py have the wrong field width (0x11 for 0x3)."""
MASK_MANAGER_SHIFT: Final = 14
MASK_MANAGER_GONE: Final = 2
MASK_CONFIGURATION_SHIFT: Final = 8
CONFIGURATION_ERRORS: Final = {
    2: "wrong system GUID",
    3: "wrong chassis serial number",
    4: "in no partition",
    5: "too few NVLinks up",
    6: "incompatible GPU firmware",
    7: "invalid chassis location",
    8: "invalid GPU state",
}
"""nvmlGpuFabricInfo health mask, INCORRECT_CONFIGURATION; 1 is none."""

MASK_PARTITION_SHIFT: Final = 12
MASK_PARTITION_NOT_ASSIGNED: Final = 2
CONFIGURATION_NO_PARTITION: Final = 4
"""Code of `CONFIGURATION_ERRORS` for a GPU that is in no partition."""
NOT_SUPPORTED_REASON: Final = "not supported"
CUDA_802: Final = "CUDA programs fail with error 802 (system not ready)"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Judge the fabric of the GPUs that have one."""
    answering = [g for g in rule_input.gpus if g.state == "ok"]
    members = [g for g in answering if known(g.fabric.state)]
    claims = [*_outside(rule_input, answering, members), *_joining(rule_input, members)]
    for g in members:
        claims += [*_failed(rule_input, g), *_health(rule_input, g)]
    if members:
        return claims, f"NVLink fabric ready on {gpu_names(members)}"
    # Old drivers do not answer for a GPU older than the fabric, either.
    may = [g for g in rule_input.gpus if g.gpu.architecture not in ARCHITECTURES_WITHOUT_FABRIC]
    unread = first_missing(g.fabric.state for g in may)
    return claims, None if unread and unread.reason == NOT_SUPPORTED_REASON else unread


def _outside(rule_input: RuleInput, answering: list[GpuFrame], members: list[GpuFrame]) -> Iterator[Claim]:
    """GPUs of a rack whose links end in NVSwitches, and which are in no NVLink domain."""
    out = [
        g
        for g in answering
        if isinstance(g.fabric.state, Missing)
        and g.fabric.state.reason == NOT_SUPPORTED_REASON
        and ends_in_switches(g.gpu)
        and (is_rack(g.gpu) or any(m.gpu.name == g.gpu.name for m in members))
    ]
    if out:
        yield Claim(
            rule="outside-domain",
            gpu=out[0].gpu.uuid if len(out) == 1 else None,
            headline=f"{short_gpu_names(out)} outside the NVLink domain",
            summary=f"The fabric state of {gpu_names(out)} is 'not supported': outside the NVLink domain of"
            " the rack, so jobs over several trays cannot use NVLink",
            # Jobs within the tray work, and a board without a rack (NVL4) is built this way.
            escalations=(Escalation(Severity.NOTICE),),
            read_s=rule_input.read_s(out[0], "fabric"),
            evidence=rule_input.evidence(
                out[0], "fabric", state=NOT_SUPPORTED_REASON, gpus=[g.gpu.index for g in out]
            ),
            next_step="Check that the tray is in the NVLink domain (NMX on the switch trays) and that"
            " the driver was loaded with NVLink enabled, then the section Fabric of `nvidia-smi -q`",
            source="NVML fabric state 0",
            confidence="likely",
        )


def not_ready(g: GpuFrame) -> bool:
    """Whether the GPU has a fabric that is not set up: nothing can be said of its NVLink until it is."""
    return known(g.fabric.state) and g.fabric.state != "completed"


def _joining(rule_input: RuleInput, members: list[GpuFrame]) -> Iterator[Claim]:
    """GPUs that wait together are one finding: with a manager that is down it is all of them."""
    late = [g for g in members if not_ready(g)]
    if not late:
        rule_input.history.fabric_not_ready_since_s = None
        return
    g, now_s = late[0], rule_input.tick.mono_s
    first_s = rule_input.history.fabric_not_ready_since_s = (
        rule_input.history.fabric_not_ready_since_s or now_s
    )
    since = rule_input.up_since
    up_s = rule_input.tick.wall_s - since[0] if since else 0.0
    # A fabric that was ready does not leave that state, so it has not been ready since the driver runs.
    if since and up_s >= FABRIC_SETUP_S:
        how_long = f"for at least {age(up_s)} (since {since[1]})"
        escalations: tuple[Escalation, ...] = (Escalation(Severity.CRITICAL),)
    else:
        # The driver had run for a while when the fabric was first examined.
        grace_s = max(0.0, FABRIC_SETUP_S - max(0.0, up_s - (now_s - first_s)))
        how_long = f"for {HELD_PLACEHOLDER}"
        escalations = (
            Escalation(Severity.NOTICE),
            Escalation(Severity.CRITICAL, after_s=grace_s, readings=3),
        )
    cause, step = _why_not_ready(rule_input, late, members)
    several = len(late) > 1
    yield Claim(
        rule="fabric-not-ready",
        gpu=None if several else g.gpu.uuid,
        headline="NVLink fabric not ready: CUDA error 802"
        if len(late) == len(rule_input.gpus)
        else f"{short_gpu_names(late)}: fabric not ready, CUDA error 802",
        summary=f"The NVLink fabric of {gpu_names(late)} has not been ready {how_long}, so {CUDA_802};"
        f" {cause}",
        escalations=escalations,
        read_s=rule_input.read_s(g, "fabric"),
        evidence=rule_input.evidence(
            g,
            "fabric",
            state=g.fabric.state,
            gpus=[m.gpu.index for m in late],
            driver_up_s=round(up_s) if since else None,
        ),
        next_step=step,
        source=DCGM,
        lost_share=1.0,
    )


def _why_not_ready(rule_input: RuleInput, late: list[GpuFrame], members: list[GpuFrame]) -> tuple[str, str]:
    """Return the likely cause and the next step, by what the board and the other GPUs show."""
    board = rule_input.board
    without = [g for g in late if _without_partition(g.fabric.health_mask)]
    if board.virtual:
        return "the fabric manager is outside this virtual machine", board.fabric_next_step
    if without:
        return (
            f"{gpu_names(without)} {'is' if len(without) == 1 else 'are'} in no partition",
            "Activate the GPU's partition (fabric manager, or NMX on a rack). " + board.fabric_next_step,
        )
    if len(late) < len(members):
        return (
            "the other GPUs are ready, so its partition is probably not activated",
            "Activate the GPU's partition (fabric manager, or NMX on a rack). " + board.fabric_next_step,
        )
    waiting = [
        f.nic.device for f in rule_input.nics if f.port.state == "init" and f.port.link_layer == "InfiniBand"
    ]
    if board.interconnect is Interconnect.SWITCH5 and waiting:
        return (
            f"the InfiniBand ports {', '.join(waiting[:4])} are in state INIT,"
            " as those of NVSwitches are while no NVLSM runs",
            board.fabric_next_step,
        )
    if board.interconnect is Interconnect.RACK:
        return "the rack's NVLink management (NMX) has not set it up", board.fabric_next_step
    manager = (
        "NVLSM or the fabric manager" if board.interconnect is Interconnect.SWITCH5 else "the fabric manager"
    )
    return f"usually {manager} is not running", board.fabric_next_step


def _without_partition(mask: object) -> bool:
    """Whether the health mask says that a GPU is in no partition."""
    return isinstance(mask, int) and (
        mask >> MASK_CONFIGURATION_SHIFT & 0xF == CONFIGURATION_NO_PARTITION
        or mask >> MASK_PARTITION_SHIFT & 0x3 == MASK_PARTITION_NOT_ASSIGNED
    )


def _failed(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    status = g.fabric.status
    if g.fabric.state == "completed" and known(status) and status != "success":
        yield Claim(
            rule="fabric-failed",
            gpu=g.gpu.uuid,
            headline=f"{gpu_name(g)}: NVLink fabric setup failed",
            summary=f"The NVLink fabric of {gpu_name(g)} finished setting up with an error ({status})",
            escalations=(Escalation(Severity.CRITICAL),),
            read_s=rule_input.read_s(g, "fabric"),
            evidence=rule_input.evidence(g, "fabric", state="completed", status=status),
            next_step=rule_input.board.fabric_next_step,
            source=DCGM,
        )


def _health(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    mask, summary = g.fabric.health_mask, g.fabric.health_summary
    if not_ready(g):
        # The mask means nothing before that, and `fabric-not-ready` says so.
        return
    found: list[tuple[str, Severity, str]] = []
    if known(mask):
        found += [
            (what, severity, step)
            for what, (shift, severity, step) in HEALTH_MASK_WARNINGS.items()
            if mask >> shift & 0x3 == MASK_TRUE
        ]
        wrong = mask >> MASK_CONFIGURATION_SHIFT & 0xF
        if wrong > 1 and wrong != CONFIGURATION_NO_PARTITION:
            why = CONFIGURATION_ERRORS.get(wrong, f"configuration error {wrong}")
            found.append((why, Severity.CRITICAL, "Check the partition and the firmware"))
        if _without_partition(mask):
            found.append(("in no partition", Severity.CRITICAL, "Activate the GPU's partition"))
        if mask >> MASK_MANAGER_SHIFT & 0x3 == MASK_MANAGER_GONE:
            found.append(("no fabric manager connection", Severity.CRITICAL, ""))
    if known(summary) and not found and summary != "healthy":
        severity = Severity.CRITICAL if summary == "unhealthy" else Severity.WARNING
        found.append((summary, severity, ""))
    if not found:
        return
    found.sort(key=lambda f: -f[1].rank)
    yield Claim(
        rule="fabric-health",
        gpu=g.gpu.uuid,
        headline=f"{gpu_name(g)} fabric: {found[0][0]}",
        summary=f"The NVLink fabric reports for {gpu_name(g)}: {', '.join(what for what, _, _ in found)}",
        escalations=(Escalation(found[0][1]),),
        read_s=rule_input.read_s(g, "fabric"),
        evidence=rule_input.evidence(
            g,
            "fabric",
            health_mask=f"{mask:#x}" if known(mask) else None,
            summary=summary if known(summary) else None,
            found=[what for what, _, _ in found],
        ),
        next_step=". ".join(filter(None, (found[0][2], rule_input.board.fabric_next_step))),
        source=f"{DCGM} (fabric health mask)",
    )


RULE_GROUP: Final = RuleGroup(
    "fabric",
    ("fabric-not-ready", "fabric-failed", "fabric-health", "outside-domain"),
    evaluate,
    FABRIC_SETUP_S,
)
