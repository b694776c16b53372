"""The timeline of a frame, from all its sources, each fault once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.health import events as events_rules
from nvltop.analysis.health import log_faults
from nvltop.analysis.incidents.describe import decisive
from nvltop.analysis.incidents.ends import normal
from nvltop.kernel_log.catalog import lookup
from nvltop.model import (
    LOG_SOURCES,
    Event,
    Finding,
    FindingKey,
    Gpu,
    Incident,
    LogEvent,
    Severity,
    finding_key,
    known,
)
from nvltop.model.timeline import TimelineEvent

EVENT_RULES: Final = frozenset((*events_rules.RULE_GROUP.rules, *log_faults.RULE_GROUP.rules))
"""Rules whose findings are about what the driver or a log reported."""
MAX_TIMELINE: Final = 1000
"""Events of a timeline; the oldest are dropped first."""
SAME_S: Final = 5.0
"""Seconds within which an event of NVML and a log line with the same Xid of the same GPU are one event."""
TOGETHER_S: Final = 1.0
"""Seconds within which changes of several links of a GPU are one event."""
NO_CAUSE: Final = FindingKey("")
FINDING_S: Final = 15.0
"""Seconds between a change of state and a finding about the same GPU or link that describes it."""


def timeline(
    changes: Iterable[TimelineEvent],
    events: Iterable[Event],
    incidents: Sequence[Incident],
    findings: Sequence[Finding],
    past: Iterable[Finding],
    gpus: Iterable[Gpu],
    started_s: float,
) -> tuple[TimelineEvent, ...]:
    """Return what happened, the oldest first."""
    by_bus = {normal(g.pci_bus_id): g.uuid for g in gpus if known(g.pci_bus_id)}
    changes = list(changes)
    events = [_placed(event, changes) for event in events]
    reported = sorted(
        [
            *_grouped(_with_causes(changes, incidents, by_bus)),
            *_reported(events, incidents, by_bus, started_s),
        ],
        key=lambda e: e.began_s,
    )
    headlines = {f.key: f.headline for f in findings}
    count = len(reported)
    for finding in (*findings, *past):
        if not finding.severity.is_problem or finding.began_s is None:
            continue
        at = _described(reported, count, finding)
        if at is None:
            reported.append(_of_finding(finding, headlines))
        else:
            reported[at] = _with_finding(reported[at], finding, headlines)
    reported.sort(key=lambda e: e.began_s)
    return tuple(reported[-MAX_TIMELINE:])


def _placed(event: Event, changes: Iterable[TimelineEvent]) -> Event:
    """Return the event with the GPU that was lost then if it has none: NVML cannot identify a lost GPU."""
    if event.gpu is not None or event.kind != "xid":
        return event
    lost = {
        c.gpu
        for c in changes
        if c.kind == "gpu-state" and abs(c.began_s - event.wall_s) <= FINDING_S and c.gpu
    }
    return replace(event, gpu=lost.pop()) if len(lost) == 1 else event


def _with_causes(
    changes: Iterable[TimelineEvent], incidents: Sequence[Incident], by_bus: Mapping[str, str]
) -> Iterator[TimelineEvent]:
    """Yield changes of state with the incidents that they belong to."""
    members = [
        (by_bus.get(e.fault.pci_bus_id or ""), e.fault.link, e.wall_s or 0.0, _first_sentence(incident))
        for incident in incidents
        if any(e.source in LOG_SOURCES or e.fault.kind == "xid" for e in incident.events)
        for e in incident.events
    ]
    for change in changes:
        cause = next(
            (
                headline
                for gpu, link, wall_s, headline in members
                if gpu is not None
                and gpu == change.gpu
                and (not change.links or link is None or link in change.links)
                and abs(wall_s - change.began_s) <= SAME_S
            ),
            "",
        )
        yield replace(change, cause=cause) if cause else change


def _grouped(changes: Iterable[TimelineEvent]) -> list[TimelineEvent]:
    """Join the links of one GPU that changed together, and are in the same state now."""
    found: list[TimelineEvent] = []
    for change in changes:
        old = found[-1] if found else None
        if old is not None and change.links and _together(old, change):
            links = tuple(sorted({*old.links, *change.links}))
            found[-1] = replace(old, links=links, summary=change.summary.replace("link ", "links ", 1))
        else:
            found.append(change)
    return found


def _together(a: TimelineEvent, b: TimelineEvent) -> bool:
    same = (a.kind, a.gpu, a.lasts, a.after, a.count) == (b.kind, b.gpu, b.lasts, b.after, b.count)
    return same and abs(a.began_s - b.began_s) <= TOGETHER_S and abs(a.last_s - b.last_s) <= TOGETHER_S


def _first_sentence(incident: Incident) -> str:
    return incident.summary.split(". ", 1)[0].rstrip(".")


def _reported(
    events: Iterable[Event], incidents: Sequence[Incident], by_bus: Mapping[str, str], started_s: float
) -> Iterator[TimelineEvent]:
    """Yield the events of NVML and of the logs; what a log says about an event of NVML completes it."""
    causes: dict[int, str] = {}
    left: dict[int, LogEvent] = {}
    places: dict[tuple[int | None, str | None], list[int]] = {}
    for incident in incidents:
        first = decisive(incident.events, incident.origin)
        for e in incident.events:
            if e.source not in LOG_SOURCES:
                continue
            left[id(e)] = e
            began_it = (e.fault.code, e.fault.pci_bus_id) == (first.code, first.pci_bus_id)
            causes[id(e)] = "" if began_it or len(incident.events) == 1 else _first_sentence(incident)
            places.setdefault((e.fault.code, by_bus.get(e.fault.pci_bus_id or "")), []).append(id(e))
    for event in events:
        same = next(
            (
                key
                for key in places.get((event.code, event.gpu), ())
                if key in left and abs((left[key].wall_s or 0.0) - event.wall_s) <= SAME_S
            ),
            None,
        )
        log = None if same is None else left.pop(same)
        yield _of_event(event, log, causes.get(same or 0, ""))
    for key, e in left.items():
        yield _of_log(e, by_bus.get(e.fault.pci_bus_id or ""), causes[key], started_s)


def event_text(event: Event) -> str:
    """Return `Xid 79: the GPU has fallen off the bus`, or the driver's name of another event.

    What the driver adds in a GPU Operational Event follows in parentheses.
    """
    if event.kind == "xid":
        text = f"Xid {event.code}: {lookup(event.code).meaning}"
        return f"{text} ({event.details})" if event.module else text
    return event.details or f"{event.kind} {event.code}"


def _of_event(event: Event, log: LogEvent | None, cause: str) -> TimelineEvent:
    is_xid = event.kind == "xid"
    meaning = lookup(event.code) if is_xid else None
    return TimelineEvent(
        kind="driver",
        began_s=event.wall_s,
        severity=log.fault.severity if log else meaning.severity if meaning else Severity.NOTICE,
        summary=event_text(event),
        gpu=event.gpu,
        links=(log.fault.link,) if log and log.fault.link is not None else (),
        cause=cause,
        next_step=log.fault.next_step if log else meaning.action if meaning else "",
        event=event,
        log=log,
    )


def _of_log(e: LogEvent, gpu: str | None, cause: str, started_s: float) -> TimelineEvent:
    fault = e.fault
    before_start = e.wall_s is None or e.wall_s < started_s
    return TimelineEvent(
        kind="log",
        began_s=e.wall_s or 0.0,
        severity=fault.severity,
        summary=fault.text,
        gpu=gpu,
        links=(fault.link,) if gpu and fault.link is not None else (),
        cause=cause,
        next_step=fault.next_step,
        log=e,
        before_start=before_start,
    )


def _links_of(finding: Finding) -> tuple[int, ...]:
    """Return the links that a finding about a GPU is about."""
    several = finding.evidence.get("links")
    if finding.nic is not None:
        return ()
    if finding.link is not None:
        return (finding.link,)
    return tuple(i for i in several if isinstance(i, int)) if isinstance(several, (list, tuple)) else ()


def _described(reported: Sequence[TimelineEvent], count: int, finding: Finding) -> int | None:
    """Return which of the first `count` events a finding describes: a change of state, or an Xid.

    None if it describes none of them. Several findings may describe one Xid: the first is about a lost GPU
    that was not identified yet.
    """
    assert finding.began_s is not None
    described = None
    first = bisect_left(reported, finding.began_s - FINDING_S, hi=count, key=lambda e: e.began_s)
    for at in range(first, count):
        e = reported[at]
        if e.began_s > finding.began_s + FINDING_S:
            break
        if not e.kind.endswith("-state"):
            if finding.rule in EVENT_RULES and _is_about(finding, e):
                if not e.rule:
                    return at
                described = at if finding.evidence.get("xid") == _code(e) else described
            continue
        if e.rule:
            continue
        if finding.nic is not None:
            if (e.nic, e.kind) == (finding.nic, "nic-state") and finding.link in (None, e.port):
                return at
        elif e.gpu is not None and e.gpu == finding.gpu and e.links == _links_of(finding):
            return at
    return described


def _code(e: TimelineEvent) -> int | None:
    """Return the code of an event of NVML or of a log."""
    return e.event.code if e.event else e.log.fault.code if e.log else None


def _is_about(finding: Finding, e: TimelineEvent) -> bool:
    """Return whether a finding is about the GPU of an event, or about no GPU and its Xid."""
    if finding.gpu is None:
        return finding.nic is None and _code(e) is not None and finding.evidence.get("xid") == _code(e)
    return finding.gpu == e.gpu


def _with_finding(e: TimelineEvent, finding: Finding, headlines: Mapping[FindingKey, str]) -> TimelineEvent:
    """Return an event with what a finding adds; the first finding that describes it counts."""
    if e.rule:
        return e
    # That a GPU is lost follows from its Xid, which does not follow from that in turn.
    itself = not e.kind.endswith("-state") and finding.caused_by == finding_key("gpu-lost", e.gpu)
    return replace(
        e,
        severity=max(e.severity, finding.severity),
        cause=e.cause or ("" if itself else headlines.get(finding.caused_by or NO_CAUSE, "")),
        next_step=finding.next_step if finding.ended_s is None else "",
        rule=finding.rule,
    )


def _of_finding(finding: Finding, headlines: Mapping[FindingKey, str]) -> TimelineEvent:
    assert finding.began_s is not None
    over = finding.ended_s is not None
    return TimelineEvent(
        kind="finding",
        began_s=finding.began_s,
        severity=finding.severity,
        summary=finding.headline or finding.summary,
        gpu=finding.gpu,
        links=_links_of(finding),
        nic=finding.nic,
        port=finding.link if finding.nic is not None else None,
        ended_s=finding.ended_s,
        lasts=not over,
        cause=headlines.get(finding.caused_by or NO_CAUSE, ""),
        next_step="" if over else finding.next_step,
        rule=finding.rule,
    )
