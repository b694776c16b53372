"""Which processes belong together, and what NVLink does for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.model import GpuFrame, Job, Matrix, Maybe, Missing, Process, Processes, known

LAUNCHERS: Final = {
    "torchrun": "torchrun",
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
    "mpirun": "mpirun",
    "mpiexec": "mpirun",
    "mpiexec.hydra": "mpirun",
    "orterun": "mpirun",
    "prterun": "mpirun",
    "orted": "mpirun",
    "prted": "mpirun",
    "hydra_pmi_proxy": "mpirun",
    "srun": "srun",
    "slurmstepd": "srun",
    "accelerate": "accelerate",
    "deepspeed": "deepspeed",
}
"""Names of programs that start the ranks of a job, and what the job is called after them."""
SEVERAL: Final = Missing("several users")


def jobs(processes: Maybe[Processes], gpus: Sequence[GpuFrame], matrix: Matrix) -> tuple[Job, ...]:
    """Return the jobs, the one with most GPUs first."""
    if isinstance(processes, Missing):
        return ()
    groups: dict[tuple[str, str], list[Process]] = {}
    on_gpu = {p.pid for p in processes.processes}
    for process in processes.processes:
        groups.setdefault(_group(process, on_gpu), []).append(process)
    sharers: dict[str, set[tuple[str, str]]] = {}
    for key, members in groups.items():
        for member in members:
            for use in member.uses:
                sharers.setdefault(use.gpu, set()).add(key)
    # Whoever is unseen may be on any GPU.
    all_seen = not processes.hidden and known(processes.unread)
    frames = {g.gpu.uuid: g for g in gpus}
    found = [_job(key, members, sharers, frames, matrix, all_seen) for key, members in groups.items()]
    return tuple(sorted(found, key=lambda job: (-len(job.gpus), job.key)))


class Jobs:
    """The jobs of one moment after the other: put together only when processes or links have changed."""

    def __init__(self) -> None:
        self._of: tuple[object, ...] = ()
        self._jobs: tuple[Job, ...] = ()

    def at(self, processes: Maybe[Processes], gpus: Sequence[GpuFrame], matrix: Matrix) -> tuple[Job, ...]:
        """Return the jobs with the traffic of this moment."""
        of = (processes, matrix.cells, *(g.gpu.uuid for g in gpus))
        if len(of) != len(self._of) or any(a is not b and a != b for a, b in zip(of, self._of, strict=True)):
            self._of, self._jobs = of, jobs(processes, gpus, matrix)
            return self._jobs
        frames = {g.gpu.uuid: g.nvlink for g in gpus}
        rates: dict[tuple[str, ...], tuple[Maybe[float], Maybe[float]]] = {}
        for used in {job.gpus for job in self._jobs}:
            rates[used] = (
                _sum([frames[uuid].tx_bytes_per_s for uuid in used]),
                _sum([frames[uuid].rx_bytes_per_s for uuid in used]),
            )
        self._jobs = tuple(
            replace(job, tx_bytes_per_s=rates[job.gpus][0], rx_bytes_per_s=rates[job.gpus][1])
            for job in self._jobs
        )
        return self._jobs


def _group(process: Process, on_gpu: set[int]) -> tuple[str, str]:
    """Return kind and id of the job a process belongs to."""
    if process.group_kind in ("slurm", "kubernetes"):
        return process.group_kind, process.group_id
    # The outermost launcher: mpirun may start torchrun, not the other way round.
    for ancestor in reversed(process.ancestors):
        kind = LAUNCHERS.get(ancestor.name)
        if kind:
            return kind, str(ancestor.pid)
    if process.group_kind:
        return process.group_kind, process.group_id
    root = next((a.pid for a in reversed(process.ancestors) if a.pid in on_gpu), process.pid)
    return "process", str(root)


def _job(
    key: tuple[str, str],
    members: Sequence[Process],
    sharers: Mapping[str, set[tuple[str, str]]],
    frames: Mapping[str, GpuFrame],
    matrix: Matrix,
    all_seen: bool,
) -> Job:
    kind, number = key
    used = {use.gpu for member in members for use in member.uses}
    gpus = tuple(uuid for uuid in frames if uuid in used)
    exclusive = tuple(all_seen and len(sharers[uuid]) == 1 for uuid in gpus)
    users = {member.user for member in members}
    name = next((m.executable for m in members if known(m.executable)), "")
    shown = number[:8] if kind == "kubernetes" else number
    return Job(
        key=f"{kind}:{number}",
        label=f"{name} {shown}".strip() if kind == "process" else f"{kind} {shown}",
        kind=kind,
        user=users.pop() if len(users) == 1 else SEVERAL,
        pids=tuple(member.pid for member in members),
        gpus=gpus,
        exclusive=exclusive,
        tx_bytes_per_s=_sum([frames[uuid].nvlink.tx_bytes_per_s for uuid in gpus]),
        rx_bytes_per_s=_sum([frames[uuid].nvlink.rx_bytes_per_s for uuid in gpus]),
        exact=all(exclusive),
        unlinked=_unlinked(gpus, tuple(frames), matrix),
    )


def _sum(rates: Sequence[Maybe[float]]) -> Maybe[float]:
    """Add up; one that is unread makes the sum unread."""
    total = 0.0
    for rate in rates:
        if isinstance(rate, Missing):
            return rate
        total += rate
    return total


def _unlinked(
    gpus: Sequence[str], order: Sequence[str], matrix: Matrix
) -> Maybe[tuple[tuple[str, str], ...]]:
    """Return the pairs of GPUs that the matrix joins by anything but NVLink; missing if a cell is unread."""
    place = {uuid: i for i, uuid in enumerate(order)}
    pairs = []
    for i, a in enumerate(gpus):
        for b in gpus[i + 1 :]:
            cells = matrix.cells
            cell = cells[place[a]][place[b]] if len(matrix.p2p_nvlink) == len(order) else "?"
            if cell == "?":
                return Missing("how its GPUs are joined could not be read")
            if not cell.startswith("NV"):
                pairs.append((a, b))
    return tuple(pairs)
