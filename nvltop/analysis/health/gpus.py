"""Rules about presence and clocks of GPUs.

- Presence: gpu-lost, gpu-not-opened, container-lost, lib-mismatch.
- Clocks: throttled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.claim import NVLTOP, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names, short_gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.model import GPU_IS_LOST, GpuFrame, Missing, Severity, first_missing, known
from nvltop.model.clock_reasons import HW_THERMAL, POWER_BRAKE
from nvltop.text import bus_number, counted, noun_for

THROTTLED_S: Final = 10.0
"""Time after which throttling is reported, seconds."""
XID_FELL_OFF_BUS: Final = 79
"""Xid of a GPU that has fallen off the bus."""
UNOPENED_UUID_PREFIX: Final = "GPU-index-"
"""Prefix of the placeholder UUID of a GPU that the driver lists and never opened."""
CONTAINER_LOST_REASONS: Final = {"unknown driver error", "no permission"}
"""Answers of the driver after the container runtime has removed the device files."""
LOST_STEP: Final = "Save `dmesg`, run nvidia-bug-report.sh, then restart the machine"


def evaluate_presence(rule_input: RuleInput) -> RuleResult:
    """Check whether all GPUs are present and respond."""
    claims = [
        *_mismatch(rule_input),
        *_lost(rule_input),
        *_unopened(rule_input),
        *_unlisted(rule_input),
        *_hole(rule_input),
        *_container(rule_input),
    ]
    if not rule_input.gpus:
        return claims, Missing("no GPU read yet")
    count = len(rule_input.gpus)
    verb = noun_for(count, "responds", "respond")
    return claims, f"{sum(g.state == 'ok' for g in rule_input.gpus)} of {counted(count, 'GPU')} {verb}"


def unopened(rule_input: RuleInput) -> list[GpuFrame]:
    """Return the GPUs that the driver lists and never opened, if other GPUs work.

    GPUs that are excluded because a call hung, or that nvltop has no permission for, do not count.
    """
    if not any(g.state == "ok" for g in rule_input.gpus):
        return []
    return [
        g
        for g in rule_input.gpus
        if g.state == "unreadable"
        and g.gpu.uuid.startswith(UNOPENED_UUID_PREFIX)
        and "hung" not in g.state_reason
        and g.state_reason != "no permission"
    ]


def _unopened(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that GPUs do not start while others do; permissions and driver are not at fault then."""
    dead = unopened(rule_input)
    if not dead:
        return
    alive = sum(g.state == "ok" for g in rule_input.gpus)
    several = len(dead) > 1
    yield Claim(
        rule="gpu-not-opened",
        gpu=None if several else dead[0].gpu.uuid,
        headline=f"{short_gpu_names(dead)} do{'' if several else 'es'} not start"
        f" ({alive} of {len(rule_input.gpus)} work)",
        summary=f"The driver lists {gpu_names(dead)} but cannot open {'them' if several else 'it'}"
        f" ({dead[0].state_reason}), while the other {alive} work{'' if alive > 1 else 's'}:"
        f" the GPU{'s do' if several else ' does'} not start",
        escalations=(Escalation(Severity.CRITICAL),),
        evidence={
            "gpus": [g.gpu.index for g in dead],
            "answer": dead[0].state_reason,
            "gpus_counted": len(rule_input.gpus),
            "gpus_open": alive,
        },
        next_step="Look for RmInitAdapter and Xid lines in `dmesg`, run nvidia-bug-report.sh, then"
        " power-cycle the machine; a reboot alone may not be enough",
        source="nvmlDeviceGetHandleByIndex_v2",
        lost_share=1.0,
    )


