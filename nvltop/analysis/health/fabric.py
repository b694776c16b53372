"""Rules about the NVLink fabric: fabric-not-ready, fabric-failed, fabric-health, outside-domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.board import Interconnect, ends_in_switches, is_rack
from nvltop.analysis.health.claim import DCGM, HELD_PLACEHOLDER, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult, why_unread
from nvltop.formatting import age
from nvltop.model import NOT_SUPPORTED, GpuFrame, Severity, known

ARCHITECTURES_WITHOUT_FABRIC: Final = ("pascal", "volta", "turing", "ampere", "ada")
"""Architectures of GPUs without an NVLink fabric."""
FABRIC_SETUP_S: Final = 120.0
"""Time after the boot, seconds, after which a fabric must be ready."""

MASK_TRUE: Final = 1
"""Value of a two-bit field of the health mask; 0 is not supported, 2 is false."""
HEALTH_MASK_WARNINGS: Final[dict[str, tuple[int, Severity, str]]] = {
    "degraded bandwidth": (0, Severity.CRITICAL, ""),
    "route recovering": (2, Severity.WARNING, "Watch whether it ends"),
    "unhealthy route": (4, Severity.CRITICAL, "Drain and reset the GPU"),
    "access timeout recovery": (6, Severity.WARNING, "Watch whether it ends"),
}
"""Shift, severity and next step of each warning in the health mask of the fabric.

The mask is decoded here because some versions of nvidia-ml-py use the wrong width (0x11 instead of 0x3)."""
MASK_MANAGER_SHIFT: Final = 14
MASK_MANAGER_GONE: Final = 2
"""Field of the health mask that says whether the fabric manager is connected, and its value if not."""
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
"""Codes of the field INCORRECT_CONFIGURATION of the health mask; 1 is none."""
MASK_PARTITION_SHIFT: Final = 12
MASK_PARTITION_NOT_ASSIGNED: Final = 2
"""Field of the health mask that says whether the GPU is in a partition, and its value if not."""
CONFIGURATION_NO_PARTITION: Final = 4
"""Code in `CONFIGURATION_ERRORS` of a GPU that is in no partition."""
CUDA_802: Final = "CUDA programs fail with error 802 (system not ready)"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the fabric of the GPUs that have one."""
    members = [g for g in rule_input.readable_gpus if known(g.fabric.state)]
    claims = [*_outside_domain(rule_input, members), *_not_ready(rule_input, members)]
    for g in members:
        claims += [*_failed(rule_input, g), *_health(rule_input, g)]
    if members:
        return claims, f"NVLink fabric ready on {gpu_names(members)}"
    # For GPUs without a fabric, old drivers do not answer either.
    candidates = [g for g in rule_input.gpus if g.gpu.architecture not in ARCHITECTURES_WITHOUT_FABRIC]
    return claims, why_unread(g.fabric.state for g in candidates)


def _outside_domain(rule_input: RuleInput, members: list[GpuFrame]) -> Iterator[Claim]:
    """Claim that GPUs of a rack, whose links lead to NVSwitches, are in no NVLink domain."""
    out = [
        g
        for g in rule_input.readable_gpus
        if g.fabric.state == NOT_SUPPORTED
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
            # Jobs within the tray work, and boards that are not in a rack (NVL4) are built this way.
            escalations=(Escalation(Severity.NOTICE),),
            read_s=rule_input.read_s(out[0], "fabric"),
            evidence=rule_input.evidence(
                out[0], "fabric", state=NOT_SUPPORTED.reason, gpus=[g.gpu.index for g in out]
            ),
            next_step="Check that the tray is in the NVLink domain (NMX on the switch trays) and that"
            " the driver was loaded with NVLink enabled, then the section Fabric of `nvidia-smi -q`",
            source="NVML fabric state 0",
            confidence="likely",
        )


def not_ready(g: GpuFrame) -> bool:
    """Return whether the GPU has a fabric that is not set up, so that its NVLinks cannot be checked yet."""
    return known(g.fabric.state) and g.fabric.state != "completed"


