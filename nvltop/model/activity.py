"""What a job is doing, as far as the counters of its GPUs carry it."""

from __future__ import annotations

from dataclasses import dataclass

from nvltop.model.missing import NOT_READ, Maybe


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The step of a job, as a period of its traffic."""

    period_s: float
    confidence: str
    """`certain`, `likely`, `possible`."""
    drift: Maybe[float] = NOT_READ
    """Change of the period against the minutes before, over the period: 0.02 is two percent slower."""
    silent_s: float = 0.0
    """Seconds since the last traffic; no more than a period while it beats."""
    stopped_after_s: float = 0.0
    """A silence that is longer is more than a pause, by what was seen of its pauses so far."""


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
class Activity:
    """What the GPUs of one job do together."""

    job: str | None
    """Key of the job; None where its processes are not known."""
    gpus: tuple[str, ...]
    """UUIDs, in the order of the node."""
    heartbeat: Maybe[Heartbeat] = NOT_READ
    communication: Maybe[float] = NOT_READ
    """Share of the time with NVLink traffic, 0…1: the median of its GPUs."""
    intensity: Maybe[float] = NOT_READ
    """Rate while there is traffic, over what NCCL reaches on this generation."""
    limit: Maybe[str] = NOT_READ
    """What bounds the job: `heat`, `power`, `rank` (see `straggler`), `nic`, `pcie` or `nvlink`; `none` if
    nothing that is seen does."""
    ranks: tuple[Rank, ...] = ()
    straggler: Straggler | None = None
