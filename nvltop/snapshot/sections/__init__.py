"""`report.md` of a snapshot: what a maintainer asks first, for someone who was not there.

A section is a module of this package (or a function in one) that makes text of a `Snapshot`, and one
line in `SECTIONS`; a section that comes to nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nvltop.snapshot.sections import head, health, jobs, links, node, traffic
from nvltop.snapshot.sections.inputs import Change, Snapshot

__all__ = ["Change", "Snapshot", "to_markdown"]

MAX_CHARS: Final = 60_000
"""GitHub takes 65536 in an issue."""

SECTIONS: Final[tuple[tuple[str, Callable[[Snapshot], str]], ...]] = (
    ("What is wrong", health.findings),
    ("Checks that are pending, unknown or fine", health.checks),
    ("What happened", health.events),
    ("Versions", node.versions),
    ("How fresh this is", node.reading),
    ("GPUs", node.gpus),
    ("Traffic of the last minutes", traffic.traffic),
    ("Matrix and peer-to-peer", node.matrix),
    ("NICs", node.nics),
    ("Link errors", links.errors),
    ("Links", links.links),
    ("Jobs and processes", jobs.jobs_and_processes),
    ("What could not be read", node.unknowns),
    ("The other files", head.files),
)


def to_markdown(snapshot: Snapshot) -> str:
    """Return the report; of links about which there is nothing to say only where there is room for all."""
    whole = _written(snapshot)
    if len(whole) > MAX_CHARS:
        whole = _written(snapshot, {"Links": links.faulty_links})
    if len(whole) > MAX_CHARS:
        whole = whole[:MAX_CHARS] + "\n```\n\nCut off here for its length; `snapshot.json` has everything.\n"
    return whole


def _written(snapshot: Snapshot, instead: dict[str, Callable[[Snapshot], str]] | None = None) -> str:
    parts = [head.head(snapshot)]
    for title, section in SECTIONS:
        text = (instead or {}).get(title, section)(snapshot)
        if text:
            parts.append(f"## {title}\n\n{text}")
    return "\n\n".join(parts) + "\n"