def _not_ready(rule_input: RuleInput, members: list[GpuFrame]) -> Iterator[Claim]:
    """Claim that GPUs wait for the fabric: one claim for all of them, as their cause is usually the same."""
    waiting = [g for g in members if not_ready(g)]
    if not waiting:
        rule_input.history.fabric_not_ready_since_s = None
        return
    g, now_s = waiting[0], rule_input.tick.mono_s
    first_s = rule_input.history.fabric_not_ready_since_s = (
        rule_input.history.fabric_not_ready_since_s or now_s
    )
    since = rule_input.up_since
    up_s = rule_input.tick.wall_s - since[0] if since else 0.0
    # A fabric that was ready stays ready, so it has not been ready since the driver was loaded.
    if since and up_s >= FABRIC_SETUP_S:
        how_long = f"for at least {age(up_s)} (since {since[1]})"
        escalations: tuple[Escalation, ...] = (Escalation(Severity.CRITICAL),)
    else:
        # The driver may have been running for a while when the fabric was first checked.
        grace_s = max(0.0, FABRIC_SETUP_S - max(0.0, up_s - (now_s - first_s)))
        how_long = f"for {HELD_PLACEHOLDER}"
        escalations = (
            Escalation(Severity.NOTICE),
            Escalation(Severity.CRITICAL, after_s=grace_s, readings=3),
        )
    cause, step = _why_not_ready(rule_input, waiting, members)
    several = len(waiting) > 1
    yield Claim(
        rule="fabric-not-ready",
        gpu=None if several else g.gpu.uuid,
        headline="NVLink fabric not ready: CUDA error 802"
        if len(waiting) == len(rule_input.gpus)
        else f"{short_gpu_names(waiting)}: fabric not ready, CUDA error 802",
        summary=f"The NVLink fabric of {gpu_names(waiting)} has not been ready {how_long}, so {CUDA_802};"
        f" {cause}",
        escalations=escalations,
        read_s=rule_input.read_s(g, "fabric"),
        evidence=rule_input.evidence(
            g,
            "fabric",
            state=g.fabric.state,
            gpus=[m.gpu.index for m in waiting],
            driver_up_s=round(up_s) if since else None,
        ),
        next_step=step,
        source=DCGM,
        lost_share=1.0,
    )


def _why_not_ready(
    rule_input: RuleInput, waiting: list[GpuFrame], members: list[GpuFrame]
) -> tuple[str, str]:
    """Return the likely cause and the next step, by what the board and the other GPUs show."""
    board = rule_input.board
    without = [g for g in waiting if _without_partition(g.fabric.health_mask)]
    if board.virtual:
        return "the fabric manager is outside this virtual machine", board.fabric_next_step
    if without:
        return (
            f"{gpu_names(without)} {'is' if len(without) == 1 else 'are'} in no partition",
            "Activate the GPU's partition (fabric manager, or NMX on a rack). " + board.fabric_next_step,
        )
    if len(waiting) < len(members):
        return (
            "the other GPUs are ready, so its partition is probably not activated",
            "Activate the GPU's partition (fabric manager, or NMX on a rack). " + board.fabric_next_step,
        )
    init_ports = [
        f.nic.device for f in rule_input.nics if f.port.state == "init" and f.port.link_layer == "InfiniBand"
    ]
    if board.interconnect is Interconnect.SWITCH5 and init_ports:
        return (
            f"the InfiniBand ports {', '.join(init_ports[:4])} are in state INIT,"
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
    """Return whether the health mask says that a GPU is in no partition."""
    return isinstance(mask, int) and (
        mask >> MASK_CONFIGURATION_SHIFT & 0xF == CONFIGURATION_NO_PARTITION
        or mask >> MASK_PARTITION_SHIFT & 0x3 == MASK_PARTITION_NOT_ASSIGNED
    )


def _failed(rule_input: RuleInput, g: GpuFrame) -> Iterator[Claim]:
    """Claim that the fabric of a GPU was set up with an error."""
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
    """Claim what the health mask or the health summary of the fabric reports for a GPU."""
    mask, summary = g.fabric.health_mask, g.fabric.health_summary
    if not_ready(g):
        # The mask is meaningless until then, and `fabric-not-ready` covers that.
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


def _depends_on(rule_input: RuleInput) -> tuple[object, ...] | None:
    """Return what the result depends on; while the fabric is not ready, that includes the time."""
    if any(not_ready(g) for g in rule_input.readable_gpus):
        return None
    return (rule_input.inventory, *[(g.state, g.fabric) for g in rule_input.gpus])


RULE_GROUP: Final = RuleGroup(
    "fabric",
    ("fabric-not-ready", "fabric-failed", "fabric-health", "outside-domain"),
    evaluate,
    FABRIC_SETUP_S,
    depends_on=_depends_on,
)
