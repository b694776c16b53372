"""The text report of many nodes: for `--once`, pipes and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nvltop import __version__
from nvltop.fleet import phrases
from nvltop.fleet.model import Domain, FleetView, Node, PartialSum, WorstLink
from nvltop.fleet.queries import duration
from nvltop.formatting import UNKNOWN, age, count, gb_per_s, percent
from nvltop.model import known, or_none
from nvltop.model.error_kinds import error_kind
from nvltop.text import noun_for

MAX_EVENTS: Final = 30
MAX_LINKS: Final = 15
NAME_WIDTH: Final = 24


def render(view: FleetView) -> str:
    """Return a view as text."""
    return "\n".join(_lines(view))


def _lines(view: FleetView) -> Iterator[str]:
    made = f"SIMULATED {view.simulated}" if view.simulated else f"metrics of {view.source or 'nothing'}"
    yield f"nvltop {__version__} · {phrases.clock(view.time_s)} · {made} · {phrases.windows_text(view)}"
    if note := phrases.source_note(view):
        yield note
    if not view.source:
        yield "Prometheus has no metrics of nvltop (nvltop_gpus) and none of dcgm-exporter for this selection"
    for domain in view.domains:
        yield ""
        yield f"{phrases.domain_title(domain)}: {phrases.domain_line(domain)}"
        yield from _nodes(domain, view)
    if view.worst_links:
        yield ""
        yield f"worst links (errors over {duration(view.errors_window_s)})"
        names = {node.key: node.name for node in view.nodes}
        yield from (_link(link, names) for link in view.worst_links[:MAX_LINKS])
    events = phrases.event_lines(view)
    if events:
        yield ""
        yield "events of the last hour, the first on top (~ time of a scrape; began: cause, follows: echo)"
        for line in events[-MAX_EVENTS:]:
            ended = "" if line.active else " (ended)"
            yield f"{phrases.event_time(line):>9} {line.role:8}{line.where:{NAME_WIDTH}} {line.text}{ended}"
    for warning in view.warnings:
        yield f"warning: {warning}"


def _nodes(domain: Domain, view: FleetView) -> Iterator[str]:
    width = max([4, *(len(node.name) for node in domain.nodes)])
    errors = f"ERR {duration(view.errors_window_s)}"
    head = f"{'NODE':{width}} GPUS    LINKS TX GB/s RX GB/s %MAX {errors:>7}   STEP    AGE"
    yield f"{head}  WORST FINDING OR VERDICT"
    yield from (_node(node, width) for node in domain.nodes)


def _node(node: Node, width: int) -> str:
    cells = [
        f"{node.name:{width}}",
        f"{node.gpus if known(node.gpus) else UNKNOWN:>4}",
        f"{phrases.links_text(node.links_up, node.links):>8}",
        f"{rate_cell(node.tx):>7}",
        f"{rate_cell(node.rx):>7}",
        percent(node.limit_share, 4),
        f"{count_cell(node.errors):>7}",
        f"{f'{node.step_s:.2f}s' if known(node.step_s) else '-' if not node.silent else UNKNOWN:>6}",
        f"{age(node.age_s) if known(node.age_s) else UNKNOWN:>6}",
        f" {combined(node)}{phrases.worst_text(node)}",
    ]
    return " ".join(cells)


def combined(node: Node) -> str:
    """Return the rate of both directions together, where they are not known separately."""
    if not known(node.combined) or known(node.tx.value):
        return ""
    return f"TX+RX {gb_per_s(node.combined, 0)} GB/s · "


def rate_cell(part: PartialSum, per_byte: int = 1) -> str:
    """Return a sum of rates in GB/s, with `+?` if a member is unknown."""
    if not known(part.value):
        return UNKNOWN
    return gb_per_s(part.value * per_byte, 0) + ("+?" if part.unknown else "")


def count_cell(part: PartialSum) -> str:
    """Return a sum of counts, with `+?` if a member is unknown."""
    return count(part.value, 0) + ("+?" if part.unknown and known(part.value) else "")


def _link(link: WorstLink, names: dict[str, str]) -> str:
    where = f"{names.get(link.node, link.node)} GPU {link.gpu} link {link.link}"
    return f"  {where:{NAME_WIDTH + 8}} {link_text(link)}"


def link_text(link: WorstLink) -> str:
    """Return errors and findings of a link."""
    kind = f" ({error_kind(link.kind).plural})" if link.kind else ""
    parts: Sequence[str] = [
        f"{count(link.errors, 0)} {noun_for(or_none(link.errors) or 0, 'error')}{kind}",
        *dict.fromkeys(phrases.described(finding) for finding in link.findings),
        *(["its node is silent"] if link.silent else []),
    ]
    return " · ".join(parts)
