"""Which GPUs work together: those of a job or, where no process is known, those with common traffic."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import mul
from typing import Final, TypeVar

from nvltop.analysis.nan import without_nan
from nvltop.frozen import frozen
from nvltop.model import GpuFrame, Job, Matrix

T = TypeVar("T", bound=Hashable)

SAME_JOB_CORRELATION: Final = 0.5
"""Correlation of traffic above which two GPUs may belong to one job."""
SAME_CHANNEL_CORRELATION: Final = 0.9
"""Correlation of traffic above which two series are merged into one channel."""
MAX_CHANNELS: Final = 4
"""Largest number of channels of a job."""


@frozen
class GpuGroup:
    """GPUs that are analysed together."""

    key: str
    """Identifies the group from one evaluation to the next."""
    job: Job | None
    """The job, or None if no process is known."""
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""


def group_by_job(jobs: Sequence[Job], gpus: Sequence[GpuFrame]) -> list[GpuGroup]:
    """Return a group for each job that has a GPU with NVLinks."""
    linked = {g.gpu.uuid for g in gpus if g.links}
    found = [GpuGroup(job.key, job, tuple(u for u in job.gpus if u in linked)) for job in jobs]
    return [group for group in found if group.gpus]


def group_by_topology(gpus: Sequence[GpuFrame], matrix: Matrix, taken: frozenset[str]) -> list[GpuGroup]:
    """Return groups of GPUs outside known jobs (`taken`) that are connected by NVLink."""
    free = [i for i, g in enumerate(gpus) if g.links and g.gpu.uuid not in taken]
    if len(matrix.p2p_nvlink) != len(gpus):
        return []
    linked = connected_components(free, lambda a, b: matrix.cells[a][b].startswith("NV"))
    return [_topology_group(gpus, members) for members in linked if len(members) > 1]


def split_by_traffic(group: GpuGroup, values: Mapping[str, Sequence[float]]) -> list[GpuGroup]:
    """Split a group without a job whose GPUs clearly move data at different times.

    A GPU that correlates with no other may be a stage of a pipeline. In that case the group is not split.
    GPUs that were never read are in none of the parts.
    """
    deviations = {uuid: _deviation(values[uuid]) for uuid in group.gpus if uuid in values}
    energies = {uuid: _energy(own) for uuid, own in deviations.items()}

    def alike(a: str, b: str) -> bool:
        energy = energies[a] * energies[b]
        return _correlation(deviations[a], deviations[b], energy) >= SAME_JOB_CORRELATION

    parts = connected_components(list(deviations), alike)
    if len(parts) < 2 or min(map(len, parts)) < 2:
        return [group]
    return [GpuGroup(f"traffic:{members[0]}", None, tuple(members)) for members in parts]


def similar_series(values: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return at most `MAX_CHANNELS` groups of similar series by index; stages of a pipeline stay separate."""
    groups: list[list[int]] = []
    first: list[tuple[list[float], float]] = []
    """Deviation and energy of the first series of each group."""
    for i, own in enumerate(values):
        deviation = _deviation(own)
        energy = _energy(deviation)
        correlations = [_correlation(deviation, other, energy * squares) for other, squares in first]
        best = max(range(len(groups)), key=correlations.__getitem__, default=-1)
        if best >= 0 and (correlations[best] >= SAME_CHANNEL_CORRELATION or len(groups) == MAX_CHANNELS):
            groups[best].append(i)
        else:
            groups.append([i])
            first.append((deviation, energy))
    return groups


def sum_channels(values: Sequence[Sequence[float]], groups: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return the sum of the series of each group; `groups` are those of `similar_series`."""
    return [list(map(sum, zip(*(values[i] for i in g), strict=True))) for g in groups]


def _energy(values: Sequence[float]) -> float:
    """Return the energy of a series with mean 0."""
    energy: float = sum(map(mul, values, values))
    return energy


def _correlation(a: Sequence[float], b: Sequence[float], energies: float) -> float:
    """Return the correlation of two series with mean 0; 1 if one of them is constant.

    `energies` is the product of their energies.
    """
    norm = math.sqrt(energies)
    return sum(map(mul, a, b)) / norm if norm > 0 else 1.0


def _deviation(values: Sequence[float]) -> list[float]:
    """Return the deviation of a series from its mean, 0 where it was not read."""
    read = without_nan(values)
    mean = sum(read) / len(read) if read else 0.0
    if read is values:
        return [v - mean for v in values]
    return [v - mean if v == v else 0.0 for v in values]


def connected_components(members: Sequence[T], connected: Callable[[T, T], bool]) -> list[list[T]]:
    """Return the connected components of the members, in the order of the members."""
    groups: list[list[T]] = []
    for member in members:
        own = [member]
        separate = []
        for group in groups:
            if any(connected(member, other) for other in group):
                own = group + own
            else:
                separate.append(group)
        groups = [*separate, own]
    order = {member: i for i, member in enumerate(members)}
    return sorted((sorted(g, key=order.__getitem__) for g in groups), key=lambda g: order[g[0]])


def _topology_group(gpus: Sequence[GpuFrame], members: Sequence[int]) -> GpuGroup:
    uuids = tuple(gpus[i].gpu.uuid for i in members)
    return GpuGroup(f"links:{uuids[0]}", None, uuids)
