"""Findings with their evidence, checks, and events of the driver."""

from __future__ import annotations

from typing import Final

from nvltop.model import Finding
from nvltop.report.findings import about, basis, evidence, fault_sources
from nvltop.report.incidents import age_text, earlier, event_line, more_events, other_events, shown
from nvltop.report.tables import table
from nvltop.report.timeline import event_details, event_place
from nvltop.snapshot.sections.inputs import Snapshot, code_block, escape_markdown
from nvltop.text import counted

MAX_EVENTS: Final = 50
MAX_LINES: Final = 20
"""Events of an incident that the report lists."""
MAX_EARLIER: Final = 5
"""Incidents before the start that the report lists."""
MAX_PAST: Final = 50
"""Most past findings that the report lists."""


def findings(snapshot: Snapshot) -> str:
    """Return the present findings, worst first, and the past ones."""
    frame = snapshot.frame
    parts = [_finding(snapshot, f) for f in frame.findings]
    if not parts:
        checked = any(c.outcome == "fine" for c in frame.checks)
        parts = ["No findings." if checked else "Nothing could be checked."]
    if frame.past_findings:
        newest = frame.past_findings[:MAX_PAST]
        rows = [["FROM", "UNTIL", "SEVERITY", "WHERE", "RULE"]]
        rows += [
            [snapshot.at(f.began_s), snapshot.at(f.ended_s), f.severity, about(frame, f), f.rule]
            for f in newest
        ]
        more = len(frame.past_findings) - len(newest)
        omitted = counted(more, "older one is", "older ones are")
        title = "Past findings" + (f" (the newest {MAX_PAST}; {omitted} omitted)" if more else "")
        parts.append(f"{title}:\n\n{code_block(table(rows, left=5))}")
    parts = [*_incidents(snapshot), *parts]
    return "\n\n".join(parts)


def _incidents(snapshot: Snapshot) -> list[str]:
    """Return the incidents since the start and before it, each with its events."""
    frame, parts = snapshot.frame, []
    for incident in (*shown(frame), *earlier(frame)[:MAX_EARLIER]):
        when = f", {age_text(incident)}" if incident.before_start_s is not None else ""
        listed = [f"{snapshot.at(e.wall_s):8}  {event_line(frame, e)}" for e in incident.events[:MAX_LINES]]
        more = len(incident.events) + incident.left_out - len(listed)
        if more:
            listed.append(more_events(frame, incident.events[MAX_LINES:], incident.left_out))
        block = "\n".join(listed)
        parts.append(
            f"**Incident ({incident.severity}{when})**: {escape_markdown(incident.summary)}\n\n"
            f"- Next step: {escape_markdown(incident.next_step)}\n\n{code_block(block)}"
        )
    if frame.log_access:
        parts.append(escape_markdown(frame.log_access))
    return parts


def _finding(snapshot: Snapshot, f: Finding) -> str:
    since = f", since {snapshot.at(f.began_s)}" if f.began_s is not None else ""
    cause = next((other.headline for other in snapshot.frame.findings if other.key == f.caused_by), "")
    subject = escape_markdown(about(snapshot.frame, f))
    lines = [f"**{f.severity}** at {subject}{since}: {escape_markdown(f.summary)}"]
    if cause:
        lines.append(f"- Follows from: {escape_markdown(cause)}")
    if seen := evidence(f):
        lines.append(f"- Evidence: {escape_markdown(seen)}")
    if f.next_step:
        lines.append(f"- Next step: {escape_markdown(f.next_step)}")
    lines.append(f"- Rule: `{f.rule}` ({escape_markdown(basis(f))})")
    return "\n".join((lines[0], "", *lines[1:]))


def checks(snapshot: Snapshot) -> str:
    """Return the checks that are pending, unknown with the reason, and fine."""
    order = ("pending", "unknown", "fine")
    listed = [c for c in snapshot.frame.checks if c.outcome in order]
    rows = [[c.outcome, c.name, c.detail] for c in sorted(listed, key=lambda c: order.index(c.outcome))]
    if not rows:
        return ""
    return code_block(table(rows, left=3))


def events(snapshot: Snapshot) -> str:
    """Return what happened since the start, oldest first, without the findings and incidents listed above."""
    frame = snapshot.frame
    if not frame.gpus:
        return ""
    began = snapshot.at(frame.started_s)
    above = {e for incident in shown(frame) for e in incident.events}
    others = set(other_events(frame))
    happened = [e for e in frame.timeline if not e.before_start and e.kind != "finding"]
    listed = [e for e in happened if (e.event in others if e.event else e.log not in above)]
    more = "" if listed == happened else " The events of the incidents above are not repeated."
    if not listed:
        nothing = f"No {'other ' if more else ''}Xid and no change since {began}, when nvltop started"
        return f"{nothing}; earlier Xids are in `dmesg`.{more}"
    sources = fault_sources(frame)
    newest = listed[-MAX_EVENTS:]
    rows = [["TIME", "UNTIL", "WHERE", "EVENT", "FROM", "TO", "WHAT TO DO"]]
    rows += [
        [
            snapshot.at(e.began_s),
            "lasts" if e.lasts else snapshot.at(e.ended_s),
            event_place(frame, e),
            event_details(frame, e) + (sources.get(e.gpu or "", "") if e.event else ""),
            e.before,
            e.after,
            e.next_step,
        ]
        for e in newest
    ]
    words = f"Since {began}, when nvltop started; earlier Xids are in `dmesg`.{more}"
    if len(listed) > len(newest):
        words += f" {counted(len(listed) - len(newest), 'earlier event is', 'earlier events are')} omitted."
    return f"{words}\n\n{code_block(table(rows, left=7))}"
