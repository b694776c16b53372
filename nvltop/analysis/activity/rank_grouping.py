"""Which single-GPU processes are ranks of one job, though no launcher, parent or cgroup joins them.

A process on one GPU that moves data over NVLink has a partner on another GPU: NVLink has no other use for
it. So ranks that a shell loop, Ray or several terminals started are joined by their traffic, and two
separate single-GPU jobs, which have none, never are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nvltop.analysis.activity import gpu_groups
from nvltop.analysis.activity.gpu_groups import GpuGroup
from nvltop.model import GpuFrame, Job, Matrix, known

FIRST_S: Final = 10.0
"""Seconds of traffic that must have been read before processes are joined."""
AGAIN_S: Final = 60.0
"""Seconds after which processes that are joined already are compared again."""
MOVES: Final = 0.002
"""Share of a GPU's NVLink speed that its busiest moment must reach; less is no traffic of a job."""
MIN_CELLS: Final = 10


class RankGrouping:
    """Keeps which processes belong together; what was found stays while a job is silent or hangs."""

    def __init__(self) -> None:
        self.job_of: dict[str, str] = {}
        """By key of a process that stands alone: the key of its job, that of the job's first process."""
        self._compared_s = float("-inf")

    def update(
        self,
        jobs: Sequence[Job],
        gpus: Sequence[GpuFrame],
        matrix: Matrix,
        traffic: Callable[[Sequence[str]], tuple[Mapping[str, Sequence[float]], float]],
        now_s: float,
    ) -> None:
        """Bring `bonds` up to date.

        `traffic` returns the bytes/s of some GPUs by UUID, over the same time, and the length of a cell.
        """
        alone = {uuid: (key, job.user) for job in jobs for key, uuid in _units(job)}
        present = {key for key, _ in alone.values()}
        if self.job_of.keys() - present:
            self.job_of = {key: root for key, root in self.job_of.items() if key in present}
        fresh = present - self.job_of.keys()
        if len(alone) < 2 or len(matrix.p2p_nvlink) != len(gpus):
            return
        if now_s - self._compared_s < (FIRST_S if fresh else AGAIN_S):
            return
        self._compared_s = now_s
        values, cell_s = traffic(list(alone))
        speeds = {g.gpu.uuid: g.nvlink.speed_bytes_per_s for g in gpus}
        moving = {
            uuid
            for uuid, own in values.items()
            if _read_s(own, cell_s) >= FIRST_S
            and known(speed := speeds[uuid])
            and max((v for v in own if v == v), default=0.0) > MOVES * speed
        }
        # A job of which a part is silent stays as it was found: that silence is what is to be reported.
        kept = {self.job_of[k] for uuid, (k, _) in alone.items() if uuid not in moving and k in self.job_of}
        place = {g.gpu.uuid: i for i, g in enumerate(gpus)}
        free = sorted(
            (u for u in alone if u in moving and self.job_of.get(alone[u][0]) not in kept),
            key=place.__getitem__,
        )
        for uuid in free:
            self.job_of.pop(alone[uuid][0], None)

        def linked(a: str, b: str) -> bool:
            return alone[a][1] == alone[b][1] and matrix.cells[place[a]][place[b]].startswith("NV")

        for members in gpu_groups.connected_components(free, linked):
            for group in gpu_groups.split_by_traffic(GpuGroup("", None, tuple(members)), values):
                if len(group.gpus) > 1:
                    self.job_of.update({alone[u][0]: alone[group.gpus[0]][0] for u in group.gpus})


def _units(job: Job) -> list[tuple[str, str]]:
    """Return key and GPU of each process of a job that has one GPU for itself and no known parent."""
    if job.kind != "process" or not job.exact:
        return []
    if job.parts:
        return [pair for pair in zip(job.parts, job.gpus, strict=True) if pair[0]]
    return [(job.key, job.gpus[0])] if len(job.gpus) == 1 else []


def _read_s(values: Sequence[float], cell_s: float) -> float:
    """Return the seconds of a series that were read, 0 if they are too few to compare."""
    cells = sum(v == v for v in values)
    return cells * cell_s if cells >= MIN_CELLS else 0.0
