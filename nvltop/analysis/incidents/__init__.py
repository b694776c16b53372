"""Incidents: log events that belong together, where they began, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from nvltop.analysis.incidents import describe, origin
from nvltop.analysis.incidents import evidence as evidence_of
from nvltop.analysis.incidents.ends import LinkEnds
from nvltop.analysis.incidents.roles import Role, role
from nvltop.model import Incident, LogEvent, Origin, Severity

if TYPE_CHECKING:
    from nvltop.analysis.incidents.group import Group

NO_ENDS: Final = LinkEnds()


def incidents(
    events: Iterable[LogEvent], ends: LinkEnds = NO_ENDS, evidence: Sequence[LogEvent] = ()
) -> tuple[Incident, ...]:
    """Return the incidents that events in the order of a log make up, in the order of their first events.

    `evidence` is what the links and the fabric showed meanwhile; it joins incidents and makes none.
    """
    # Imported with the first events, because it loads the reader of log lines.
    from nvltop.analysis.incidents.group import Grouping

    grouping = Grouping()
    for event in events:
        grouping.add(event)
    return tuple(incident(group, ends, evidence) for group in grouping)


def incident(group: Group, ends: LinkEnds = NO_ENDS, evidence: Sequence[LogEvent] = ()) -> Incident:
    """Return the incident of one group of events, with the evidence that belongs to it."""
    events = group.events
    beside = evidence_of.of_incident(evidence, events, group.last_wall_s, ends)
    found = origin.find(events, ends, beside)
    joined = sorted([*events, *beside], key=lambda e: e.wall_s or 0.0) if beside else events
    walls = [e.wall_s for e in events if e.wall_s is not None]
    first = events[0]
    return Incident(
        severity=_severity(events, found),
        summary=describe.summary(events, found, ends, group.left_out, beside),
        origin=found,
        next_step=describe.next_step(events, found, ends),
        events=tuple(joined),
        began_s=walls[0] if walls else None,
        ended_s=group.last_wall_s,
        began_uptime_s=first.uptime_s,
        boot=group.boot,
        left_out=group.left_out,
    )


def _severity(events: Sequence[LogEvent], origin: Origin) -> Severity:
    """Return the worst severity of the events; a link fault that others echo is critical in any case."""
    echoed = origin.pci_bus_id is not None and any(
        e.fault.pci_bus_id not in (None, origin.pci_bus_id) for e in events
    )
    if echoed and role(describe.decisive(events, origin)) is Role.LINK_UNDECIDED:
        return Severity.CRITICAL
    return max(e.fault.severity for e in events)
