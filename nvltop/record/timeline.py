"""The timeline of a recording: its length, and the marks to jump to."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import field
from pathlib import Path
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.frozen import mutable
from nvltop.model import Listening, Tick, time_of
from nvltop.record.chunks import Progress
from nvltop.record.format import Mark, RecordingError
from nvltop.record.index import Segment, find_segments
from nvltop.record.marks import FindingMarker, Marker
from nvltop.record.reader import open_recording

MAX_MARKS: Final = 10_000
"""A recording with more going on keeps the first ones."""
OLD_LINE_S: Final = 60.0
"""Age in seconds of a log line when it was read, after which it belongs to the time before."""
RULES_S: Final = 1200.0
"""How much of a recording the rules look at when it is opened; the rest is marked as it is played."""


@mutable
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
    segments: list[Segment] = field(default_factory=list)
    """The segments after the first one, of a long recording."""
    rules_s: float = RULES_S
    """Seconds from the start in which findings are marked."""

    def segment_before(self, mono_s: float) -> Segment | None:
        """Return the last segment that begins at or before a time; None for the first segment."""
        at = bisect_right(self.segments, mono_s, key=lambda segment: segment.mono_s)
        return self.segments[at - 1] if at else None

    def add(self, mark: Mark) -> None:
        """Add a mark in its place, once."""
        if len(self.marks) < MAX_MARKS and mark not in self.marks:
            insort(self.marks, mark)

    def at_wall(self, wall_s: float) -> float:
        """Return the CLOCK_MONOTONIC that belongs to a Unix time."""
        return self.start_s + wall_s - self.start_wall_s


def open_timeline(path: str | Path, progress: Progress | None = None) -> Timeline:
    """Return the timeline of a recording; only the index and the ends of a long one are read.

    Raises `RecordingError` if it is not a recording.
    """
    segments = find_segments(Path(path), progress)
    if not segments or segments[-1].mono_s - segments[0].mono_s < RULES_S:
        return scan(path, progress)
    with open_recording(path) as recording:
        tick = next((item for item in recording if isinstance(item, Tick)), None)
    if tick is None or tick.mono_s > segments[0].mono_s:
        return scan(path, progress)
    timeline = Timeline(tick.mono_s, segments[-1].mono_s, tick.wall_s, segments=segments, rules_s=0.0)
    marker = Marker()
    marks = [mark for segment in segments for mark in segment.marks]
    with open_recording(path, offset=segments[-1].offset) as recording:
        for item in recording:
            timeline.end_s = max(timeline.end_s, time_of(item))
            new = marker.marks(item)
            marks += [mark for mark in new if mark.mono_s > segments[-1].mono_s]
        timeline.warning = recording.warning
    timeline.marks = sorted(marks)[:MAX_MARKS]
    return timeline


def scan(path: str | Path, progress: Progress | None = None) -> Timeline:
    """Return the timeline of a recording that is read completely; raise `RecordingError` if it is not one."""
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
