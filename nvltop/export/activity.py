"""What is exported of what jobs do, by GPU: there are few of them, and jobs without end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from nvltop.export.metric_set import Labels, Metric, Sheet, Value
from nvltop.model import Activity, Heartbeat, Maybe, Missing, Rank, known

Of: TypeAlias = "tuple[Activity, Rank]"
"""A job, and one GPU of it."""


def _beat(get: Callable[[Heartbeat], Maybe[float]]) -> Callable[[Of], Maybe[float]]:
    def value(of: Of) -> Maybe[float]:
        beat = of[0].heartbeat
        return beat if isinstance(beat, Missing) else get(beat)

    return value


VALUES: Final[tuple[Value[Of], ...]] = (
    Value(
        Metric("job_step_seconds", "Step of the job that the GPU works on: the period of its traffic."),
        _beat(lambda beat: beat.period_s),
    ),
    Value(
        Metric("job_step_drift_ratio", "Change of the step against the minutes before; 0.02 is 2 % slower."),
        _beat(lambda beat: beat.drift),
    ),
    Value(
        Metric("job_silent_seconds", "Time since the job's last NVLink traffic."),
        _beat(lambda beat: beat.silent_s),
    ),
    Value(
        Metric("job_intensity_ratio", "Rate while there is traffic over what NCCL reaches in practice."),
        lambda of: of[0].intensity,
    ),
    Value(
        Metric("job_communication_ratio", "Share of the time in which this GPU has NVLink traffic."),
        lambda of: of[1].communication,
    ),
    Value(
        Metric("job_late_seconds", "By how much this GPU's traffic comes after that of the others."),
        lambda of: of[1].late_s,
    ),
)
STRAGGLER: Final = Metric("job_straggler", "Always 1: the others of the job wait for this GPU.")
LIMIT: Final = Metric(
    "job_limit",
    "Always 1; `limit` is what bounds the job first: nvlink, pcie, nic, heat, power, rank, host or none.",
)


AT_LIMIT: Final = Metric(
    "nvlink_at_limit_seconds",
    "Time in which the busier direction of the GPU's most used links carried 85 % or more of what NCCL"
    " reaches (74 % on Hopper and 64 % on Blackwell with NVSwitches, where NVLS ends), since the start.",
    "counter",
)


def add_at_limit(sheet: Sheet, seconds: Mapping[str, float], labels_of: Mapping[str, Labels]) -> None:
    """Add the seconds at the limit of each GPU."""
    for uuid, labels in labels_of.items():
        if uuid in seconds:
            sheet.add(AT_LIMIT, labels, round(seconds[uuid], 3))


def add_activity(sheet: Sheet, activity: tuple[Activity, ...], labels_of: Mapping[str, Labels]) -> None:
    """Add what is known of the job of each GPU; of several jobs on one GPU, the first."""
    told: set[str] = set()
    for job in activity:
        for rank in job.ranks:
            labels = labels_of.get(rank.gpu)
            if labels is None or rank.gpu in told:
                continue
            told.add(rank.gpu)
            # What the analysis does not say is no value that could not be read.
            sheet.add_values([v for v in VALUES if known(v.of((job, rank)))], (job, rank), labels)
            if job.straggler and job.straggler.gpu == rank.gpu:
                sheet.add(STRAGGLER, labels)
            if known(job.limit):
                sheet.add(LIMIT, {**labels, "limit": job.limit})
