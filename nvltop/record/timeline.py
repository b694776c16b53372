"""What happened when in a recording: its length, and marks at what one might want to jump to."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.kernel_log.decode import decode
from nvltop.model import (
    Event,
    Finding,
    FindingKey,
    Inventory,
    Item,
    LinkErrors,
    LinkStates,
    Listening,
    LogLine,
    Reading,
    Severity,
    Tick,
    known,
)
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.stream import Progress

MAX_MARKS: Final = 10_000
"""A recording with more going on keeps the first ones."""
OLD_LINE_S: Final = 60.0
"""Age in seconds of a log line when it was read, after which it belongs to the time before."""
RULES_S: Final = 1200.0
"""How much of a recording the rules look at when it is opened; the rest is marked as it is played."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One moment worth a look."""

    mono_s: float
    """CLOCK_MONOTONIC of the recording."""
    kind: str
    """`event`, `errors`, `state`, `gpu`, `inventory` or `finding`."""
    gpu: str
    """UUID as in the recording, empty if it concerns the node."""
    text: str


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


def time_of(item: Item) -> float:
    """Return when an item was complete, in seconds of CLOCK_MONOTONIC."""
    return item.end_s if isinstance(item, Reading) else item.mono_s


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


class Marker:
    """Finds what is worth a mark in items, one by one."""

    def __init__(self) -> None:
        self._last: dict[tuple[str | None, str], Reading] = {}
        self._problems: dict[str | None, str] = {}
        self._inventory: Inventory | None = None

    def marks(self, item: Item) -> list[Mark]:
        """Return the marks that an item brings."""
        if isinstance(item, Reading):
            return self._of_reading(item)
        if isinstance(item, Event):
            return [Mark(item.mono_s, "event", item.gpu or "", f"{item.kind} {item.code}")]
        if isinstance(item, LogLine):
            return self._of_line(item)
        if isinstance(item, (Listening, Tick)):
            return []
        changed = self._inventory is not None and self._inventory.gpus != item.gpus
        self._inventory = item
        return [Mark(item.mono_s, "inventory", "", "the node changed")] if changed else []

    def _of_line(self, line: LogLine) -> list[Mark]:
        """Return a mark for a fault in a log; what was logged before the recording has none."""
        fault = decode(line.text) if line.source == "kernel" else None
        if fault is None or line.logged_s is None or line.wall_s - line.logged_s > OLD_LINE_S:
            return []
        return [Mark(line.mono_s, "log", "", fault.text[:80])]

    def _of_reading(self, reading: Reading) -> list[Mark]:
        key = reading.gpu, reading.group
        before, self._last[key] = self._last.get(key), reading
        gpu, marks = reading.gpu or "", []
        if reading.group == "gauges":
            problem, was = reading.problem or "", self._problems.get(reading.gpu, "")
            self._problems[reading.gpu] = problem
            if problem != was:
                marks.append(Mark(reading.end_s, "gpu", gpu, problem or "answers again"))
        if before is None or not isinstance(reading.data, (LinkErrors, LinkStates)):
            return marks
        old, new = before.data, reading.data
        if old == new:
            return marks
        if isinstance(new, LinkErrors) and isinstance(old, LinkErrors):
            for kind, counts in new.counts.items():
                for link, (a, b) in enumerate(zip(old.counts.get(kind, ()), counts, strict=False)):
                    if known(a) and known(b) and b > a:
                        marks.append(Mark(reading.end_s, "errors", gpu, f"link {link}: {kind} +{b - a}"))
        elif isinstance(new, LinkStates) and isinstance(old, LinkStates):
            for link, (was_state, state) in enumerate(zip(old.states, new.states, strict=False)):
                if known(was_state) and known(state) and was_state is not state:
                    marks.append(
                        Mark(reading.end_s, "state", gpu, f"link {link}: {was_state.value} → {state.value}")
                    )
        return marks


class FindingMarker:
    """Finds where findings begin, frame by frame, by the rules of today."""

    def __init__(self) -> None:
        self._open: set[FindingKey] = set()

    def marks(self, findings: Sequence[Finding], mono_s: float) -> list[Mark]:
        """Return a mark for each finding above `info` that was not there the time before."""
        now = {f.key: f for f in findings if f.severity is not Severity.INFO}
        new = [f for key, f in now.items() if key not in self._open]
        self._open = set(now)
        return [Mark(mono_s, "finding", f.gpu or "", f.headline) for f in new]
