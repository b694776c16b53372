"""The state of one job between two evaluations, which decides when the job is measured again."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from nvltop.analysis.activity.clearest_usage import ClearestUsage
from nvltop.analysis.activity.overlap import NO_COMPUTE
from nvltop.frozen import mutable
from nvltop.model import Judgement, Maybe, Missing, Overlap, known

MAX_AGE_SHARE: Final = 0.1
"""Age of a measurement after which a job is measured again, as a share of the window."""
STEADY_AGE_SHARE: Final = 0.2
"""Age of a measurement after which a steady job is measured again, as a share of the window."""
ALIKE: Final = 0.01
"""Difference of shares up to which two measurements are alike."""
MIN_CHANGED_S: Final = 2.0
"""Age of a measurement after which a job whose traffic has changed is measured again, seconds."""
MIN_CHANGE: Final = 0.05
"""Difference from the mean traffic above which traffic has changed, as a share of the window's volume."""


@mutable
class JobState:
    """The state of one job between two evaluations; times are CLOCK_MONOTONIC."""

    silence_shares: dict[str, float] = field(default_factory=dict)
    """Share of NCCL max below which a GPU is silent, by UUID."""
    means: dict[str, float] = field(default_factory=dict)
    """Mean share of NCCL max as of the last measurement, by UUID."""
    moved_s: dict[str, float] = field(default_factory=dict)
    """Volume since the last measurement in seconds at NCCL max, by UUID."""
    active_s: float | None = None
    """Time of the last traffic."""
    scanned_s: float = float("-inf")
    """Time up to which traffic has been searched for activity."""
    restarted: bool = False
    """Whether the job continues with less traffic than before, and is treated as a new job."""
    began_s: float = float("-inf")
    """Start of the traffic after the last long silence."""
    measured_s: float = float("-inf")
    """Time of the last measurement."""
    overlap_s: float = float("-inf")
    """Time of the last measurement of the overlap."""
    longest_pause_s: float = 0.0
    """Length of the longest pause."""
    overlap: Maybe[Overlap] = NO_COMPUTE
    """Overlap as of the last measurement."""
    clearest: ClearestUsage = field(default_factory=ClearestUsage)
    busy: dict[str, Maybe[float]] = field(default_factory=dict)
    """Share of the time with traffic as of the last measurement, by UUID."""
    last: Judgement | None = None
    """Judgement as of the last traffic."""
    steady: bool = False
    """Whether the last two measurements were alike, with bursts long enough that this is not by chance."""

    def due(self, end_s: float, period_s: float | None) -> bool:
        """Return whether the job should be measured again, with the traffic up to `end_s`."""
        if self.last is None:
            return True
        age_s, window_s = end_s - self.measured_s, self.last.window_s
        # A step that was found or lost since then changes the window.
        steady = self.steady and (self.last.step_s is None) is (period_s is None)
        if age_s >= (STEADY_AGE_SHARE if steady else MAX_AGE_SHARE) * window_s:
            return True
        return age_s >= MIN_CHANGED_S and any(
            abs(self.moved_s[uuid] - mean * age_s) > MIN_CHANGE * mean * window_s
            for uuid, mean in self.means.items()
            if uuid in self.moved_s
        )


def alike(a: Judgement, b: Judgement) -> bool:
    """Return whether two judgements of a job have the same state, and shares within `ALIKE` of each other."""
    return a.state == b.state and all(
        x == y or (known(x) and known(y) and abs(x - y) <= ALIKE)
        for x, y in zip(_shares(a), _shares(b), strict=True)
    )


def _shares(j: Judgement) -> tuple[Maybe[float], ...]:
    exposed = j.overlap if isinstance(j.overlap, Missing) else j.overlap.exposed
    return j.busy, j.at_limit, j.at_limit_most, j.level, j.mean, exposed
