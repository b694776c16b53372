"""Processes that use GPUs, and their jobs."""

from __future__ import annotations

from nvltop.frozen import frozen
from nvltop.model.missing import NOT_READ, Maybe


@frozen
class GpuUse:
    """The use of one GPU by one process."""

    gpu: str
    """UUID."""
    kind: str
    """`compute`, `graphics` or `mps`, by the NVML list that contains the process."""
    memory_bytes: Maybe[int] = NOT_READ
    sm_percent: Maybe[float] = NOT_READ
    """Latest sample of `nvmlDeviceGetProcessUtilization`, 0 to 100."""


@frozen
class Ancestor:
    """A parent process, direct or indirect."""

    pid: int
    name: str
    interpreter: str = ""
    """Base name of the interpreter if `name` is that of a script; otherwise empty."""


@frozen
class Process:
    """One process with a context on at least one GPU."""

    pid: int
    uses: tuple[GpuUse, ...]
    executable: Maybe[str] = NOT_READ
    """Base name of the executable."""
    user: Maybe[str] = NOT_READ
    arguments: Maybe[str] = NOT_READ
    """Arguments without the executable, shell-quoted; truncated if long."""
    cpu_percent: Maybe[float] = NOT_READ
    """CPU use since the previous reading; 100 is one CPU."""
    memory_bytes: Maybe[int] = NOT_READ
    """Resident memory."""
    started_s: Maybe[float] = NOT_READ
    """Unix time of the start; together with `pid` it identifies the process, as pids are reused."""
    ancestors: tuple[Ancestor, ...] = ()
    """Ancestors that could be read, the parent first."""
    group_kind: str = ""
    """`slurm`, `lsf`, `pbs`, `htcondor`, `kubernetes` or `container` if the cgroup path names one of them,
    otherwise empty."""
    group_id: str = ""
    """Job number of the batch system (HTCondor: slot), UID of the pod, or start of the container id."""
    session: int = 0
    """Session id, the pid of the session's first process; 0 if it was not read."""
    start_ticks: Maybe[int] = NOT_READ
    """Start time in clock ticks since boot (field 22 of /proc/PID/stat); checked before a signal is sent."""


@frozen
class Processes:
    """All processes on the GPUs that were read, at one time."""

    processes: tuple[Process, ...] = ()
    hidden: int = 0
    """Number of processes that the driver lists and nvltop cannot see."""
    hidden_reason: str = ""
    unread: Maybe[bool] = False
    """`Missing` if the processes of a GPU could not be read."""


@frozen
class Job:
    """Processes that belong to one job."""

    key: str
    """Kind and number, such as `slurm:4711` or `torchrun:812`; constant while the job runs."""
    label: str
    kind: str
    """`slurm`, `lsf`, `pbs`, `htcondor`, `kubernetes`, `container`, `torchrun`, `mpirun`, `srun`, … or
    `process`."""
    user: Maybe[str]
    pids: tuple[int, ...]
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    exclusive: tuple[bool, ...]
    """For each of `gpus`: whether no other job and no hidden process uses that GPU."""
    tx_bytes_per_s: Maybe[float]
    """NVLink traffic of all its GPUs, averaged over `mean_over_s`; only that of the job if `exact`."""
    rx_bytes_per_s: Maybe[float]
    exact: bool
    unlinked: Maybe[tuple[tuple[str, str], ...]]
    """Pairs of its GPUs (UUIDs) that are not connected by NVLink."""
    mean_over_s: float = 0.0
    """Longest averaging window of its GPUs, seconds."""
    parts: tuple[str, ...] = ()
    """For each of `gpus`: the key of its process alone, if only common traffic makes the processes one job;
    empty for any other job."""
