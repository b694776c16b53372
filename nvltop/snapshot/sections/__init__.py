"""The sections of `report.md`, which answers what a maintainer asks first.

A section is a function that returns text for a `Snapshot`, and one line in `SECTIONS`; a section without
text is omitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nvltop.snapshot.sections import head, health, jobs, links, node, traffic
from nvltop.snapshot.sections.inputs import Change, Snapshot

__all__ = ["Change", "Snapshot", "to_markdown"]

MAX_CHARS: Final = 60_000
"""Longest report in characters; GitHub accepts 65536 in an issue."""

SECTIONS: Final[tuple[tuple[str, Callable[[Snapshot], str]], ...]] = (
    ("What is wrong", health.findings),
    ("Checks that are pending, unknown or fine", health.checks),
    ("Events", health.events),
    ("Versions", node.versions),
    ("Age of the values", node.reading),
    ("GPUs", node.gpus),
    ("Traffic in the last minutes", traffic.traffic),
    ("Matrix and peer-to-peer", node.matrix),
    ("NICs", node.nics),
    ("Link errors", links.errors),
    ("Links", links.links),
    ("Jobs and processes", jobs.jobs_and_processes),
    ("Values that could not be read", node.unknowns),
    ("Other files", head.files),
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
    for title, section in SECTIONS:
        text = (instead or {}).get(title, section)(snapshot)
        if text:
            parts.append(f"## {title}\n\n{text}")
    return "\n\n".join(parts) + "\n"
