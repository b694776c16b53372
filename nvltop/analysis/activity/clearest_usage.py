"""The measurement that shows the bursts of each GPU of a job most clearly, while its traffic does not change.

Pure. Where bursts are hardly longer than readings, it depends on the phase between them how much of a burst
one reading shows. That phase drifts, so that a job that never changes is measured well, then badly, then well
again. What was measured well stays true while the job does the same.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Final

from nvltop.analysis.activity.link_usage import LinkUsage
from nvltop.frozen import mutable

MAX_MEAN_CHANGE: Final = 0.05
"""Relative change of the mean traffic above which the traffic has changed."""
RESOLVED_READINGS: Final = 4.0
"""Length of bursts from which every measurement shows them, in readings."""
FULL_READINGS: Final = 2.0
"""Length of bursts from which one of their readings is full in every phase, in readings."""
MIN_CONTRAST: Final = 0.72
"""Share of the contrast that such bursts keep in every phase: 0.75, less the error of the contrasts."""
MIN_EXCESS: Final = 0.2
"""Share of the difference of contrast and mean that they keep: 0.25 for a step of three readings, less the
error; traffic without pauses has no difference."""
MAX_RIPPLE: Final = 0.05
"""Difference of contrast and mean, over the contrast, that another phase may hide completely: it is 0.044 at
most for readings that alternate and all have 75 % of the contrast or more."""
FINER_READINGS: Final = 0.7
"""Ratio of the lengths of readings below which the shorter ones replace what the longer ones showed."""
MIN_SECONDS: Final = 30.0
"""Length of a window below which its measurement is not kept, seconds: few readings are alike by chance."""
MAX_KEPT_S: Final = 600.0
"""Time after which a measurement is replaced by a less clear one, seconds: bursts may have changed unseen."""
SAME_WIDTH: Final = 0.04
"""Difference in the distance of the bounds, and in the lower bound of the time at the limit of a ring, below
which two measurements are equally clear."""
SAME_CONTRAST: Final = 0.97
"""Ratio of the contrasts above which two measurements are equally clear."""


@mutable
class ClearestUsage:
    """The clearest measurements of the GPUs of one job."""

    outdated: bool = False
    """Whether the newest measurement of a GPU is less clear than the one that `update` returned."""
    resolved: bool = False
    """Whether the bursts of all GPUs last `RESOLVED_READINGS` or more, so that any measurement shows them."""
    _clearest: dict[str, LinkUsage] = field(default_factory=dict)
    """The clearest measurement by GPU: others are compared with it, so that the clearness does not drift."""
    _shown: dict[str, LinkUsage] = field(default_factory=dict)
    """The newest measurement that is as clear, by GPU."""
    _shown_s: dict[str, float] = field(default_factory=dict)
    """Time of that measurement, by GPU."""

    def update(self, usages: dict[str, LinkUsage], now_s: float) -> dict[str, LinkUsage]:
        """Return the newest clear measurement of each GPU, by UUID, with its mean as of now."""
        steady = all(
            now_s - self._shown_s.get(uuid, now_s) <= MAX_KEPT_S
            and (before := self._clearest.get(uuid)) is not None
            and _may_be_same(own, before)
            for uuid, own in usages.items()
        )
        self.outdated = False
        self.resolved = all(own.burst_readings >= RESOLVED_READINGS for own in usages.values())
        if not steady:
            self._clearest, self._shown = dict(usages), dict(usages)
            self._shown_s = dict.fromkeys(usages, now_s)
            return usages
        for uuid, own in usages.items():
            clearest = self._clearest[uuid]
            if _as_clear(own, clearest):
                self._shown[uuid], self._shown_s[uuid] = own, now_s
                # Not by one with more contrast and wider bounds: they would get wider each time.
                wider = own.at_limit_most - own.at_limit > clearest.at_limit_most - clearest.at_limit
                if not wider and not _as_clear(clearest, own):
                    self._clearest[uuid] = own
            else:
                self.outdated = True
        return {uuid: replace(self._shown[uuid], mean=own.mean) for uuid, own in usages.items()}


def _may_be_same(now: LinkUsage, before: LinkUsage) -> bool:
    """Return whether two measurements may be of the same traffic, in another phase."""
    if before.seconds < MIN_SECONDS or abs(now.mean - before.mean) > MAX_MEAN_CHANGE * before.mean:
        return False
    if now.reading_s < FINER_READINGS * before.reading_s:
        return False
    excess = before.contrast - before.mean
    return before.burst_readings < FULL_READINGS or (
        now.contrast >= MIN_CONTRAST * before.contrast
        and (now.contrast - now.mean >= MIN_EXCESS * excess or excess <= MAX_RIPPLE * before.contrast)
    )


def _as_clear(now: LinkUsage, before: LinkUsage) -> bool:
    """Return whether a measurement shows the traffic as clearly as one of the same traffic did before."""
    if before.burst_readings >= RESOLVED_READINGS:
        return True
    if now.burst_readings >= RESOLVED_READINGS:
        # Every reading now contains about as much of a burst, which looks like traffic without bursts.
        return False
    wider = (now.at_limit_most - now.at_limit) - (before.at_limit_most - before.at_limit)
    if abs(wider) > SAME_WIDTH:
        return wider < 0
    if abs(now.at_ring_limit - before.at_ring_limit) > SAME_WIDTH:
        return now.at_ring_limit > before.at_ring_limit
    # A reading is a mean: it may hide contrast, and never adds any.
    return now.contrast >= SAME_CONTRAST * before.contrast
