"""Rules about how much of what the links can carry is used: saturated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis import answer
from nvltop.analysis.health.claim import Claim, Family, Looked, Opinion, Scene, Step, linked
from nvltop.model import Judgement, Missing, known

SATURATED_S: Final = 30.0


def judge(scene: Scene) -> Opinion:
    """Judge the load of the links, by the same analysis as the verdict."""
    if not linked(scene):
        return (), None
    return _saturated(scene), _looked(scene)


def _looked(scene: Scene) -> Looked:
    """Say what the judgements of the jobs come to."""
    found = scene.judgements
    unknown = next((j for j in found if j.state == "unknown"), None)
    if unknown or not found:
        return Missing(unknown.why if unknown else "not judged yet")
    limited = [j for j in found if j.state in answer.COSTS]
    if limited:
        return _headlines(scene, limited)
    unclear = [j for j in found if j.state == "unclear"]
    if unclear:
        return Missing(_headlines(scene, unclear))
    return "no link at its limit for long"


def _headlines(scene: Scene, found: list[Judgement]) -> str:
    index_of = {g.gpu.uuid: g.gpu.index for g in scene.gpus}
    return "; ".join(answer.headline(j, index_of) for j in found)


def _saturated(scene: Scene) -> Iterator[Claim]:
    """Report each job that NVLink limits; that is no fault."""
    index_of = {g.gpu.uuid: g.gpu.index for g in scene.gpus}
    by_uuid = {g.gpu.uuid: g for g in scene.gpus}
    jobs = {job.key: job for job in scene.jobs}
    for j in scene.judgements:
        if j.state != "limits":
            continue
        g = by_uuid[j.gpu or j.gpus[0]]
        several = len(j.gpus) == len(scene.gpus)
        yield Claim(
            rule="saturated",
            gpu=j.gpu or (None if several else j.gpus[0]),
            headline=answer.headline(j, index_of),
            summary=answer.summary(j, index_of, jobs),
            steps=(Step("info", after_s=SATURATED_S, polls=3),),
            polled_s=scene.polled(g, "links"),
            evidence=scene.evidence(
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


FAMILY: Final = Family("load", ("saturated",), judge, SATURATED_S)
