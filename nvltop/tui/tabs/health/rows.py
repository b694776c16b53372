"""Rows of the tab Health: incidents, findings, checks, resolved findings and the driver's events."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from nvltop.analysis.timeline.build import event_text
from nvltop.frozen import frozen
from nvltop.kernel_log.catalog import lookup
from nvltop.model import LOG_SOURCES, Check, Event, Finding, Frame, Incident
from nvltop.report.findings import about, basis, clock, evidence, fault_sources, where
from nvltop.report.incidents import (
    age_text,
    earlier,
    event_line,
    headline,
    more_events,
    other_events,
    place,
    place_of,
    shown,
)  # fmt: skip
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.row import Row, TextRun, fit, fit_text

COLUMN_TITLES: Final = "STATE    SINCE    WHERE           WHAT"
STATE_WIDTH, SINCE_WIDTH, WHERE_WIDTH = 8, 8, 15
"""Widths of the list's columns."""
MIN_WIDTH_FOR_WHERE: Final = 60
"""Columns of the screen below which a headline that names its place replaces WHERE as well."""
OUTCOME_ROLES: Final = {"fine": "ok", "pending": "warn", "unknown": "dim", "n/a": "dim", "problem": "warn"}
CONSEQUENCE: Final = "follows"
"""State, in place of its severity, of a finding that follows from the one above it."""
MAX_INCIDENT_EVENTS: Final = 4
"""Highest number of events listed below an incident."""


@frozen
class HealthEntry:
    """One row of the list, and its details."""

    state: str
    role: str
    since: str
    where: str
    what: str
    details: tuple[tuple[str, str], ...] = ()
    """Captions and texts of the lines below the list."""
    gpu: str | None = None
    """UUID of the GPU that the row is about."""
    link: int | None = None
    """Index of the link of that GPU that the row is about, or port of the NIC."""
    nic: str | None = None
    rule: str = ""
    """Rule of the finding that the row is."""


def entries(frame: Frame) -> list[HealthEntry]:
    """Return the rows: incidents, findings, checks (pending, unknown, fine), resolved findings, events."""
    found = [entry for incident in shown(frame) for entry in _incident_entries(frame, incident)]
    found += [_finding_entry(frame, f) for f in frame.findings]
    found += [_check_entry(c) for c in frame.checks if c.outcome == "pending"]
    unknown = [_check_entry(c) for c in frame.checks if c.outcome == "unknown"]
    fine = [_check_entry(c) for c in frame.checks if c.outcome == "fine"]
    none = [_check_entry(c) for c in frame.checks if c.outcome == "n/a"]
    past = [_finding_entry(frame, f) for f in frame.past_findings]
    sources = fault_sources(frame)
    events = [_event_entry(frame, e, sources) for e in reversed(other_events(frame))]
    events += [_earlier_entry(frame, incident) for incident in earlier(frame)]
    if frame.log_access:
        unknown.append(_log_access_entry(frame.log_access))
    coming = any(c.outcome == "pending" for c in frame.checks)
    if not coming and not any(f.severity.is_problem for f in frame.findings):
        summary = "No fault found" if fine else "Nothing could be checked yet"
        found.insert(
            0, HealthEntry("fine" if fine else "unknown", "ok" if fine else "dim", "", "node", summary)
        )
    return [*found, *unknown, *fine, *past, *events, *none]


def _incident_entries(frame: Frame, incident: Incident) -> Iterator[HealthEntry]:
    """Yield the row of an incident, then the rows of its first events."""
    at = _subject(frame, incident)
    yield HealthEntry(
        state="incident",
        role=SEVERITY_ROLES[incident.severity],
        since=clock(incident.began_s),
        where=place(frame, incident),
        what=headline(incident),
        details=(("", incident.summary), ("Next step", incident.next_step)),
        gpu=at[0],
        link=at[1],
    )
    for event in incident.events[:MAX_INCIDENT_EVENTS]:
        words, fault = event_line(frame, event), event.fault
        action = fault.next_step if event.source in LOG_SOURCES or fault.kind == "xid" else ""
        details = ("", words), ("Meaning", fault.meaning), ("NVIDIA's action", action)
        yield HealthEntry(
            "", "dim", clock(event.wall_s), "", words, details, *place_of(frame, fault.pci_bus_id, fault.link)
        )
    hidden = incident.events[MAX_INCIDENT_EVENTS:]
    if hidden or incident.left_out:
        words = more_events(frame, hidden, incident.left_out)
        yield HealthEntry("", "dim", "", "", words, (("", words),), *at)


