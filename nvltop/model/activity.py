"""What a job is doing, as far as the counters of its GPUs carry it."""

from __future__ import annotations

from dataclasses import dataclass

from nvltop.model.missing import NOT_READ, Maybe


@dataclass(frozen=True, slots=True)
class StepPeriod:
    """The step period of a job, derived from its traffic."""

    period_s: float
    confidence: str
    """`certain`, `likely`, `possible`."""
    drift: Maybe[float] = NOT_READ
    """Change of the period against the minutes before, over the period: 0.02 is two percent slower."""
    silent_s: float = 0.0
    """Seconds since the last traffic; at most one period while the job continues."""
    stopped_after_s: float = 0.0
    """Silence after which the job has stopped, derived from its period and its previous pauses."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One GPU of a job over the last minute."""

    gpu: str
    """UUID."""
    moved_bytes_per_s: Maybe[float] = NOT_READ
    """Mean of the busier direction."""
    communication: Maybe[float] = NOT_READ
    """Share of the time with traffic, 0…1."""
    power_w: Maybe[float] = NOT_READ
    """Mean, as the next two."""
    util_percent: Maybe[float] = NOT_READ
    sm_clock_mhz: Maybe[float] = NOT_READ
    late_s: Maybe[float] = NOT_READ
    """By how much its traffic comes after that of the others."""


@dataclass(frozen=True, slots=True)
class Straggler:
    """The GPU that the others of a job wait for."""

    gpu: str
    """UUID."""
    signs: tuple[str, ...]
    """What it does otherwise than the others, in words."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Whether a job computes while its NVLinks are busy."""

    unit: str
    """What was compared: `tensor cores`, `SMs` or `power`."""
    busy: float
    """Activity of that unit while the links are busy, 0…1 (of `power`: share of the limit)."""
    otherwise: float
    """The same while they are not."""
    exposed: float
    """Share of the communication that no computation hides, 0…1."""
    confidence: str = "likely"
    """`likely` from GPM, `possible` from power."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing that bounds a job, and how that is known."""

    kind: str
    """`heat`, `power`, `rank`, `nic`, `pcie`, `nvlink` or `host`."""
    share: Maybe[float]
    """Share of the time in which it does (`pcie`, `nic`: of what the link can carry), 0…1."""
    evidence: str
    """A clause such as `PCIe of GPU 3 carries 57 of 63 GB/s`."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether NVLink limits one job. Every place that answers the question uses these numbers.

    Rates and shares are of the busier direction of the most used links; `NCCL max` is the rate that NCCL
    reaches on them. Defined in nvltop/analysis/activity/README.md.
    """

    job: str | None
    """Key of the job; None where its processes are not known."""
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    state: str
    """`limits`, `limits-part`, `may-limit`, `hidden`, `below`, `light`, `unclear`, `silent`, `no-traffic`,
    `idle` or `unknown`."""
    why: str = ""
    """Why the state is `unknown` or `unclear`."""
    window_s: float = 0.0
    """The shares are of so many seconds."""
    step_s: float | None = None
    """The job's step; the window then holds a whole number of steps, if it holds one at all."""
    busy: Maybe[float] = NOT_READ
    """Share of the time with traffic."""
    at_limit: Maybe[float] = NOT_READ
    """Share of the time at or near the limit, at least."""
    at_limit_most: Maybe[float] = NOT_READ
    """And at most: bursts shorter than a reading may have been at the limit."""
    level: Maybe[float] = NOT_READ
    """Rate while there is traffic, over NCCL max."""
    mean: Maybe[float] = NOT_READ
    """Mean rate over NCCL max."""
    nvls: bool = False
    """The rate is what an NVLS all-reduce reaches, and below what a ring reaches."""
    nvls_capable: bool = False
    """The board can do NVLS all-reduces."""
    gpu: str | None = None
    """UUID of the GPU that is at its limit for longer than the others; None where all are alike."""
    remote: str | None = None
    """UUID of the GPU that its most used links lead to, on boards without NVSwitches."""
    direction: str = "both"
    """`tx` or `rx` where only one carries much."""
    overlap: Maybe[Overlap] = NOT_READ
    reached_bytes_per_s: Maybe[float] = NOT_READ
    """Of one GPU and direction while there is traffic."""
    practical_bytes_per_s: Maybe[float] = NOT_READ
    """What NCCL reaches on the same links."""
    silent_s: float = 0.0
    """Seconds since the last traffic."""
    over_pcie: int = 0
    """GPUs that use PCIe for 20 % of what it can carry, or more, over the last seconds."""
    limits: tuple[Limit, ...] = ()
    """Everything that is seen to bound the job, the first first."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What the GPUs of one job do together."""

    job: str | None
    """Key of the job; None where its processes are not known."""
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    step: Maybe[StepPeriod] = NOT_READ
    communication: Maybe[float] = NOT_READ
    """Share of the time with NVLink traffic, 0…1: the median of its GPUs."""
    intensity: Maybe[float] = NOT_READ
    """Rate while there is traffic, over what NCCL reaches on this generation."""
    limit: Maybe[str] = NOT_READ
    """What bounds the job: `heat`, `power`, `rank` (see `straggler`), `nic`, `pcie` or `nvlink`; `none` if
    nothing that is seen does."""
    ranks: tuple[Rank, ...] = ()
    straggler: Straggler | None = None
    limits: tuple[Limit, ...] = ()
    """Everything that is seen to bound the job, with evidence; `limit` is the first."""
