"""Phrases about the activity of a job, for the screen and reports."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.job_rates import reached_rate
from nvltop.analysis.verdict import ACTIVE_STATES
from nvltop.analysis.verdict_text import of_nccl_max, percent
from nvltop.formatting import age, duration, in_seconds
from nvltop.model import Activity, Frame, Judgement, StepPeriod, known
from nvltop.report.findings import where

SEPARATOR: Final = ", "
MIN_DRIFT: Final = 0.02
"""Relative change of the step period from which it is reported."""
STEP_VISIBLE_S: Final = 60.0
"""Seconds in which the step of most jobs is found, which takes three steps and at least 20 s."""
STATE_PHRASES: Final = {
    "limits": "NVLink limits it",
    "limits-part": "NVLink limits it in part",
    "may-limit": "NVLink may limit it",
    "hidden": "computing hides the traffic",
}
LIMIT_PHRASES: Final = {
    "pcie": "PCIe limits it",
    "nic": "the network limits it",
    "heat": "slowed by heat",
    "power": "slowed by the power limit",
    "host": "its GPUs idle together",
}


def activity_of_gpu(frame: Frame, uuid: str) -> Activity | None:
    """Return the activity of the job on a GPU; None unless exactly one is known."""
    found = [a for a in frame.activity if uuid in a.gpus]
    return found[0] if len(found) == 1 else None


def judgement_of(frame: Frame, activity: Activity) -> Judgement | None:
    """Return the judgement of the job of an activity; None if there is none."""
    return next((j for j in frame.judgements if (j.job, j.gpus) == (activity.job, activity.gpus)), None)


def watched_phrase(frame: Frame) -> str:
    """Return `watched 1 s; use --for 60 to see the step of the job`; empty without a job."""
    found = frame.verdict
    if found.judgement is None or not found.watched_s:
        return ""
    text = f"watched {duration(found.watched_s)}"
    judged = found.judgement
    # The step of a job is known before its shares are those of whole steps.
    unknown = judged.step_s is None and not any(known(a.step) for a in frame.activity)
    if judged.state in ACTIVE_STATES and unknown and found.watched_s < STEP_VISIBLE_S:
        text += f"; use --for {STEP_VISIBLE_S:.0f} to see the step of the job"
    return text


def describe(frame: Frame, activity: Activity) -> str:
    """Return `step 2 s, moves data 61% of the time at 96% of NCCL max`; empty if nothing is known."""
    step, found = activity.step, judgement_of(frame, activity)
    parts = [_step(step, found)] if known(step) else []
    if found and found.state == "silent" and not known(step):
        parts.append(f"no NVLink traffic for {age(found.silent_s)}")
    if found and known(found.busy) and found.state not in ("no-traffic", "idle"):
        moves = "moved" if found.state == "silent" else "moves"
        text = f"{moves} data {percent(found.busy)} of the time"
        if known(found.level) and found.busy:
            text += f" at {of_nccl_max(found, found.level)}"
        parts.append(text)
    if found and found.state in STATE_PHRASES:
        parts.append(STATE_PHRASES[found.state])
    if activity.straggler:
        parts.append(f"waits for {where(frame, activity.straggler.gpu)}")
    parts += _limits(activity, found)
    if found and (rates := reached_rate(found)) and found.state not in ("silent", "no-traffic", "idle"):
        parts.append(rates)
    return SEPARATOR.join(parts)


def summarize_parts(frame: Frame, activity: Activity) -> list[str]:
    """Return the activity of a job in short parts, the most important first: `step 2 s`, `61% comm at …`."""
    step, found = activity.step, judgement_of(frame, activity)
    parts = [_step(step, found)] if known(step) else []
    if found and found.state == "silent":
        return parts or [f"no NVLink traffic for {age(found.silent_s)}"]
    if found and known(found.busy) and found.busy and found.state not in ("no-traffic", "idle"):
        level = f" at {of_nccl_max(found, found.level)}" if known(found.level) else ""
        parts.append(f"{percent(found.busy)} comm{level}")
    if activity.straggler:
        parts.append(f"waits for {where(frame, activity.straggler.gpu)}")
    if found and found.state in STATE_PHRASES:
        parts.append(STATE_PHRASES[found.state])
    parts += _limits(activity, found)
    if found and (rates := reached_rate(found)) and found.state not in ("no-traffic", "idle"):
        parts.append(rates)
    return parts


def _limits(activity: Activity, found: Judgement | None) -> list[str]:
    """Return what else limits the job: `the network limits it as well` where NVLink does too."""
    as_well = " as well" if found and found.state in ("limits", "limits-part") else ""
    kinds = dict.fromkeys(limit.kind for limit in activity.limits)
    phrases = [LIMIT_PHRASES[kind] for kind in kinds if kind in LIMIT_PHRASES]
    return [f"{text}{as_well}" if text.endswith(" limits it") else text for text in phrases]


def describe_briefly(frame: Frame, activity: Activity) -> str:
    """Return `step 2 s, 61% of it with traffic`; empty if no step was found."""
    step, found = activity.step, judgement_of(frame, activity)
    if not known(step):
        return ""
    if found and found.state == "silent":
        return _step(step, found)
    share = found.busy if found else activity.communication
    return _step(step, found) + (f", {percent(share)} of it with traffic" if known(share) else "")


def _step(step: StepPeriod, found: Judgement | None) -> str:
    if found and found.state == "silent":
        return f"no NVLink traffic for {age(found.silent_s)} (step was {in_seconds(step.period_s)})"
    doubt = " (possible)" if step.confidence == "possible" else ""
    text = f"step {in_seconds(step.period_s)}{doubt}"
    if known(step.drift) and abs(step.drift) >= MIN_DRIFT:
        text += f" ({step.drift:+.0%} against the minutes before)"
    if step.silent_s > 2 * step.period_s:
        text += f", silent for {age(step.silent_s)}"
    return text
