"""Rules about the NVLink fabric, and about what the driver asks to be done to a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.claim import (
    DCGM,
    HELD,
    Claim,
    Family,
    Opinion,
    Scene,
    Step,
    first_missing,
    named,
    names,
)
from nvltop.model import GpuFrame, Missing, known

BEFORE_FABRIC: Final = ("pascal", "volta", "turing", "ampere", "ada")
READY_S: Final = 120.0
"""A fabric takes up to so long to set up after a boot."""

TRUE: Final = 1
"""A two-bit field of the health mask: 0 not supported, 1 true, 2 false."""
MASK: Final[dict[str, tuple[int, str, str]]] = {
    "degraded bandwidth": (0, "critical", "Read the fabric manager's log"),
    "a route is recovering": (2, "warning", "Watch whether it ends; read the fabric manager's log"),
    "an unhealthy route": (4, "critical", "Read the fabric manager's log; drain and reset the GPU"),
    "a recovery after an access timeout": (6, "warning", "Watch whether it ends"),
}
"""Shift, severity and next step of each warning in the mask.

Decoded here, as some versions of nvidia-ml-py have the wrong field width (0x11 for 0x3)."""
MANAGER_SHIFT: Final = 14
MANAGER_GONE: Final = 2
CONFIGURATION_SHIFT: Final = 8
CONFIGURATION: Final = {
    2: "the system GUID is wrong",
    3: "the chassis serial number is wrong",
    4: "the GPU is in no partition",
    5: "too few NVLinks are up for its partition",
    6: "the GPU's firmware does not fit",
    7: "its place in the chassis is invalid",
    8: "the GPU's state is invalid",
}
"""nvmlGpuFabricInfo health mask, INCORRECT_CONFIGURATION; 1 is none."""

ACTIONS: Final = {
    1: ("a reset of the GPU", "End all processes on it and reset it (`nvidia-smi -r -i {}`)"),
    2: ("a reboot of the machine", "Drain the machine and reboot the operating system"),
    3: (
        "no peer-to-peer traffic",
        "End the processes that use this GPU together with others; it can be reset after that",
    ),
    4: ("a drain and a reset", "Start nothing new on it; when its work has ended, reset it"),
    5: ("a recovery of its IMEX domain", "Restart the IMEX service of the domain (`nvidia-imex`)"),
    6: ("a reset of its bus", "Drain the machine and reset the bus of the GPU, or reboot"),
    7: ("a reboot of the system", "Drain and reboot the whole system"),
}
"""Field 230, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION."""
DRAIN_P2P: Final = 3
MAX_ROWS: Final = 512
"""Uncorrectable row remappings (DCGM and Azure's node checks)."""
MANAGER: Final = "`systemctl status nvidia-fabricmanager` and its log; in a VM, ask the host"


def judge(scene: Scene) -> Opinion:
    """Judge the fabric of the GPUs that have one."""
    members = [g for g in scene.gpus if known(g.fabric.state)]
    if not members:
        # A GPU older than the fabric is not asked about it by old drivers, either.
        may = [g for g in scene.gpus if g.gpu.architecture not in BEFORE_FABRIC]
        unread = first_missing(g.fabric.state for g in may)
        return (), None if unread and unread.reason == "not supported" else unread
    claims = [*_joining(scene, members)]
    for g in members:
        claims += [*_failed(scene, g), *_health(scene, g)]
    return claims, f"{len(members)} GPUs have joined it without an error"


def _joining(scene: Scene, members: list[GpuFrame]) -> Iterator[Claim]:
    """GPUs that join together are one finding: with a manager that is down it is all of them."""
    late = [g for g in members if g.fabric.state != "completed"]
    if not late:
        return
    several = len(late) > 1
    for g in late[:1] if several else late:
        have = "have" if several else "has"
        yield Claim(
            rule="fabric-not-ready",
            gpu=None if several else g.gpu.uuid,
            summary=f"{names(late)} {have} been joining the NVLink fabric for {HELD};"
            " until that is done CUDA programs fail with error 802",
            steps=(Step("notice"), Step("critical", after_s=READY_S, polls=3)),
            polled_s=scene.polled(g, "fabric"),
            evidence=scene.evidence(g, "fabric", state=g.fabric.state, gpus=[m.gpu.index for m in late]),
            next_step=MANAGER,
            source=DCGM,
        )


def _failed(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    status = g.fabric.status
    if g.fabric.state == "completed" and known(status) and status != "success":
        yield Claim(
            rule="fabric-failed",
            gpu=g.gpu.uuid,
            summary=f"The NVLink fabric of {named(g)} finished setting up with an error ({status})",
            steps=(Step("critical"),),
            polled_s=scene.polled(g, "fabric"),
            evidence=scene.evidence(g, "fabric", state="completed", status=status),
            next_step=MANAGER,
            source=DCGM,
        )


def _health(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    mask, summary = g.fabric.health_mask, g.fabric.health_summary
    found: list[tuple[str, str, str]] = []
    if known(mask):
        found += [
            (f"{what} on", severity, step)
            for what, (shift, severity, step) in MASK.items()
            if mask >> shift & 0x3 == TRUE
        ]
        wrong = mask >> CONFIGURATION_SHIFT & 0xF
        if wrong > 1:
            why = CONFIGURATION.get(wrong, f"code {wrong}")
            found.append(
                (f"a wrong configuration ({why}) of", "critical", "Check the partition and firmware")
            )
        if mask >> MANAGER_SHIFT & 0x3 == MANAGER_GONE:
            found.append(("no connection to the fabric manager from", "critical", MANAGER))
    if known(summary) and not found and summary != "healthy":
        severity = "critical" if summary == "unhealthy" else "warning"
        found.append((f"the state '{summary}' for", severity, "Read the fabric manager's log"))
    if not found:
        return
    order = ("critical", "warning")
    found.sort(key=lambda f: order.index(f[1]))
    yield Claim(
        rule="fabric-health",
        gpu=g.gpu.uuid,
        summary=f"The NVLink fabric reports {found[0][0]} {named(g)}"
        + (f" and {len(found) - 1} more" if len(found) > 1 else ""),
        steps=(Step(found[0][1]),),
        polled_s=scene.polled(g, "fabric"),
        evidence=scene.evidence(
            g,
            "fabric",
            health_mask=f"{mask:#x}" if known(mask) else None,
            summary=summary if known(summary) else None,
            found=[what.rsplit(" ", 1)[0] for what, _, _ in found],
        ),
        next_step=found[0][2],
        source=f"{DCGM} (fabric health mask)",
    )


def judge_recovery(scene: Scene) -> Opinion:
    """Judge what the driver asks for by itself, and repairs of GPU memory."""
    claims = [claim for g in scene.gpus for claim in (*_action(scene, g), *_remap(scene, g))]
    actions = [g.fabric.recovery_action for g in scene.gpus]
    asked = sum(known(a) for a in actions)
    if asked:
        return claims, f"the driver asks for nothing on {asked} GPUs"
    unread = next((a for a in actions if isinstance(a, Missing)), None)
    return claims, None if unread and unread.reason == "not supported" else unread


def _action(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    action = g.fabric.recovery_action
    if not known(action) or action == 0:
        return
    what, step = ACTIONS.get(action, (f"an action this version does not know (number {action})", ""))
    yield Claim(
        rule="recovery-action",
        gpu=g.gpu.uuid,
        summary=f"The driver asks for {what} on {named(g)}",
        steps=(Step("warning" if action == DRAIN_P2P else "critical"),),
        polled_s=scene.polled(g, "fabric"),
        evidence=scene.evidence(g, "fabric", recovery_action=action),
        next_step=step.format(g.gpu.index) or "See what `nvidia-smi -q` says of the recovery action",
        source="NVML field 230",
    )


def _remap(scene: Scene, g: GpuFrame) -> Iterator[Claim]:
    pending, failed, rows = g.fabric.remap_pending, g.fabric.remap_failed, g.fabric.remapped_rows
    many = known(rows) and rows >= MAX_ROWS
    if failed is True or many:
        why = "could not be repaired" if failed is True else f"has had {rows} rows replaced"
        yield Claim(
            rule="remap",
            gpu=g.gpu.uuid,
            summary=f"The memory of {named(g)} {why}",
            steps=(Step("critical"),),
            polled_s=scene.polled(g, "fabric"),
            evidence=scene.evidence(g, "fabric", remap_failed=failed is True, remapped_rows=_plain(rows)),
            next_step="Drain the GPU, run nvidia-bug-report.sh and ask for NVIDIA's field diagnostic",
            source=DCGM,
        )
    elif pending is True:
        yield Claim(
            rule="remap",
            gpu=g.gpu.uuid,
            summary=f"{named(g)} needs a reset to finish repairing its memory",
            steps=(Step("warning"),),
            polled_s=scene.polled(g, "fabric"),
            evidence=scene.evidence(g, "fabric", remap_pending=True, remapped_rows=_plain(rows)),
            next_step=f"Reset it after its work has drained (`nvidia-smi -r -i {g.gpu.index}`)",
            source=DCGM,
        )


def _plain(value: object) -> object:
    return None if isinstance(value, Missing) else value


FAMILY: Final = Family("fabric", ("fabric-not-ready", "fabric-failed", "fabric-health"), judge)
RECOVERY: Final = Family("repairs", ("recovery-action", "remap"), judge_recovery)
