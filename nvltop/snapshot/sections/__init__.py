"""The sections of `report.md`, which answers what a maintainer asks first.

A section is a function that returns text for a `Snapshot`, and one line in `SECTIONS`. The report of a
healthy node is short, because most sections are folded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nvltop.frozen import frozen
from nvltop.snapshot.sections import head, health, jobs, links, node, traffic
from nvltop.snapshot.sections.inputs import Snapshot, details

__all__ = ["Snapshot", "to_markdown"]

MAX_CHARS: Final = 60_000
"""Longest report in characters; GitHub accepts 65536 in an issue."""


def _always(snapshot: Snapshot) -> bool:
    return True


def _never(snapshot: Snapshot) -> bool:
    return False


@frozen
class Section:
    """A part of the report. Sections that a maintainer reads only when needed are folded."""

    title: str
    render: Callable[[Snapshot], str]
    """Returns the text in Markdown; an empty text omits the section."""
    is_open: Callable[[Snapshot], bool] = _never
    """Whether the section is shown without a click."""


SECTIONS: Final = (
    Section("What is wrong", health.findings, _always),
    Section("Checks that are pending, unknown or fine", health.checks),
    Section("Events", health.events, lambda s: any(not e.before_start for e in s.frame.timeline)),
    Section("GPUs", node.gpus, _always),
    Section("More about the GPUs", node.more_about_gpus),
    Section("Traffic in the last minutes", traffic.traffic),
    Section("Link errors", links.errors, links.has_errors),
    Section("Versions", node.versions),
    Section("Age of the values", node.reading, lambda s: not all(g.state == "ok" for g in s.frame.gpus)),
    Section("Matrix and peer-to-peer", node.matrix),
    Section("NICs", node.nics),
    Section("Links", links.links),
    Section("Jobs and processes", jobs.jobs_and_processes),
    Section("What NCCL reported (RAS)", jobs.nccl, _always),
    Section("Values that could not be read", node.unknowns),
    Section("Other files", head.files),
)


def to_markdown(snapshot: Snapshot) -> str:
    """Return the report; links without faults are omitted if the report would be too long."""
    text = _render(snapshot)
    if len(text) > MAX_CHARS:
        text = _render(snapshot, {"Links": links.faulty_links})
    if len(text) > MAX_CHARS:
        text = text[:MAX_CHARS] + "\n```\n\nThe report is cut off here; `snapshot.json` is complete.\n"
    return text


def _render(snapshot: Snapshot, instead: dict[str, Callable[[Snapshot], str]] | None = None) -> str:
    parts = [head.head(snapshot)]
    for section in SECTIONS:
        text = (instead or {}).get(section.title, section.render)(snapshot)
        if text and section.is_open(snapshot):
            parts.append(f"## {section.title}\n\n{text}")
        elif text:
            parts.append(details(section.title, text))
    return "\n\n".join(parts) + "\n"
