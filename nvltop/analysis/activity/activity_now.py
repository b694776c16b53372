"""The activity of a job at this moment: that of its last analysis, with what is known since then."""

from __future__ import annotations

from dataclasses import replace

from nvltop.analysis.activity.other_limits import OtherLimits, first_limit
from nvltop.model import Activity, Judgement, Maybe, StepPeriod


def activity_now(
    analysed: Activity,
    gpus: tuple[str, ...],
    step: Maybe[StepPeriod],
    judged: Judgement,
    other_limits: OtherLimits,
) -> Activity:
    """Return the activity of a job that uses `gpus` now."""
    activity = _of_gpus(analysed, gpus)
    if judged.state != "unknown":
        activity = replace(activity, communication=judged.busy, intensity=judged.level)
    limit = first_limit(judged, other_limits)
    return replace(activity, step=step, limit=limit, limits=judged.limits)


def _of_gpus(activity: Activity, gpus: tuple[str, ...]) -> Activity:
    """Return the activity of a job that uses `gpus` now; it may have used others at the last analysis."""
    if activity.gpus == gpus:
        return activity
    ranks = tuple(rank for rank in activity.ranks if rank.gpu in gpus)
    straggler = activity.straggler if activity.straggler and activity.straggler.gpu in gpus else None
    return replace(activity, gpus=gpus, ranks=ranks, straggler=straggler)