def _mismatch(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that the driver was replaced while it was loaded."""
    problem = rule_input.inventory.problem
    if problem and problem.id == "version-mismatch":
        yield Claim(
            rule="lib-mismatch",
            gpu=None,
            headline="Driver library and kernel module differ",
            summary=problem.summary[:1].upper() + problem.summary[1:],
            escalations=(Escalation(Severity.CRITICAL),),
            evidence={"problem": problem.id},
            next_step=problem.next_step,
            source="NVML error 18",
        )


def _lost(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that GPUs fell off the bus or are no longer listed."""
    codes = {e.code for e in rule_input.events if e.kind == "xid"}
    for g in rule_input.gpus:
        if g.state == "lost":
            off = g.state_reason == GPU_IS_LOST.reason
            xid = f" (Xid {XID_FELL_OFF_BUS})" if off and XID_FELL_OFF_BUS in codes else ""
            yield Claim(
                rule="gpu-lost",
                gpu=g.gpu.uuid,
                headline=f"{gpu_name(g)} LOST{xid}: off the bus"
                if off
                else f"{gpu_name(g)} LOST: no longer listed",
                summary=f"{gpu_name(g)} has fallen off the bus{xid}: nothing can run on it until"
                " the machine restarts"
                if off
                else f"{gpu_name(g)} is no longer listed by the driver: it is off the bus, or was removed",
                escalations=(Escalation(Severity.CRITICAL),),
                evidence=rule_input.evidence(g, "gauges", answer=g.state_reason),
                next_step=LOST_STEP,
                source="XID 79 in NVIDIA's catalog",
                lost_share=1.0,
            )


def _unlisted(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that a PCI device is bound to the driver but not listed by NVML."""
    devices = rule_input.inventory.pci_gpus
    if isinstance(devices, Missing):
        return
    buses = {bus_number(g.pci_bus_id) for g in rule_input.inventory.gpus if known(g.pci_bus_id)}
    # A GPU that NVML lists but cannot open has no bus id: it is one of these, and is reported already.
    unopened = sum(isinstance(g.pci_bus_id, Missing) for g in rule_input.inventory.gpus)
    gone = [bus for bus in devices if bus_number(bus) not in buses]
    for bus in gone[: max(0, len(gone) - unopened)]:
        yield Claim(
            rule="gpu-lost",
            gpu=None,
            headline=f"GPU at {bus[-12:]} is not in NVML's list",
            summary=f"The GPU at PCI {bus} has the driver but NVML does not list it: it may be off the bus",
            escalations=(Escalation(Severity.CRITICAL, readings=2),),
            read_s=rule_input.inventory.mono_s,
            evidence={"pci_bus_id": bus, "gpus_on_pci": len(devices), "gpus_of_nvml": len(buses)},
            next_step=LOST_STEP,
            source="NVIDIA/NVSentinel issue 155",
            confidence="likely",
        )


def _hole(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that a module number of the baseboard is missing, so that a GPU is not detected at all."""
    gpus = rule_input.inventory.gpus
    modules = sorted(m for g in gpus if known(m := g.module_id))
    machine = all(g.virtualization == "none" for g in gpus) and rule_input.inventory.container is False
    if not machine or len(modules) != len(gpus) or len(modules) < 3 or len(set(modules)) != len(modules):
        return
    holes = sorted(set(range(modules[0], modules[-1])) - set(modules))
    for module in holes:
        yield Claim(
            rule="gpu-lost",
            gpu=None,
            headline=f"A GPU is missing (module {module} of the board)",
            summary=f"Module {module} of the board shows no GPU, those beside it do: one GPU is missing",
            escalations=(Escalation(Severity.WARNING, readings=2),),
            evidence={"modules": modules, "missing_module": module},
            next_step="Compare `lspci -d 10de:` with the machine's specification, then see `dmesg`",
            source=NVLTOP,
            confidence="likely",
        )


def _container(rule_input: RuleInput) -> Iterator[Claim]:
    """Claim that all GPUs failed at once after they had worked: the container runtime removed them."""
    gone = [
        g for g in rule_input.gpus if g.gpu.uuid in rule_input.history.ever_read and g.state == "unreadable"
    ]
    reasons = {g.state_reason for g in gone}
    if not gone or len(gone) < len(rule_input.gpus) or not reasons <= CONTAINER_LOST_REASONS:
        return
    inside = rule_input.inventory.container is True
    yield Claim(
        rule="container-lost",
        gpu=None,
        headline="This container lost its GPUs" if inside else "All GPUs stopped responding at once",
        summary="This container lost its GPUs (often after `systemctl daemon-reload` on the host)"
        if inside
        else "All GPUs stopped responding at once, as if their device files had been removed",
        escalations=(Escalation(Severity.CRITICAL, readings=2),),
        read_s=rule_input.read_s(gone[0], "gauges"),
        evidence=rule_input.evidence(gone[0], "gauges", answer=", ".join(sorted(reasons))),
        next_step="Restart the container; on the host use CDI or the cgroupfs driver to prevent it"
        if inside
        else "See `ls -l /dev/nvidia*` and `nvidia-smi`",
        source="NVIDIA/nvidia-container-toolkit issue 48",
        confidence="likely",
    )


def evaluate_clocks(rule_input: RuleInput) -> RuleResult:
    """Check whether GPUs are throttled by hardware."""
    claims = []
    reasons = [g.gauges.event_reasons for g in rule_input.gpus if g.state == "ok"]
    for g in rule_input.gpus:
        bits = g.gauges.event_reasons
        if not known(bits) or not bits & (HW_THERMAL | POWER_BRAKE) or g.state != "ok":
            continue
        heat = bool(bits & HW_THERMAL)
        temperature = g.gauges.temperature_c
        claims.append(
            Claim(
                rule="throttled",
                gpu=g.gpu.uuid,
                headline=f"{gpu_name(g)} throttled: {'thermal' if heat else 'power brake'}"
                + (f" ({temperature:.0f} C)" if heat and known(temperature) else ""),
                summary=f"{gpu_name(g)} is throttled by"
                f" {'heat' if heat else 'the power brake (power supply)'},"
                " so the other ranks of its job wait for it",
                escalations=(Escalation(Severity.WARNING, after_s=THROTTLED_S, readings=3),),
                read_s=rule_input.read_s(g, "gauges"),
                evidence=rule_input.evidence(
                    g,
                    "gauges",
                    event_reasons=f"{bits:#x}",
                    temperature_c=temperature if known(temperature) else None,
                    sm_clock_mhz=g.gauges.sm_clock_mhz if known(g.gauges.sm_clock_mhz) else None,
                ),
                next_step="Check fans, air or water flow and dust"
                if heat
                else "Check the machine's power supplies and its power cap",
                source="NVML clocks event reasons",
            )
        )
    if any(known(r) for r in reasons):
        return claims, "no throttling (thermal, power brake)"
    return claims, first_missing(reasons)


def _presence_depends_on(rule_input: RuleInput) -> tuple[object, ...] | None:
    """Return what the result depends on: only the inventory, while all GPUs respond."""
    return (rule_input.inventory,) if len(rule_input.readable_gpus) == len(rule_input.gpus) else None


PRESENCE: Final = RuleGroup(
    "GPUs present",
    ("gpu-lost", "gpu-not-opened", "container-lost", "lib-mismatch"),
    evaluate_presence,
    per_gpu=False,
    depends_on=_presence_depends_on,
)
CLOCKS: Final = RuleGroup("clocks", ("throttled",), evaluate_clocks, THROTTLED_S)
