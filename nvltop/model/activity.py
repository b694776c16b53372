"""Activity of a job, derived from the counters of its GPUs."""

from __future__ import annotations

from nvltop.frozen import frozen
from nvltop.model.missing import NOT_READ, Maybe


@frozen
class StepPeriod:
    """The step period of a job, derived from its traffic."""

    period_s: float
    confidence: str
    """`certain`, `likely` or `possible`."""
    drift: Maybe[float] = NOT_READ
    """Relative change of the period against the previous minutes: 0.02 is 2 % slower."""
    silent_s: float = 0.0
    """Seconds since the last traffic; at most one period while the job continues."""
    stopped_after_s: float = 0.0
    """Silence after which the job has stopped, derived from its period and its previous pauses."""


@frozen
class Rank:
    """Averages of one GPU of a job over the last minute."""

    gpu: str
    """UUID."""
    moved_bytes_per_s: Maybe[float] = NOT_READ
    """Mean NVLink rate of the busier direction."""
    communication: Maybe[float] = NOT_READ
    """Share of the time with NVLink traffic, 0 to 1."""
    power_w: Maybe[float] = NOT_READ
    """Mean power."""
    util_percent: Maybe[float] = NOT_READ
    sm_clock_mhz: Maybe[float] = NOT_READ
    late_s: Maybe[float] = NOT_READ
    """Delay of its traffic behind that of the other GPUs."""


@frozen
class Straggler:
    """The GPU that the other GPUs of a job wait for."""

    gpu: str
    """UUID."""
    signs: tuple[str, ...]
    """Differences from the other GPUs, as phrases."""


@frozen
class Overlap:
    """Whether a job computes while its NVLinks are busy."""

    unit: str
    """Unit whose activity was compared: `tensor cores`, `SMs` or `power`."""
    busy: float
    """Activity of that unit while the links are busy, 0 to 1 (`power`: share of the power limit)."""
    otherwise: float
    """Activity of that unit while the links are not busy, 0 to 1."""
    exposed: float
    """Share of the communication that does not overlap with computation, 0 to 1."""
    confidence: str = "likely"
    """`likely` from GPM, `possible` from power."""


@frozen
class Limit:
    """One thing that limits a job, with its evidence."""

    kind: str
    """`heat`, `power`, `rank`, `nic`, `pcie`, `nvlink` or `host`."""
    share: Maybe[float]
    """Share of the time at the limit, 0 to 1; for `pcie` and `nic`, the share of the link's speed."""
    evidence: str
    """A clause such as `PCIe of GPU 3 carries 57 of 63 GB/s`."""


@frozen
class Judgement:
    """Whether NVLink limits one job. All outputs use these numbers.

    Rates and shares are of the busier direction of the most used links; `NCCL max` is the rate that NCCL
    reaches on them. Defined in nvltop/analysis/activity/README.md.
    """

    job: str | None
    """Key of the job; None if its processes are unknown."""
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    state: str
    """`limits`, `limits-part`, `may-limit`, `hidden`, `below`, `light`, `unclear`, `silent`, `no-traffic`,
    `idle` or `unknown`."""
    why: str = ""
    """Why the state is `unknown` or `unclear`."""
    window_s: float = 0.0
    """Length in seconds of the window that the shares refer to."""
    step_s: float | None = None
    """Step period of the job in seconds; a window longer than it is a multiple of it."""
    busy: Maybe[float] = NOT_READ
    """Share of the time with traffic, 0 to 1."""
    at_limit: Maybe[float] = NOT_READ
    """Lower bound of the share of the time at the limit, 0 to 1."""
    at_limit_most: Maybe[float] = NOT_READ
    """Upper bound of that share: bursts shorter than a reading may have been at the limit."""
    level: Maybe[float] = NOT_READ
    """Mean rate while there is traffic, over NCCL max: `reached_bytes_per_s / practical_bytes_per_s`."""
    mean: Maybe[float] = NOT_READ
    """Mean rate divided by NCCL max."""
    nvls: bool = False
    """Whether the rate is that of an NVLS all-reduce, which is below that of a ring."""
    nvls_capable: bool = False
    """Whether the board supports NVLS all-reduces."""
    gpu: str | None = None
    """UUID of the GPU that is at its limit longer than the others; None if all are similar."""
    remote: str | None = None
    """UUID of the peer of its most used links, on boards without NVSwitches."""
    direction: str = "both"
    """`tx` or `rx` if the GPUs only send or only receive, `one-way` if some do either, else `both`."""
    overlap: Maybe[Overlap] = NOT_READ
    links: str = "gpu"
    """What rates and shares refer to: `gpu` (all links of a GPU) or `pair` (its links to one other GPU)."""
    reached_bytes_per_s: Maybe[float] = NOT_READ
    """Mean rate of these links in the busier direction while there is traffic."""
    practical_bytes_per_s: Maybe[float] = NOT_READ
    """Rate that NCCL reaches on these links in one direction."""
    gpu_bytes_per_s: Maybe[float] = NOT_READ
    """Mean rate of all links of a GPU in the busier direction while there is traffic."""
    silent_s: float = 0.0
    """Seconds since the last traffic."""
    over_pcie: int = 0
    """Number of GPUs that used at least 20 % of the PCIe speed in the last seconds."""
    limits: tuple[Limit, ...] = ()
    """Everything that limits the job, the most important first."""


@frozen
class Activity:
    """Joint activity of the GPUs of one job."""

    job: str | None
    """Key of the job; None if its processes are unknown."""
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    step: Maybe[StepPeriod] = NOT_READ
    communication: Maybe[float] = NOT_READ
    """Share of the time with NVLink traffic, 0 to 1: the median of its GPUs."""
    intensity: Maybe[float] = NOT_READ
    """Mean rate of the most used links while there is traffic, over the rate that NCCL reaches on them."""
    limit: Maybe[str] = NOT_READ
    """What limits the job: `heat`, `power`, `rank` (see `straggler`), `nic`, `pcie` or `nvlink`; `none` if no
    limit is visible."""
    ranks: tuple[Rank, ...] = ()
    straggler: Straggler | None = None
    limits: tuple[Limit, ...] = ()
    """Everything that limits the job, with its evidence; `limit` is the first."""
