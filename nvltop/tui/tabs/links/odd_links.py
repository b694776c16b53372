"""The odd links: those that a finding, or a condition on its way to one, is about."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, TypeAlias

from nvltop.model import Finding, Frame, Severity
from nvltop.report.findings import clock, links_of
from nvltop.tui.render.row import SEPARATOR, TextRun
from nvltop.tui.render.view_state import ViewState

LINK_CHECK: Final = "links"
"""Name of the check of the states and speeds of all links."""
LINK_RULES: Final = frozenset(
    (
        "link-down",
        "fewer-links",
        "bridge-partial",
        "no-bridge",
        "traffic-disabled",
        "link-speed",
        "switch-plane",
    )
)
"""Rules about the links of a GPU that may name no single link."""
RATE_RULES: Final = frozenset(("link-imbalance", "link-speed", "switch-plane"))
"""Rules about links whose rate differs from that of comparable links."""
LIFETIME_RULES: Final = frozenset(("link-outlier", "link-error-rate"))
"""Rules about lifetime counts: most of the errors came before the finding began."""
SEVERITY_ROLES: Final = {Severity.CRITICAL: "error", Severity.WARNING: "warn"}
DOMAIN: Final = "00000000:"
"""PCI domain of most machines, which is left out."""

OddCells: TypeAlias = frozenset[tuple[str, int, str]]
"""UUID of the GPU, link, and direction (`tx` or `rx`) of each cell that stands out."""


def about_links(frame: Frame) -> list[tuple[Finding, bool]]:
    """Return the findings about links, the worst first, and whether each is confirmed.

    Findings about a GPU whose links cannot be read are among them.
    """
    found = [(f, True) for f in frame.findings]
    found += [(p.finding, False) for p in frame.pending]
    unread = {g.gpu.uuid for g in frame.gpus if g.state != "ok"}
    return [
        (f, sure)
        for f, sure in found
        if f.severity.is_problem and f.nic is None
        if f.rule in LINK_RULES or (f.gpu and _links(f)) or f.gpu in unread
    ]


def _links(finding: Finding) -> list[int]:
    """Return the links that a finding is about; empty if it is about a GPU, or about no link."""
    return [link for link in links_of(finding) if link is not None]


def _gpus(frame: Frame, finding: Finding) -> list[str]:
    """Return the UUIDs of the GPUs that a finding is about."""
    if finding.gpu:
        return [finding.gpu]
    numbers = finding.evidence.get("gpus")
    numbers = numbers if isinstance(numbers, (list, tuple)) else ()
    return [g.gpu.uuid for g in frame.gpus if g.gpu.index in numbers]


def odd_cells(frame: Frame) -> OddCells:
    """Return the cells that stand out: links that are down or slow, and directions with an odd rate."""
    cells: set[tuple[str, int, str]] = set()
    for finding, _ in about_links(frame):
        if finding.rule in LINK_RULES or finding.rule in RATE_RULES:
            odd = finding.evidence.get("direction")
            directions = [direction for direction in ("tx", "rx") if odd in (None, direction)]
            cells.update(product(_gpus(frame, finding), _links(finding), directions))
    return frozenset(cells)


def sentence(view: ViewState) -> list[TextRun]:
    """Return a text for each odd link, the worst first; without any, the outcome of the check of links."""
    frame = view.frame
    found = about_links(frame)
    texts = [
        (_text(view, finding, sure), SEVERITY_ROLES.get(finding.severity, "caption"))
        for finding, sure in found
        if not finding.caused_by
    ]
    roots = {finding.key for finding, _ in found if not finding.caused_by}
    following = sum(finding.caused_by in roots for finding in frame.findings)
    if following:
        texts.append((f"{following} more follow{'s' * (following == 1)} from that (Health)", "caption"))
    if texts:
        return texts
    return [
        (check.detail, "warn" if check.outcome == "unknown" else "caption")
        for check in frame.checks
        if check.name == LINK_CHECK and check.detail
    ]


def _text(view: ViewState, finding: Finding, sure: bool) -> str:
    """Return `GPU 3 link 7 DOWN (17 of 18 up) since 10:20:24 (to NVSwitch 05:00.0 link 7)`."""
    text = finding.headline or finding.summary
    if finding.began_s is not None and finding.rule not in LIFETIME_RULES:
        text += f" since {clock(finding.began_s)}"
    links = _links(finding)
    gpu = next((g for g in view.frame.gpus if g.gpu.uuid == finding.gpu), None)
    if gpu and len(links) == 1 and links[0] < len(gpu.links):
        text += f" (to {view.remote_end(gpu.links[links[0]]).replace(DOMAIN, '')})"
    return text if sure else f"{text} (not confirmed yet)"


def wrapped(texts: Sequence[TextRun], width: int, lines: int) -> list[list[TextRun]]:
    """Return texts in lines of at most `width` columns; what does not fit into `lines` is counted."""
    out: list[list[TextRun]] = []
    used = 0
    for i, (text, role) in enumerate(texts):
        if out and used + len(SEPARATOR) + len(text) <= width:
            out[-1] += [(SEPARATOR, ""), (text, role)]
            used += len(SEPARATOR) + len(text)
        elif len(out) < lines:
            out.append([(text, role)])
            used = len(text)
        else:
            more = f"{SEPARATOR}{len(texts) - i} more"
            if used + len(more) <= width:
                out[-1].append((more, "caption"))
            break
    return out
