"""Metrics of jobs, by GPU: the number of GPUs is bounded, that of jobs is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from nvltop.export.metric_set import Labels, MetricSet, MetricSpec, ValueSpec
from nvltop.model import Activity, Maybe, Missing, Rank, StepPeriod, known

JobOnGpu: TypeAlias = "tuple[Activity, Rank]"
"""A job, and one GPU of it."""


def _step(get: Callable[[StepPeriod], Maybe[float]]) -> Callable[[JobOnGpu], Maybe[float]]:
    def value(of: JobOnGpu) -> Maybe[float]:
        step = of[0].step
        return step if isinstance(step, Missing) else get(step)

    return value


JOB_VALUES: Final[tuple[ValueSpec[JobOnGpu], ...]] = (
    ValueSpec(
        MetricSpec("job_step_seconds", "Step of the job that the GPU works on: the period of its traffic."),
        _step(lambda step: step.period_s),
    ),
    ValueSpec(
        MetricSpec(
            "job_step_drift_ratio", "Change of the step against the minutes before; 0.02 is 2 % slower."
        ),
        _step(lambda step: step.drift),
    ),
    ValueSpec(
        MetricSpec("job_silent_seconds", "Time since the job's last NVLink traffic."),
        _step(lambda step: step.silent_s),
    ),
    ValueSpec(
        MetricSpec(
            "job_intensity_ratio",
            "Mean rate of the most used links while they carry traffic over what NCCL reaches on them.",
        ),
        lambda of: of[0].intensity,
    ),
    ValueSpec(
        MetricSpec("job_communication_ratio", "Share of the time in which this GPU has NVLink traffic."),
        lambda of: of[1].communication,
    ),
    ValueSpec(
        MetricSpec("job_late_seconds", "How long after the other GPUs' traffic this GPU's traffic starts."),
        lambda of: of[1].late_s,
    ),
)
STRAGGLER: Final = MetricSpec("job_straggler", "Always 1: the others of the job wait for this GPU.")
LIMIT: Final = MetricSpec(
    "job_limit",
    "Always 1; `limit` is what bounds the job first: nvlink, pcie, nic, heat, power, rank, host or none.",
)


AT_LIMIT: Final = MetricSpec(
    "nvlink_at_limit_seconds",
    "Time in which the busier direction of the GPU's most used links carried 85 % or more of what NCCL"
    " reaches (74 % on Hopper and 64 % on Blackwell with NVSwitches, where NVLS ends), since the start.",
    "counter",
)


def add_at_limit(metrics: MetricSet, seconds: Mapping[str, float], labels_of: Mapping[str, Labels]) -> None:
    """Add for each GPU how long its links were at the limit, in seconds since the start."""
    for uuid, labels in labels_of.items():
        if uuid in seconds:
            metrics.add(AT_LIMIT, labels, round(seconds[uuid], 3))


def add_activity(metrics: MetricSet, activity: tuple[Activity, ...], labels_of: Mapping[str, Labels]) -> None:
    """Add the metrics of the job of each GPU; if several jobs share a GPU, of the first."""
    seen: set[str] = set()
    for job in activity:
        for rank in job.ranks:
            labels = labels_of.get(rank.gpu)
            if labels is None or rank.gpu in seen:
                continue
            seen.add(rank.gpu)
            # A value that the analysis does not have is absent, but does not count as unreadable.
            metrics.add_values([v for v in JOB_VALUES if known(v.of((job, rank)))], (job, rank), labels)
            if job.straggler and job.straggler.gpu == rank.gpu:
                metrics.add(STRAGGLER, labels)
            if known(job.limit):
                metrics.add(LIMIT, {**labels, "limit": job.limit})
