"""Incidents: log events that belong together, where they began, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nvltop.analysis.incidents import describe, origin
from nvltop.analysis.incidents.ends import LinkEnds
from nvltop.analysis.incidents.group import Group, Grouping
from nvltop.model import Incident, LogEvent

NO_ENDS: Final = LinkEnds()


def incidents(events: Iterable[LogEvent], ends: LinkEnds = NO_ENDS) -> tuple[Incident, ...]:
    """Return the incidents that events in the order of a log make up, in the order of their first events."""
    grouping = Grouping()
    for event in events:
        grouping.add(event)
    return tuple(incident(group, ends) for group in grouping)


def incident(group: Group, ends: LinkEnds = NO_ENDS) -> Incident:
    """Return the incident of one group of events."""
    events = group.events
    found = origin.find(events, ends)
    walls = [e.wall_s for e in events if e.wall_s is not None]
    first = events[0]
    return Incident(
        severity=max(e.fault.severity for e in events),
        summary=describe.summary(events, found, ends, group.left_out),
        origin=found,
        next_step=describe.next_step(events, found, ends),
        events=tuple(events),
        began_s=walls[0] if walls else None,
        ended_s=group.last_wall_s,
        began_uptime_s=first.uptime_s,
        boot=group.boot,
        left_out=group.left_out,
    )
