"""Findings with their evidence, checks, and what the driver told."""

from __future__ import annotations

from nvltop.kernel_log.catalog import lookup
from nvltop.model import Finding
from nvltop.report.findings import about, basis, event_text, evidence, likely_sources, where
from nvltop.report.tables import table
from nvltop.snapshot.sections.inputs import Snapshot, code_block, details, escape_markdown

MAX_EVENTS = 50
MAX_PAST = 50


def findings(snapshot: Snapshot) -> str:
    """Return what the rules say, worst first, and what they said before."""
    frame = snapshot.frame
    parts = [_finding(snapshot, f) for f in frame.findings]
    if not parts:
        looked = any(c.outcome == "fine" for c in frame.checks)
        parts = ["No rule found anything." if looked else "Nothing could be checked."]
    if frame.past_findings:
        newest = frame.past_findings[:MAX_PAST]
        rows = [["FROM", "UNTIL", "SEVERITY", "WHERE", "RULE"]]
        rows += [
            [snapshot.at(f.began_s), snapshot.at(f.ended_s), f.severity, about(frame, f), f.rule]
            for f in newest
        ]
        more = len(frame.past_findings) - len(newest)
        title = "Over by now" + (f" (the newest {MAX_PAST}, {more} older ones left out)" if more else "")
        parts.append(f"{title}:\n\n{code_block(table(rows, left=5))}")
    return "\n\n".join(parts)


def _finding(snapshot: Snapshot, f: Finding) -> str:
    since = f", since {snapshot.at(f.began_s)}" if f.began_s is not None else ""
    cause = next((other.headline for other in snapshot.frame.findings if other.key == f.caused_by), "")
    lines = [f"**{f.severity}** at {about(snapshot.frame, f)}{since}: {escape_markdown(f.summary)}"]
    if cause:
        lines.append(f"- Follows from: {escape_markdown(cause)}")
    if seen := evidence(f):
        lines.append(f"- Evidence: {escape_markdown(seen)}")
    if f.next_step:
        lines.append(f"- Next step: {escape_markdown(f.next_step)}")
    lines.append(f"- Rule: `{f.rule}` ({escape_markdown(basis(f))})")
    return "\n".join((lines[0], "", *lines[1:]))


def checks(snapshot: Snapshot) -> str:
    """Return what is pending, what could not be judged and why, and what is fine."""
    order = ("pending", "unknown", "fine")
    listed = [c for c in snapshot.frame.checks if c.outcome in order]
    rows = [[c.outcome, c.name, c.detail] for c in sorted(listed, key=lambda c: order.index(c.outcome))]
    if not rows:
        return ""
    counts = {outcome: sum(c.outcome == outcome for c in listed) for outcome in reversed(order)}
    summary = ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n or outcome != "pending")
    return details(summary, code_block(table(rows, left=3)))


def events(snapshot: Snapshot) -> str:
    """Return Xids and their kin, and links and GPUs that changed, oldest first."""
    frame = snapshot.frame
    if not frame.gpus:
        return ""
    began = snapshot.at(frame.started_s)
    sources = likely_sources(frame)
    told = [(c.wall_s, where(frame, c.gpu), c.text, "") for c in snapshot.changes]
    for event in frame.events:
        words = event_text(event) + (" (the likely source)" if event.gpu in sources else "")
        action = lookup(event.code).action if event.kind == "xid" else ""
        told.append((event.wall_s, where(frame, event.gpu), words, action))
    if not told:
        return f"No Xid and no change since {began}, when nvltop began; earlier Xids are in `dmesg`."
    newest = sorted(told)[-MAX_EVENTS:]
    rows = [["TIME", "WHERE", "WHAT", "NVIDIA'S ACTION"]]
    rows += [[snapshot.at(wall_s), *rest] for wall_s, *rest in newest]
    words = f"Since {began}, when nvltop began; earlier Xids are in `dmesg`."
    if len(told) > len(newest):
        words += f" {len(told) - len(newest)} earlier ones are left out."
    return f"{words}\n\n{code_block(table(rows, left=4))}"
