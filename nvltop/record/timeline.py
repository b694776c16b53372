"""What happened when in a recording: its length, and marks at what one might want to jump to."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.model import Listening, Tick
from nvltop.record.chunks import Progress
from nvltop.record.format import RecordingError
from nvltop.record.marks import FindingMarker, Mark, Marker
from nvltop.record.reader import open_recording, time_of

MAX_MARKS: Final = 10_000
"""A recording with more going on keeps the first ones."""
OLD_LINE_S: Final = 60.0
"""Age in seconds of a log line when it was read, after which it belongs to the time before."""
RULES_S: Final = 1200.0
"""How much of a recording the rules look at when it is opened; the rest is marked as it is played."""


@dataclass(slots=True)
class Timeline:
    """Begin, end and marks of a recording."""

    start_s: float
    """CLOCK_MONOTONIC of the first `Tick`, in seconds: what stands before it may be old, as in a file
    that goes on where another ended."""
    end_s: float
    start_wall_s: float
    """Unix time of the same moment."""
    marks: list[Mark] = field(default_factory=list)
    warning: str | None = None
    """Set if the file was cut off."""

    def add(self, mark: Mark) -> None:
        """Add a mark in its place, once."""
        if len(self.marks) < MAX_MARKS and mark not in self.marks:
            insort(self.marks, mark)

    def at_wall(self, wall_s: float) -> float:
        """Return the CLOCK_MONOTONIC that belongs to a Unix time."""
        return self.start_s + wall_s - self.start_wall_s


def scan(path: str | Path, progress: Progress | None = None) -> Timeline:
    """Read a recording from end to end; raise `RecordingError` at what is no recording."""
    timeline: Timeline | None = None
    ticked = False
    marker, findings = Marker(), FindingMarker()
    rules: Monitor | None = Monitor()
    with open_recording(path, progress) as recording:
        for item in recording:
            now_s = time_of(item)
            if timeline is None:
                timeline = Timeline(now_s, now_s, item.wall_s)
            if isinstance(item, Tick) and not ticked:
                ticked = True
                timeline.start_s, timeline.start_wall_s = now_s, item.wall_s
            timeline.end_s = max(timeline.end_s, now_s)
            marks = marker.marks(item)
            if rules:
                rules.update(item)
                if isinstance(item, (Listening, Tick)):
                    marks += findings.marks(rules.findings, now_s)
                    rules = rules if now_s - timeline.start_s < RULES_S else None
            timeline.marks += marks[: max(0, MAX_MARKS - len(timeline.marks))]
        if timeline is None:
            raise RecordingError(f"{path}: holds nothing to replay")
        timeline.marks.sort()
        timeline.warning = recording.warning
    return timeline
