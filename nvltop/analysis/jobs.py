"""Grouping of processes into jobs, with their NVLink traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.memo import Memo
from nvltop.model import GpuFrame, Job, Matrix, Maybe, Missing, Process, Processes, known, total

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
"""Programs that start the ranks of a job, and the kind of these jobs."""
STARTERS: Final = frozenset(
    {"bash", "sh", "dash", "zsh", "ksh", "fish", "tcsh", "csh", "busybox", "xonsh", "nu", "pwsh"}
    | {"make", "ninja", "xargs", "parallel", "snakemake", "watch", "script", "expect", "tsp"}
    | {"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit", "runsv", "s6-supervise"}
    | {"supervisord", "circusd", "pm2", "honcho", "slurmd", "pbs_mom", "sbatchd", "condor_startd", "kubelet"}
    | {"sshd", "login", "tmux", "tmux: server", "screen", "cron", "crond", "atd", "conmon", "ray"}
    | {"containerd-shim", "containerd-shim-runc-v2", "code-server", "node", "jupyter-lab", "jupyter-notebook"}
    | {"jupyterhub-singleuser", "jupyter-server", "jupyter"}
)
"""Programs that start unrelated commands: two children need not belong to one job."""
WRAPPERS: Final = frozenset(
    {"sudo", "su", "env", "nohup", "setsid", "timeout", "time", "nice", "ionice", "chrt", "taskset"}
    | {"numactl", "numawrap", "stdbuf", "nsys", "ncu", "strace", "gdb", "catchsegv", "raylet"}
    | {"conda", "mamba", "micromamba", "uv", "poetry", "pixi", "pdm", "hatch", "pipenv"}
)
"""Programs that run one command for their caller and do not make a job by themselves. Ray's `raylet` starts
the workers of all jobs of a node, but is a child of the program that called `ray.init()`, if there is one."""
GROUPING_PROGRAMS: Final = STARTERS | WRAPPERS | frozenset(LAUNCHERS)
"""All programs on which the grouping depends."""
BATCH_KINDS: Final = ("slurm", "lsf", "pbs", "htcondor", "kubernetes")
"""Kinds of cgroups that are one job each; a container may contain several jobs."""
SEVERAL_USERS: Final = Missing("several users")
NO_PARTNERS: Final[Mapping[str, str]] = {}


def group_jobs(
    processes: Maybe[Processes],
    gpus: Sequence[GpuFrame],
    matrix: Matrix,
    partners: Mapping[str, str] = NO_PARTNERS,
) -> tuple[Job, ...]:
    """Return the jobs, those with the most GPUs first.

    `partners` maps the key of a single process to the key of the job that it belongs to by its traffic.
    """
    if isinstance(processes, Missing):
        return ()
    groups: dict[tuple[str, str], list[Process]] = {}
    on_gpu = {p.pid: p for p in processes.processes}
    parts: dict[tuple[str, str], dict[str, str]] = {}
    for process in processes.processes:
        kind, number = _group(process, on_gpu)
        own = f"{kind}:{number}"
        joined = partners.get(own)
        if joined:
            number = joined.partition(":")[2]
            parts.setdefault((kind, number), {}).update(dict.fromkeys((u.gpu for u in process.uses), own))
        groups.setdefault((kind, number), []).append(process)
    sharers: dict[str, set[tuple[str, str]]] = {}
    for key, members in groups.items():
        for member in members:
            for use in member.uses:
                sharers.setdefault(use.gpu, set()).add(key)
    # A hidden process may use any GPU.
    all_seen = not processes.hidden and known(processes.unread)
    frames = {g.gpu.uuid: g for g in gpus}
    found = [
        _job(key, members, sharers, frames, matrix, all_seen, parts.get(key, {}))
        for key, members in groups.items()
    ]
    return tuple(sorted(found, key=lambda job: (-len(job.gpus), job.key)))


def partners_of(found: Sequence[Job]) -> dict[str, str]:
    """Return the `partners` argument that results in these jobs."""
    return {part: job.key for job in found for part in job.parts if part}


class JobTracker:
    """The jobs of successive frames, grouped again only when processes or links have changed."""

    def __init__(self) -> None:
        self._grouped: Memo[tuple[Job, ...]] = Memo()

    def at(
        self,
        processes: Maybe[Processes],
        gpus: Sequence[GpuFrame],
        matrix: Matrix,
        partners: Mapping[str, str] = NO_PARTNERS,
    ) -> tuple[Job, ...]:
        """Return the jobs with their current traffic; for `partners`, see `group_jobs`."""
        key = processes, matrix.cells, dict(partners), tuple([g.gpu.uuid for g in gpus])
        jobs = self._grouped.get(key, lambda: group_jobs(processes, gpus, matrix, partners))
        frames = {g.gpu.uuid: g for g in gpus}
        traffic = {used: _traffic(used, frames) for used in {job.gpus for job in jobs}}
        return tuple(
            replace(job, tx_bytes_per_s=tx, rx_bytes_per_s=rx, mean_over_s=over_s)
            for job in jobs
            for tx, rx, over_s in (traffic[job.gpus],)
        )


def _traffic(gpus: Sequence[str], frames: Mapping[str, GpuFrame]) -> tuple[Maybe[float], Maybe[float], float]:
    """Return the sum of the mean TX and RX rates of GPUs, and their longest averaging window in seconds."""
    windows = [frames[uuid].mean_span_s for uuid in gpus]
    return (
        total([frames[uuid].nvlink.mean_tx_bytes_per_s for uuid in gpus]),
        total([frames[uuid].nvlink.mean_rx_bytes_per_s for uuid in gpus]),
        max((b - a for a, b in filter(None, windows)), default=0.0),
    )


def _group(process: Process, on_gpu: Mapping[int, Process]) -> tuple[str, str]:
    """Return the kind and the id of the job of a process."""
    if process.group_kind in BATCH_KINDS:
        return process.group_kind, process.group_id
    # The outermost launcher: mpirun may start torchrun, not the other way round.
    for ancestor in reversed(process.ancestors):
        kind = LAUNCHERS.get(ancestor.name)
        if kind:
            return kind, str(ancestor.pid)
    if process.group_kind:
        return process.group_kind, process.group_id
    outermost = next((on_gpu[a.pid] for a in reversed(process.ancestors) if a.pid in on_gpu), process)
    return "process", str(_program(outermost))


def _program(process: Process) -> int:
    """Return the pid of the program that a process is part of (multiprocessing, vLLM).

    It is the outermost ancestor in the same session without a shell or another starter of unrelated commands
    in between, or the process itself.
    """
    root = process.pid
    if process.session in (0, process.pid):
        return root
    for ancestor in process.ancestors:
        names = {ancestor.name, ancestor.interpreter}
        if names & STARTERS or (ancestor.pid == 1 != process.session):
            break
        if not names & WRAPPERS:
            root = ancestor.pid
        if ancestor.pid == process.session:
            break
    return root


def _job(
    key: tuple[str, str],
    members: Sequence[Process],
    sharers: Mapping[str, set[tuple[str, str]]],
    frames: Mapping[str, GpuFrame],
    matrix: Matrix,
    all_seen: bool,
    parts: Mapping[str, str],
) -> Job:
    kind, number = key
    used = {use.gpu for member in members for use in member.uses}
    gpus = tuple(uuid for uuid in frames if uuid in used)
    exclusive = tuple(all_seen and len(sharers[uuid]) == 1 for uuid in gpus)
    users = {member.user for member in members}
    shown = number[:8] if kind == "kubernetes" else number
    tx, rx, over_s = _traffic(gpus, frames)
    return Job(
        key=f"{kind}:{number}",
        label=f"{_name(int(number), members)} {shown}".strip() if kind == "process" else f"{kind} {shown}",
        kind=kind,
        user=users.pop() if len(users) == 1 else SEVERAL_USERS,
        pids=tuple(member.pid for member in members),
        gpus=gpus,
        exclusive=exclusive,
        tx_bytes_per_s=tx,
        rx_bytes_per_s=rx,
        exact=all(exclusive),
        mean_over_s=over_s,
        unlinked=_unlinked(gpus, tuple(frames), matrix),
        parts=tuple(parts.get(uuid, "") for uuid in gpus) if parts else (),
    )


def _name(root: int, members: Sequence[Process]) -> str:
    """Return the name of the program that a job is labelled with."""
    names = {a.pid: a.name for m in members for a in m.ancestors}
    names |= {m.pid: m.executable for m in members if known(m.executable)}
    return names.get(root) or next((m.executable for m in members if known(m.executable)), "")


def _unlinked(
    gpus: Sequence[str], order: Sequence[str], matrix: Matrix
) -> Maybe[tuple[tuple[str, str], ...]]:
    """Return the pairs of GPUs that are not connected by NVLink; missing if a pair is unknown."""
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
