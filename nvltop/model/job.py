"""Processes that use GPUs, and the jobs they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from nvltop.model.missing import NOT_READ, Maybe


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What one process has on one GPU."""

    gpu: str
    """UUID."""
    kind: str
    """`compute`, `graphics` or `mps`, after NVML's list that the process stands in."""
    memory_bytes: Maybe[int] = NOT_READ
    sm_percent: Maybe[float] = NOT_READ
    """Newest sample of `nvmlDeviceGetProcessUtilization`, 0…100."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A process that started another, directly or not."""

    pid: int
    name: str
    interpreter: str = ""
    """Base name of the program that runs it where `name` is that of a script; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process with a context on at least one GPU."""

    pid: int
    uses: tuple[GpuUse, ...]
    executable: Maybe[str] = NOT_READ
    """Base name."""
    user: Maybe[str] = NOT_READ
    arguments: Maybe[str] = NOT_READ
    """All but the executable, quoted as a shell has them; cut off where they are long."""
    cpu_percent: Maybe[float] = NOT_READ
    """Of one CPU, since the reading before."""
    memory_bytes: Maybe[int] = NOT_READ
    """Resident."""
    started_s: Maybe[float] = NOT_READ
    """Unix time; with `pid` it names the process for good, which the pid alone does not."""
    ancestors: tuple[Ancestor, ...] = ()
    """Parent first, as far up as could be seen."""
    group_kind: str = ""
    """`slurm`, `lsf`, `pbs`, `htcondor`, `kubernetes` or `container` where the cgroup path names one of
    them, else empty."""
    group_id: str = ""
    """The batch system's job number (of HTCondor the slot), the pod's UID or the start of the container's
    id."""
    session: int = 0
    """Session id, which is the pid of the session's first process; 0 if it was not read."""
    start_ticks: Maybe[int] = NOT_READ
    """Field 22 of /proc/PID/stat (clock ticks since boot): what a signal is sent by, with `pid`."""


@dataclass(frozen=True, slots=True)
class Processes:
    """All processes on the GPUs that were read, at one moment."""

    processes: tuple[Process, ...] = ()
    hidden: int = 0
    """Processes that the driver lists and that we cannot see."""
    hidden_reason: str = ""
    unread: Maybe[bool] = False
    """`Missing` if a GPU did not tell its processes."""


@dataclass(frozen=True, slots=True)
class Job:
    """Processes that belong together."""

    key: str
    """Kind and number, such as `slurm:4711` or `torchrun:812`; the same as long as the job runs."""
    label: str
    kind: str
    """`slurm`, `lsf`, `pbs`, `htcondor`, `kubernetes`, `container`, `torchrun`, `mpirun`, `srun`, … or
    `process`."""
    user: Maybe[str]
    pids: tuple[int, ...]
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    exclusive: tuple[bool, ...]
    """By entry of `gpus`: whether no other job, nor a process unseen, is on that GPU."""
    tx_bytes_per_s: Maybe[float]
    """NVLink traffic of its GPUs together, as a mean over `mean_over_s`; the job's own only if `exact`."""
    rx_bytes_per_s: Maybe[float]
    exact: bool
    unlinked: Maybe[tuple[tuple[str, str], ...]]
    """Pairs of its GPUs (UUIDs) without NVLink between them."""
    mean_over_s: float = 0.0
    """Longest window of its GPUs' means, seconds."""
    parts: tuple[str, ...] = ()
    """By entry of `gpus`: the key that each process would have alone, where only their traffic makes them
    one job; empty for any other job."""
