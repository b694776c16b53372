"""Texts of the tab Events: the columns of an event, and the selected event in whole sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from nvltop.formatting import duration
from nvltop.model import Frame, Severity, TimelineEvent
from nvltop.report.timeline import event_details, event_place
from nvltop.text import clean
from nvltop.tui.render.glyphs import Glyphs
from nvltop.tui.render.header import SEVERITY_ROLES
from nvltop.tui.render.row import TextRun, fit_text

MARKS: Final = {Severity.CRITICAL: "!!", Severity.WARNING: "!", Severity.NOTICE: "*"}
"""Mark of an event by its severity; others have none."""


def mark(e: TimelineEvent) -> TextRun:
    """Return the mark of an event, in the colour of its severity."""
    return MARKS.get(e.severity, ""), role(e)


def role(e: TimelineEvent) -> str:
    """Return the role of an event: that of its severity while it lasts or if it had no duration."""
    return "" if e.ended_s is not None and e.severity < Severity.CRITICAL else SEVERITY_ROLES[e.severity]


def detail_lines(frame: Frame, e: TimelineEvent, width: int, glyphs: Glyphs) -> list[list[TextRun]]:
    """Return the lines below the list: when, from and to, cause, what it still means."""
    out = []
    for caption, text in _sentences(frame, e):
        head = f"{caption}: " if caption else ""
        wrapped = textwrap.wrap(head + clean(text), max(10, width - 1), subsequent_indent="  ")
        for i, line in enumerate(wrapped):
            cut = len(head) if i == 0 else 0
            runs: list[TextRun] = [(line[:cut], "caption"), (fit_text(line[cut:], width, glyphs), "")]
            out.append(runs)
    return out


def _sentences(frame: Frame, e: TimelineEvent) -> Iterator[tuple[str, str]]:
    change = f", from {e.before} to {e.after}" if e.before else ""
    yield "", f"{event_place(frame, e)}: {event_details(frame, e)}{change}"
    yield "When", _when(e)
    if e.cause:
        yield "Follows from", e.cause
    if e.lasts:
        yield "Still", "it lasts" + (f". Next step: {e.next_step}" if e.next_step else "")
    elif e.ended_s is not None:
        yield "Still", "nothing: it is over"
    elif e.next_step:
        yield "NVIDIA's action", e.next_step
    if e.log is not None:
        yield "Log", f"{e.log.fault.text} ({e.log.source})"
    if e.rule:
        yield "Rule", e.rule


def _when(e: TimelineEvent) -> str:
    began = f"{datetime.fromtimestamp(e.began_s):%Y-%m-%d %H:%M:%S}" if e.began_s else "unknown"
    if e.ended_s is not None:
        over_s = max(0.0, e.ended_s - e.began_s)
        return f"{began} to {datetime.fromtimestamp(e.ended_s):%H:%M:%S} ({duration(over_s)})"
    if e.before_start:
        return f"{began}, before nvltop started"
    return f"since {began}" if e.lasts else began
