"""Rules about single GPUs: lost, silent, slowed down, on a narrow PCIe link."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.claim import (
    OURS,
    Claim,
    Family,
    Opinion,
    Scene,
    Step,
    first_missing,
    named,
    names,
)
from nvltop.analysis.verdict import BUSY_PERCENT
from nvltop.model import GPU_IS_LOST, Gpu, Missing, known
from nvltop.text import bus_number

HW_THERMAL: Final = 0x40
POWER_BRAKE: Final = 0x80
"""nvmlClocksEventReasonHwThermalSlowdown, …HwPowerBrakeSlowdown."""
THROTTLED_S: Final = 10.0
PCIE_S: Final = 30.0
LOST_BY_CONTAINER: Final = {"unknown driver error", "no permission"}
LOST_STEP: Final = "Save `dmesg`, run nvidia-bug-report.sh, then restart the machine"


def judge_presence(scene: Scene) -> Opinion:
    """Judge whether all GPUs answer."""
    return [*_mismatch(scene), *_lost(scene), *_unlisted(scene), *_hole(scene), *_container(scene)], (
        f"{sum(g.state == 'ok' for g in scene.gpus)} answer" if scene.gpus else Missing("no GPU read yet")
    )


def _mismatch(scene: Scene) -> Iterator[Claim]:
    """A driver that was exchanged under us."""
    problem = scene.inventory.problem
    if problem and problem.id == "version-mismatch":
        yield Claim(
            rule="lib-mismatch",
            gpu=None,
            summary=problem.summary[:1].upper() + problem.summary[1:],
            steps=(Step("critical"),),
            evidence={"problem": problem.id},
            next_step=problem.next_step,
            source="NVML error 18",
        )


def _lost(scene: Scene) -> Iterator[Claim]:
    for g in scene.gpus:
        if g.state == "lost":
            yield Claim(
                rule="gpu-lost",
                gpu=g.gpu.uuid,
                summary=f"{named(g)} has stopped answering and is off the bus;"
                " nothing can run on it until the machine restarts"
                if g.state_reason == GPU_IS_LOST.reason
                else f"{named(g)} is no longer listed by the driver: it is off the bus, or was taken away",
                steps=(Step("critical"),),
                evidence=scene.evidence(g, "gauges", answer=g.state_reason),
                next_step=LOST_STEP,
                source="XID 79 in NVIDIA's catalog",
            )


def _unlisted(scene: Scene) -> Iterator[Claim]:
    """A device that is the driver's and can be opened, but that NVML does not count."""
    devices = scene.inventory.pci_gpus
    if isinstance(devices, Missing):
        return
    buses = {bus_number(g.pci_bus_id) for g in scene.inventory.gpus if known(g.pci_bus_id)}
    # A GPU that NVML counts but does not open has no bus id: it is one of these, and told already.
    unopened = sum(isinstance(g.pci_bus_id, Missing) for g in scene.inventory.gpus)
    gone = [bus for bus in devices if bus_number(bus) not in buses]
    for bus in gone[: max(0, len(gone) - unopened)]:
        yield Claim(
            rule="gpu-lost",
            gpu=None,
            summary=f"The GPU at PCI {bus} has the driver but NVML does not show it: it may be off the bus",
            steps=(Step("critical", polls=2),),
            polled_s=scene.inventory.mono_s,
            evidence={"pci_bus_id": bus, "gpus_on_pci": len(devices), "gpus_of_nvml": len(buses)},
            next_step=LOST_STEP,
            source="NVIDIA/NVSentinel issue 155",
            confidence="likely",
        )


def _hole(scene: Scene) -> Iterator[Claim]:
    """A baseboard counts its modules; a number that is left out is a GPU that nobody sees."""
    gpus = scene.inventory.gpus
    modules = sorted(m for g in gpus if known(m := g.module_id))
    machine = all(g.virtualization == "none" for g in gpus) and scene.inventory.container is False
    if not machine or len(modules) != len(gpus) or len(modules) < 3 or len(set(modules)) != len(modules):
        return
    holes = sorted(set(range(modules[0], modules[-1])) - set(modules))
    for module in holes:
        yield Claim(
            rule="gpu-lost",
            gpu=None,
            summary=f"Module {module} of the board shows no GPU, those beside it do: one GPU is missing",
            steps=(Step("warning", polls=2),),
            evidence={"modules": modules, "missing_module": module},
            next_step="Compare `lspci -d 10de:` with the machine's data sheet, then see `dmesg`",
            source=OURS,
            confidence="likely",
        )


