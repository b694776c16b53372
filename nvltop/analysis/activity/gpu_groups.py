"""Which GPUs work together: those of a job, or those that move data together where no process is seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, TypeVar

from nvltop.model import GpuFrame, Job, Matrix

T = TypeVar("T", bound=Hashable)

TOGETHER: Final = 0.5
"""Correlation of traffic from which two GPUs may be in one job."""
SAME: Final = 0.9
"""And from which one may stand for both."""
MAX_CHANNELS: Final = 4


@dataclass(frozen=True, slots=True)
class GpuGroup:
    """GPUs that are looked at together."""

    key: str
    job: Job | None
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""


def group_by_job(jobs: Sequence[Job], gpus: Sequence[GpuFrame]) -> list[GpuGroup]:
    """Return the jobs that have a GPU with NVLinks."""
    linked = {g.gpu.uuid for g in gpus if g.links}
    found = [GpuGroup(job.key, job, tuple(u for u in job.gpus if u in linked)) for job in jobs]
    return [group for group in found if group.gpus]


def group_by_topology(gpus: Sequence[GpuFrame], matrix: Matrix, taken: frozenset[str]) -> list[GpuGroup]:
    """Return the GPUs that no job is known to have, as NVLinks join them."""
    free = [i for i, g in enumerate(gpus) if g.links and g.gpu.uuid not in taken]
    if len(matrix.p2p_nvlink) != len(gpus):
        return []
    linked = connected_components(free, lambda a, b: matrix.cells[a][b].startswith("NV"))
    return [_group(gpus, members) for members in linked if len(members) > 1]


def split_by_traffic(group: GpuGroup, values: Mapping[str, Sequence[float]]) -> list[GpuGroup]:
    """Part a group without a job where its GPUs plainly move data at different times; else itself.

    A GPU that goes with no other may be a stage of a pipeline, so then nothing is parted.
    """
    waves = {uuid: _wave(values[uuid]) for uuid in group.gpus}
    parts = connected_components(list(group.gpus), lambda a, b: correlation(waves[a], waves[b]) >= TOGETHER)
    if len(parts) < 2 or min(map(len, parts)) < 2:
        return [group]
    return [GpuGroup(f"traffic:{members[0]}", None, tuple(members)) for members in parts]


def merge_similar(values: Sequence[Sequence[float]]) -> list[list[float]]:
    """Add up the series that go together, so that a few stand for all; stages of a pipeline stay apart."""
    sums: list[list[float]] = []
    waves: list[list[float]] = []
    for own in values:
        wave = _wave(own)
        likeness = [correlation(wave, other) for other in waves]
        best = max(range(len(sums)), key=lambda i: likeness[i], default=-1)
        if best >= 0 and (likeness[best] >= SAME or len(sums) == MAX_CHANNELS):
            sums[best] = [a + b for a, b in zip(sums[best], own, strict=True)]
        else:
            sums.append(list(own))
            waves.append(wave)
    return sums


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the correlation of two series about 0; 1 where one of them is flat."""
    norm = math.sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return sum(map(mul, a, b)) / norm if norm > 0 else 1.0


def _wave(values: Sequence[float]) -> list[float]:
    """Return a series about its mean, 0 where it was not read."""
    told = [v for v in values if v == v]
    mean = sum(told) / len(told) if told else 0.0
    return [v - mean if v == v else 0.0 for v in values]


def connected_components(members: Sequence[T], together: Callable[[T, T], bool]) -> list[list[T]]:
    """Return the members in groups, any two of which are joined directly or through others."""
    groups: list[list[T]] = []
    for member in members:
        own = [member]
        apart = []
        for group in groups:
            if any(together(member, other) for other in group):
                own = group + own
            else:
                apart.append(group)
        groups = [*apart, own]
    order = {member: i for i, member in enumerate(members)}
    return sorted((sorted(g, key=order.__getitem__) for g in groups), key=lambda g: order[g[0]])


def _group(gpus: Sequence[GpuFrame], members: Sequence[int]) -> GpuGroup:
    uuids = tuple(gpus[i].gpu.uuid for i in members)
    return GpuGroup(f"links:{uuids[0]}", None, uuids)
