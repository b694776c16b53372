"""Marks: the moments of a recording that are worth jumping to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.kernel_log.decode import decode
from nvltop.model import (
    Event,
    Finding,
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
from nvltop.record.format import Mark

OLD_LINE_S: Final = 60.0
"""Age of a log line when it is read, seconds, above which it has no mark."""


class Marker:
    """Finds the marks of a stream of items."""

    def __init__(self) -> None:
        self._last: dict[tuple[str | None, str], Reading] = {}
        self._problems: dict[str | None, str] = {}
        self._inventory: Inventory | None = None

    def marks(self, item: Item) -> list[Mark]:
        """Return the marks of the next item."""
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
    """Finds where findings begin, by the rules of this version."""

    def __init__(self) -> None:
        self._open: set[tuple[str, str | None, int | None, str | None]] = set()

    def marks(self, findings: Sequence[Finding], mono_s: float) -> list[Mark]:
        """Return a mark for each finding above `info` that is new since the last call."""
        now = {(f.rule, f.gpu, f.link, f.nic): f for f in findings if f.severity is not Severity.INFO}
        new = [f for key, f in now.items() if key not in self._open]
        self._open = set(now)
        return [Mark(mono_s, "finding", f.gpu or "", f.headline) for f in new]