def _subject(frame: Frame, incident: Incident) -> tuple[str | None, int | None]:
    """Return the GPU and link where an incident began, else those of its first event on this node."""
    origin = incident.origin
    places = [origin.other_end_of or (origin.pci_bus_id, origin.link)]
    places += [(e.fault.pci_bus_id, e.fault.link) for e in incident.events]
    found = (place_of(frame, *place) for place in dict.fromkeys(places))
    return next((place for place in found if place[0] is not None), (None, None))


def _earlier_entry(frame: Frame, incident: Incident) -> HealthEntry:
    """Return the row of an incident that was over before nvltop started."""
    at = _subject(frame, incident)
    return HealthEntry(
        state="earlier",
        role="dim",
        since="",
        where=place(frame, incident),
        what=f"{age_text(incident)}: {headline(incident)}",
        details=(("", f"{age_text(incident)}: {incident.summary}"), ("Next step", incident.next_step)),
        gpu=at[0],
        link=at[1],
    )


def _log_access_entry(reason: str) -> HealthEntry:
    return HealthEntry("unknown", "dim", "", "kernel log", reason, (("", reason),))


def _finding_entry(frame: Frame, f: Finding) -> HealthEntry:
    over = f.ended_s is not None
    until = f" until {clock(f.ended_s)}" if over else ""
    return HealthEntry(
        state="resolved" if over else CONSEQUENCE if f.caused_by else f.severity,
        role="dim" if over or f.caused_by else SEVERITY_ROLES[f.severity],
        since=clock(f.began_s),
        where=about(frame, f),
        what=f.headline + (f" (until {clock(f.ended_s)})" if over else ""),
        details=(
            ("", f.summary),
            ("Follows from", _cause_headline(frame, f)),
            ("Evidence", evidence(f)),
            ("Next step", f.next_step),
            ("Rule", f"{f.rule}, {f.severity}{until}; {basis(f)}"),
        ),
        gpu=f.gpu,
        link=f.link,
        nic=f.nic,
        rule=f.rule,
    )


def _cause_headline(frame: Frame, f: Finding) -> str:
    return next((other.headline for other in frame.findings if other.key == f.caused_by), "")


def _check_entry(check: Check) -> HealthEntry:
    return HealthEntry(
        state=check.outcome,
        role=OUTCOME_ROLES[check.outcome],
        since="",
        where=check.name,
        what=check.detail,
        details=(("", f"{check.name}: {check.detail}"),),
    )


def _event_entry(frame: Frame, event: Event, sources: dict[str, str]) -> HealthEntry:
    source = sources.get(event.gpu or "", "")
    words = event_text(event) + source
    action = lookup(event.code).action if event.kind == "xid" else ""
    return HealthEntry(
        state="event",
        role="warn" if source else "",
        since=clock(event.wall_s),
        where=where(frame, event.gpu),
        what=words,
        details=(("", words), ("NVIDIA's action", action)),
    )


def rows(
    found: list[HealthEntry], width: int, height: int, top: int, chosen: int, glyphs: Glyphs
) -> list[Row]:
    """Return the title row, and the entries from index `top` on."""
    out = [fit([(COLUMN_TITLES, "title")], width, "title")]
    room = max(0, width - STATE_WIDTH - SINCE_WIDTH - WHERE_WIDTH - 3)
    for i, entry in enumerate(found[top : top + height - 1], top):
        where, left = entry.where[:WHERE_WIDTH].ljust(WHERE_WIDTH + 1), room
        if width < MIN_WIDTH_FOR_WHERE and entry.what.startswith(entry.where):
            where, left = "", room + WHERE_WIDTH + 1  # a headline names its place
        spans: list[TextRun] = [
            (entry.state[:STATE_WIDTH].ljust(STATE_WIDTH + 1), entry.role),
            (entry.since[-SINCE_WIDTH:].ljust(SINCE_WIDTH + 1), ""),
            (where, "caption"),
            (fit_text(entry.what, left, glyphs), entry.role if entry.state != "fine" else ""),
        ]
        out.append(fit(spans, width, "selected" if i == chosen else None))
    return out


def detail_lines(entry: HealthEntry, width: int, glyphs: Glyphs) -> list[list[TextRun]]:
    """Return the lines of an entry in whole sentences."""
    lines = _wrapped(entry, width)
    return [[(fit_text(text, width, glyphs), role) for text, role in line] for line in lines]


def _wrapped(entry: HealthEntry, width: int) -> Iterator[list[TextRun]]:
    for caption, text in entry.details:
        head = f"{caption}: " if caption else ""
        if not text:
            continue
        wrapped = textwrap.wrap(head + text, max(10, width - 1), subsequent_indent="  ")
        for i, line in enumerate(wrapped):
            if i == 0 and head:
                yield [(head, "caption"), (line[len(head) :], "")]
            else:
                yield [(line, entry.role if not caption else "")]
