"""Explanation of a log: which incidents it holds, without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from nvltop.analysis.incidents import incident
from nvltop.analysis.incidents.group import Grouping
from nvltop.explain.lines import EXPORT, entries, selected
from nvltop.explain.source import ExplainError, Source
from nvltop.kernel_log.fabric import FabricFact
from nvltop.kernel_log.reader import LogReader
from nvltop.kernel_log.records import Record, from_fields
from nvltop.model import Incident, LogEvent


@dataclass
class Explanation:
    """What a log holds."""

    incidents: tuple[Incident, ...] = ()
    left_out: int = 0
    """Incidents that were counted and not kept."""
    records: int = 0
    """Records of NVIDIA drivers, the fabric manager and IMEX."""
    fabric_manager: str | None = None
    """Version that the fabric manager logged last."""
    groups_in_use: int = 0
    """Multicast groups (NVLS) that were allocated and not freed by the end of the log."""
    group_gpus: int | None = None
    """GPUs of the last team that was set up."""
    has_fabric_log: bool = False
    problem: str | None = None
    """Why the log could not be read to its end."""


def explain(source: Source) -> Explanation:
    """Read a log to its end; raises `ExplainError` if nothing of it can be read."""
    found = Explanation()
    reader = LogReader(source.newest_s)
    grouping = Grouping()
    groups = set[int]()
    seen = _Repeats()
    try:
        for event in _events(source, reader):
            if not seen.repeated(event):
                grouping.add(event)
            if reader.facts:
                _take_facts(reader.facts, found, groups)
    except ExplainError as error:
        if not reader.records:
            raise
        found.problem = str(error)
    _take_facts(reader.facts, found, groups)
    for group in grouping:
        if group.boot in seen.offsets_s:
            group.place(seen.offsets_s[group.boot])
    found.incidents = tuple(incident(group) for group in grouping)
    found.left_out = grouping.dropped
    found.records = reader.records
    found.groups_in_use = len(groups)
    return found


def _events(source: Source, reader: LogReader) -> Iterator[LogEvent]:
    chunks = source.chunks()
    first = next(chunks, b"")
    chunks = chain((first,), chunks)
    if EXPORT in first[:65536]:
        for fields in entries(chunks):
            if (record := from_fields(fields)) is not None:
                yield from reader.take(record)
    else:
        for line in selected(chunks):
            yield from reader.feed(line)
    yield from reader.close()


def _take_facts(facts: list[tuple[Record, FabricFact]], found: Explanation, groups: set[int]) -> None:
    for _, fact in facts:
        found.has_fabric_log = True
        if fact.kind == "started":
            found.fabric_manager = fact.version
            groups.clear()
        elif fact.kind == "team":
            found.group_gpus = fact.number
        elif fact.number is not None and fact.kind == "allocated" and len(groups) < 4096:
            groups.add(fact.number)
        elif fact.number is not None:
            groups.discard(fact.number)
    facts.clear()


class _Repeats:
    """Recognises the same line where a log holds it twice, as bug reports do (dmesg and journal).

    The two have different clocks: where one line has the time since boot, the other may have the wall time.
    From such a pair follows when the kernel started.
    """

    MAX: Final = 20_000
    """Events that are remembered."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], None] = {}
        self._waiting: dict[tuple[str, str | None, bool], list[LogEvent]] = {}
        """Events with one clock only that may come again with the other, by text, device and clock."""
        self._count = 0
        self.offsets_s: dict[str | None, float] = {}
        """Unix time at which the kernel's clock began, by boot."""

    def repeated(self, event: LogEvent) -> bool:
        """Whether the event was seen before, with the same clock or with the other one."""
        fault, uptime_s, wall_s = event.fault, event.uptime_s, event.wall_s
        if uptime_s is not None or (wall_s is not None and not wall_s.is_integer()):
            key = (fault.text, fault.pci_bus_id, uptime_s if uptime_s is not None else wall_s)
            if key in self._seen:
                return True
            if len(self._seen) < self.MAX:
                self._seen[key] = None
        if uptime_s is not None and wall_s is not None:
            self.offsets_s.setdefault(event.boot, wall_s - uptime_s)
            return False
        return (uptime_s is not None or wall_s is not None) and self._paired(event)

    def _paired(self, event: LogEvent) -> bool:
        """Whether the same text came before with the other clock."""
        by_uptime = event.wall_s is None
        place = (event.fault.text, event.fault.pci_bus_id)
        if others := self._waiting.get((*place, not by_uptime)):
            other = others.pop(0)
            up, wall = (event, other) if by_uptime else (other, event)
            self.offsets_s.setdefault(up.boot, (wall.wall_s or 0.0) - (up.uptime_s or 0.0))
            return True
        if self._count < self.MAX:
            self._count += 1
            self._waiting.setdefault((*place, by_uptime), []).append(event)
        return False
