"""What a job is doing in words, for every place that shows or writes it."""

from __future__ import annotations

from typing import Final

from nvltop.model import Activity, Frame, Heartbeat, known
from nvltop.report.findings import where
from nvltop.units import age

SEPARATOR: Final = ", "
DRIFTS: Final = 0.02
"""Change of the step from which it is told."""
LIMITS: Final = {
    "nvlink": "bound by NVLink",
    "pcie": "bound by PCIe",
    "nic": "bound by the network",
    "heat": "held back by heat",
    "power": "held back by the power limit",
}


def of_gpu(frame: Frame, uuid: str) -> Activity | None:
    """Return what the job on a GPU is doing; None if nothing is known of one, or it is not alone there."""
    found = [a for a in frame.activity if uuid in a.gpus]
    return found[0] if len(found) == 1 else None


def words(frame: Frame, activity: Activity) -> str:
    """`step 2 s, communicates 61% of the time at 96% of what NCCL reaches`; empty if nothing is known."""
    beat = activity.heartbeat
    parts = [_step(beat)] if known(beat) else []
    if known(activity.communication):
        text = f"communicates {activity.communication:.0%} of the time"
        if known(activity.intensity) and activity.communication:
            text += f" at {activity.intensity:.0%} of what NCCL reaches"
        parts.append(text)
    if activity.straggler:
        parts.append(f"waits for {where(frame, activity.straggler.gpu)}")
    elif known(activity.limit) and activity.limit in LIMITS:
        parts.append(LIMITS[activity.limit])
    return SEPARATOR.join(parts)


def brief(activity: Activity) -> str:
    """`step 2 s, 61% of it communication`; empty if no step was found."""
    beat = activity.heartbeat
    if not known(beat):
        return ""
    share = activity.communication
    return _step(beat) + (f", {share:.0%} of it communication" if known(share) else "")


def _step(beat: Heartbeat) -> str:
    doubt = " (possible)" if beat.confidence == "possible" else ""
    text = f"step {beat.period_s:.3g} s{doubt}"
    if known(beat.drift) and abs(beat.drift) >= DRIFTS:
        text += f" ({beat.drift:+.0%} against the minutes before)"
    if beat.silent_s > 2 * beat.period_s:
        text += f", silent for {age(beat.silent_s)}"
    return text
