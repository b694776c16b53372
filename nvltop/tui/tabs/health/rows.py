"""The Health tab: findings, pending and unknown checks, fine ones, ended findings, the driver's events."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nvltop.kernel_log.catalog import lookup
from nvltop.model import Check, Event, Finding, Frame
from nvltop.report.findings import about, basis, clock, event_text, evidence, likely_sources, where
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.header import ROLES
from nvltop.tui.render.row import Row, Span, fit, sentence

TITLE: Final = "STATE    SINCE    WHERE           WHAT"
STATE, SINCE, WHERE = 8, 8, 15
"""Columns of the list."""
OUTCOMES: Final = {"fine": "ok", "pending": "warn", "unknown": "dim", "n/a": "dim", "problem": "warn"}
FOLLOWS: Final = "follows"
"""State of a finding that follows from the one above it, in place of its severity."""
DETAIL_LINES: Final = 7
"""What the selected entry says in full, below the list."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the list, and what there is to say of it."""

    state: str
    role: str
    since: str
    where: str
    what: str
    details: tuple[tuple[str, str], ...] = ()
    """Caption and text."""


def entries(frame: Frame) -> list[Entry]:
    """Return the rows: findings first, then what is pending, unknown, fine, resolved, and the events."""
    found = [_finding(frame, f) for f in frame.findings]
    found += [_check(c) for c in frame.checks if c.outcome == "pending"]
    unknown = [_check(c) for c in frame.checks if c.outcome == "unknown"]
    fine = [_check(c) for c in frame.checks if c.outcome == "fine"]
    none = [_check(c) for c in frame.checks if c.outcome == "n/a"]
    past = [_finding(frame, f) for f in frame.past_findings]
    sources = likely_sources(frame)
    events = [_event(frame, e, sources) for e in reversed(frame.events)]
    coming = any(c.outcome == "pending" for c in frame.checks)
    if not coming and not any(f.severity.is_problem for f in frame.findings):
        looked = "No fault found" if fine else "Nothing could be checked yet"
        found.insert(0, Entry("fine" if fine else "unknown", "ok" if fine else "dim", "", "node", looked))
    return [*found, *unknown, *fine, *past, *events, *none]


def _finding(frame: Frame, f: Finding) -> Entry:
    over = f.ended_s is not None
    until = f" until {clock(f.ended_s)}" if over else ""
    return Entry(
        state="resolved" if over else FOLLOWS if f.caused_by else f.severity,
        role="dim" if over or f.caused_by else ROLES[f.severity],
        since=clock(f.began_s),
        where=about(frame, f),
        what=f.headline + (f" (until {clock(f.ended_s)})" if over else ""),
        details=(
            ("", f.summary),
            ("Follows from", _cause(frame, f)),
            ("Evidence", evidence(f)),
            ("Next step", f.next_step),
            ("Rule", f"{f.rule}, {f.severity}{until}; {basis(f)}"),
        ),
    )


def _cause(frame: Frame, f: Finding) -> str:
    return next((other.headline for other in frame.findings if other.key == f.caused_by), "")


def _check(check: Check) -> Entry:
    return Entry(
        state=check.outcome,
        role=OUTCOMES[check.outcome],
        since="",
        where=check.name,
        what=check.detail,
        details=(("", f"{check.name}: {check.detail}"),),
    )


def _event(frame: Frame, event: Event, sources: set[str]) -> Entry:
    source = event.gpu in sources
    words = event_text(event) + (" (the likely source)" if source else "")
    action = lookup(event.code).action if event.kind == "xid" else ""
    return Entry(
        state="event",
        role="warn" if source else "",
        since=clock(event.wall_s),
        where=where(frame, event.gpu),
        what=words,
        details=(("", words), ("NVIDIA's action", action)),
    )


def rows(found: list[Entry], width: int, height: int, top: int, chosen: int, glyphs: Glyphs) -> list[Row]:
    """Draw the column title and the entries from number `top` on."""
    out = [fit([(TITLE, "title")], width, "title")]
    room = max(0, width - STATE - SINCE - WHERE - 3)
    for i, entry in enumerate(found[top : top + height - 1], top):
        spans: list[Span] = [
            (entry.state[:STATE].ljust(STATE + 1), entry.role),
            (entry.since[-SINCE:].ljust(SINCE + 1), ""),
            (entry.where[:WHERE].ljust(WHERE + 1), "caption"),
            (sentence(entry.what, room, glyphs), entry.role if entry.state != "fine" else ""),
        ]
        out.append(fit(spans, width, "selected" if i == chosen else None))
    return out


def details(entry: Entry | None, width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """Draw what the selected entry says, in whole sentences."""
    out = [fit([("", "title")], width, "title")]
    lines = _lines(entry, width) if entry else ()
    out += [fit([(sentence(text, width, glyphs), role) for text, role in row], width) for row in lines]
    return out[:height]


def _lines(entry: Entry, width: int) -> Iterator[list[Span]]:
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
