"""Which single-GPU processes are ranks of one job, although no launcher, parent or cgroup connects them.

A process on one GPU that moves data over NVLink has a partner on another GPU. Ranks that were started by a
shell loop, Ray or from several terminals are therefore grouped by their traffic. Two separate single-GPU
jobs have no traffic and are never grouped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nvltop.analysis.activity import gpu_groups
from nvltop.analysis.activity.gpu_groups import GpuGroup
from nvltop.model import GpuFrame, Job, Matrix, known

MIN_TRAFFIC_S: Final = 10.0
"""Length of the traffic that must have been read before processes are grouped, seconds."""
RECHECK_INTERVAL_S: Final = 60.0
"""Time after which processes that are grouped already are compared again, seconds."""
MIN_TRAFFIC_SHARE: Final = 0.002
"""Share of a GPU's NVLink speed that its highest rate must reach to count as traffic of a job."""
MIN_CELLS: Final = 10
"""Number of cells below which two series are not compared."""


class RankGrouping:
    """Groups single-GPU processes into jobs; a job stays grouped while it is silent or hangs."""

    def __init__(self) -> None:
        self.job_of: dict[str, str] = {}
        """Key of the job, which is the key of its first process, by key of the process."""
        self._compared_s = float("-inf")

    def update(
        self,
        jobs: Sequence[Job],
        gpus: Sequence[GpuFrame],
        matrix: Matrix,
        traffic: Callable[[Sequence[str]], Mapping[str, Sequence[float]]],
        cell_s: float,
        now_s: float,
    ) -> None:
        """Update `job_of`.

        `traffic` returns the bytes/s of some GPUs by UUID, over the same cells of `cell_s` seconds.
        """
        processes = {uuid: (key, job.user) for job in jobs for key, uuid in _single_gpu_processes(job)}
        present = {key for key, _ in processes.values()}
        if self.job_of.keys() - present:
            self.job_of = {key: root for key, root in self.job_of.items() if key in present}
        new = present - self.job_of.keys()
        if len(processes) < 2 or len(matrix.p2p_nvlink) != len(gpus):
            return
        if now_s - self._compared_s < (MIN_TRAFFIC_S if new else RECHECK_INTERVAL_S):
            return
        self._compared_s = now_s
        values = traffic(list(processes))
        speeds = {g.gpu.uuid: g.nvlink.speed_bytes_per_s for g in gpus}
        moving = {
            uuid
            for uuid, own in values.items()
            if _read_s(own, cell_s) >= MIN_TRAFFIC_S
            and known(speed := speeds[uuid])
            and max((v for v in own if v == v), default=0.0) > MIN_TRAFFIC_SHARE * speed
        }
        # A job with silent processes stays grouped: that silence is what has to be reported.
        retained = {
            self.job_of[k] for uuid, (k, _) in processes.items() if uuid not in moving and k in self.job_of
        }
        place = {g.gpu.uuid: i for i, g in enumerate(gpus)}
        free = sorted(
            (u for u in processes if u in moving and self.job_of.get(processes[u][0]) not in retained),
            key=place.__getitem__,
        )
        for uuid in free:
            self.job_of.pop(processes[uuid][0], None)

        def linked(a: str, b: str) -> bool:
            return processes[a][1] == processes[b][1] and matrix.cells[place[a]][place[b]].startswith("NV")

        for members in gpu_groups.connected_components(free, linked):
            for group in gpu_groups.split_by_traffic(GpuGroup("", None, tuple(members)), values):
                if len(group.gpus) > 1:
                    self.job_of.update({processes[u][0]: processes[group.gpus[0]][0] for u in group.gpus})


def _single_gpu_processes(job: Job) -> list[tuple[str, str]]:
    """Return key and GPU of each process of a job that has a GPU of its own and no known parent."""
    if job.kind != "process" or not job.exact:
        return []
    if job.parts:
        return [pair for pair in zip(job.parts, job.gpus, strict=True) if pair[0]]
    return [(job.key, job.gpus[0])] if len(job.gpus) == 1 else []


def _read_s(values: Sequence[float], cell_s: float) -> float:
    """Return the length of a series that was read, in seconds; 0 if it is too short to compare."""
    cells = sum(v == v for v in values)
    return cells * cell_s if cells >= MIN_CELLS else 0.0
