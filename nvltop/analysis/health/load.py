"""Rules about what the GPUs do with their links: saturated, straggler, stuck-collective."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from nvltop.analysis.health.claim import OURS, Claim, Family, Opinion, Scene, Step, linked, named, names
from nvltop.analysis.verdict import NEAR, pcie_share
from nvltop.model import GpuFrame, known

SATURATED_S: Final = 30.0
TOGETHER_S: Final = 60.0
BUSY: Final = 95.0
LITTLE_POWER: Final = 0.35
QUIET: Final = 0.01
HALF: Final = 0.5


def judge(scene: Scene) -> Opinion:
    """Judge the load of the links and of the GPUs that use them."""
    gpus = linked(scene)
    if not gpus:
        return (), None
    return [*_saturated(scene, gpus), *_stuck(scene, gpus), *_straggler(scene, gpus)], (
        "no link at its limit for long, no GPU far behind the others"
    )


def _saturated(scene: Scene, gpus: list[GpuFrame]) -> Iterator[Claim]:
    for g in gpus:
        share, ceiling = g.nvlink.recent_share, g.nvlink.ceiling
        if known(share) and known(ceiling) and share >= NEAR * ceiling:
            yield Claim(
                rule="saturated",
                gpu=g.gpu.uuid,
                summary=f"NVLink of {named(g)} is at its practical limit, {share:.0%} of speed:"
                " the job is bound by communication",
                steps=(Step("info", after_s=SATURATED_S, polls=3),),
                polled_s=scene.polled(g, "links"),
                evidence=scene.evidence(
                    g, "links", share_of_speed=round(share, 3), ceiling=round(ceiling, 3)
                ),
                next_step="Overlap communication with computation, or send less",
                source="NVIDIA/nccl src/graph/topo.h",
            )


def _stuck(scene: Scene, gpus: list[GpuFrame]) -> Iterator[Claim]:
    spinning = [g for g in gpus if _spins(g)]
    if len(spinning) < 2:
        return
    yield Claim(
        rule="stuck-collective",
        gpu=None,
        summary=f"{names(spinning)} look busy but move no data and draw little power:"
        " they are probably waiting for each other",
        steps=(Step("warning", after_s=TOGETHER_S, polls=10),),
        polled_s=scene.polled(spinning[0], "gauges"),
        evidence=scene.evidence(
            spinning[0],
            "gauges",
            gpus=[g.gpu.index for g in spinning],
            power_w=[g.gauges.power_w for g in spinning if known(g.gauges.power_w)],
        ),
        next_step="Run `py-spy dump` on each rank, and read the log of NCCL's watchdog",
        source="NVIDIA/nccl issue 968",
        confidence="likely",
    )


def _spins(g: GpuFrame) -> bool:
    util, power, limit, share = (
        g.gauges.util_percent,
        g.gauges.power_w,
        g.gpu.power_limit_w,
        g.nvlink.recent_share,
    )
    return (
        known(util)
        and known(power)
        and known(limit)
        and known(share)
        and util >= BUSY
        and power < LITTLE_POWER * limit
        and share < QUIET
        and known(g.pcie.tx_bytes_per_s)
        and pcie_share(g) < QUIET
    )


def _straggler(scene: Scene, gpus: list[GpuFrame]) -> Iterator[Claim]:
    shares = {g.gpu.uuid: s for g in gpus if known(s := g.nvlink.recent_share)}
    moving = [g for g in gpus if shares.get(g.gpu.uuid, 0.0) >= QUIET]
    if len(moving) < 3:
        return
    usual = median(shares[g.gpu.uuid] for g in moving)
    powers = [p for g in moving if known(p := g.gauges.power_w)]
    for g in moving:
        power, share = g.gauges.power_w, shares[g.gpu.uuid]
        if known(power) and share < HALF * usual and power < HALF * median(powers):
            yield Claim(
                rule="straggler",
                gpu=g.gpu.uuid,
                summary=f"{named(g)} moves {share / usual:.0%} of what the others do and draws less than"
                " half their power; it may be a slow rank or do other work",
                steps=(Step("notice", after_s=TOGETHER_S, polls=10),),
                polled_s=scene.polled(g, "gauges"),
                evidence=scene.evidence(
                    g,
                    "gauges",
                    share_of_speed=round(share, 4),
                    median_share_of_speed=round(usual, 4),
                    power_w=power,
                    median_power_w=median(powers),
                ),
                next_step="Compare its clocks and temperature with the others', then its data loader",
                source=OURS,
                confidence="possible",
            )


FAMILY: Final = Family("load", ("saturated", "straggler", "stuck-collective"), judge)