def _container(scene: Scene) -> Iterator[Claim]:
    """All GPUs fail at once after they have worked: the container runtime took them away."""
    gone = [g for g in scene.gpus if g.gpu.uuid in scene.memory.answered and g.state == "unreadable"]
    reasons = {g.state_reason for g in gone}
    if not gone or len(gone) < len(scene.gpus) or not reasons <= LOST_BY_CONTAINER:
        return
    inside = scene.inventory.container is True
    yield Claim(
        rule="container-lost",
        gpu=None,
        summary="This container lost its GPUs (often after `systemctl daemon-reload` on the host)"
        if inside
        else "All GPUs have stopped answering at once, as when their device files are taken away",
        steps=(Step("critical", polls=2),),
        polled_s=scene.polled(gone[0], "gauges"),
        evidence=scene.evidence(gone[0], "gauges", answer=", ".join(sorted(reasons))),
        next_step="Restart the container; on the host use CDI or the cgroupfs driver to prevent it"
        if inside
        else "See `ls -l /dev/nvidia*` and `nvidia-smi`",
        source="NVIDIA/nvidia-container-toolkit issue 48",
        confidence="likely",
    )


def judge_clocks(scene: Scene) -> Opinion:
    """Judge whether hardware slows GPUs down."""
    claims = []
    reasons = [g.gauges.event_reasons for g in scene.gpus if g.state == "ok"]
    for g in scene.gpus:
        bits = g.gauges.event_reasons
        if not known(bits) or not bits & (HW_THERMAL | POWER_BRAKE) or g.state != "ok":
            continue
        heat = bool(bits & HW_THERMAL)
        temperature = g.gauges.temperature_c
        claims.append(
            Claim(
                rule="throttled",
                gpu=g.gpu.uuid,
                summary=f"{named(g)} is slowed by {'heat' if heat else 'its power supply'};"
                " the other ranks will wait for it",
                steps=(Step("warning", after_s=THROTTLED_S, polls=3),),
                polled_s=scene.polled(g, "gauges"),
                evidence=scene.evidence(
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
        return claims, "no GPU is slowed by heat or its power supply"
    return claims, first_missing(reasons)


def judge_pcie(scene: Scene) -> Opinion:
    """Judge the PCIe link of GPUs at work: at rest it saves power at a lower speed."""
    claims, judged = [], []
    for g in scene.gpus:
        gen, width, util = g.gauges.pcie_gen, g.gauges.pcie_width, g.gauges.util_percent
        gen_max, width_max = g.gpu.pcie_gen_max, g.gpu.pcie_width_max
        if not (known(gen) and known(width) and known(gen_max) and known(width_max)) or _on_chip(g.gpu):
            continue
        judged.append(g)
        at_work = g.gauges.pstate == 0 and known(util) and util >= BUSY_PERCENT
        if not at_work or (gen >= gen_max and width >= width_max) or g.gpu.virtualization == "vgpu":
            continue
        now, best = (f"x{width}", f"x{width_max}") if width < width_max else (f"gen {gen}", f"gen {gen_max}")
        claims.append(
            Claim(
                rule="pcie-degraded",
                gpu=g.gpu.uuid,
                summary=f"The PCIe link of {named(g)} is {now} instead of {best}",
                steps=(Step("warning", after_s=PCIE_S, polls=3),),
                polled_s=scene.polled(g, "gauges"),
                evidence=scene.evidence(
                    g, "gauges", gen=gen, gen_max=gen_max, width=width, width_max=width_max
                ),
                next_step="Reseat the card or its riser, and check the slot's settings in the BIOS",
                source="NVIDIA/open-gpu-kernel-modules issue 731",
            )
        )
    if not judged:
        return claims, None if all(_on_chip(g.gpu) for g in scene.gpus) else Missing("PCIe link not told")
    return claims, f"{names(judged)}: as wide and fast as it can be, where at work"


def _on_chip(gpu: Gpu) -> bool:
    """Whether the GPU hangs on its CPU by C2C, where PCIe says nothing (GB10, GH200, GB200)."""
    return (known(gpu.c2c.links) and gpu.c2c.links > 0) or (known(gpu.name) and "GB10" in gpu.name)


PRESENCE: Final = Family("GPUs present", ("gpu-lost", "container-lost", "lib-mismatch"), judge_presence)
CLOCKS: Final = Family("clocks", ("throttled",), judge_clocks)
PCIE: Final = Family("PCIe links", ("pcie-degraded",), judge_pcie)
