"""Rules about how much of what the links can carry is used: saturated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.claim import Claim, Family, Opinion, Scene, Step, linked, named
from nvltop.analysis.verdict import NEAR
from nvltop.model import GpuFrame, known

SATURATED_S: Final = 30.0


def judge(scene: Scene) -> Opinion:
    """Judge the load of the links."""
    gpus = linked(scene)
    if not gpus:
        return (), None
    return _saturated(scene, gpus), "no link at its limit for long"


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


FAMILY: Final = Family("load", ("saturated",), judge)
