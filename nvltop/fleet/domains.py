"""NVLink domains as groups of nodes, and the worst links of all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from nvltop.fleet.errors import LinkErrors, LinkPlace
from nvltop.fleet.model import Domain, FleetFinding, Node, PartialSum, WorstLink
from nvltop.model import Maybe, Missing, known

MAX_WORST_LINKS: Final = 100


def domains(nodes: Iterable[Node]) -> tuple[Domain, ...]:
    """Return the domains with their nodes and sums; nodes without a common fabric come last, as one group."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(node.domain, []).append(node)
    return tuple(_domain(key, groups[key]) for key in sorted(groups, key=lambda key: (not key, key)))


def _domain(key: str, members: list[Node]) -> Domain:
    cluster, _, clique = key.rpartition("/")
    members.sort(key=place)
    return Domain(
        key,
        cluster,
        clique,
        tuple(members),
        # Of a silent node only the number of GPUs that it had is known.
        gpus=PartialSum.of(PartialSum(n.silent or n.gpus) for n in members),
        links=PartialSum.of(PartialSum(n.links) for n in members),
        links_up=PartialSum.of(n.links_up for n in members),
        tx=PartialSum.of(n.tx for n in members),
        rx=PartialSum.of(n.rx for n in members),
        limit=PartialSum.of(PartialSum(n.limit) for n in members),
        errors=PartialSum.of(n.errors for n in members),
    )


def place(node: Node) -> tuple[float, tuple[object, ...]]:
    """Return the sort key of a node: its tray, then its name with numbers in numeric order."""
    return (node.tray if known(node.tray) else float("inf")), natural(node.name)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which `tray2` comes before `tray10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def worst_links(
    errors: LinkErrors, findings: Sequence[FleetFinding], nodes: Sequence[Node]
) -> tuple[WorstLink, ...]:
    """Return the links with errors or findings, the worst first."""
    silent = {node.key for node in nodes if node.silent}
    # All errors of these nodes are in the answer, so other links of them have none.
    counted = set() if errors.truncated else {n.key for n in nodes if known(n.errors.complete)}
    found: dict[LinkPlace, list[FleetFinding]] = {p: [] for p in errors.links if p[0] not in silent}
    for finding in findings:
        if finding.link and finding.gpu and finding.active:
            found.setdefault((finding.node, finding.gpu, finding.link), []).append(finding)
    links = []
    for place, its in found.items():
        kinds = errors.links.get(place, {})
        count: Maybe[float] = 0 if place[0] in counted else Missing("its error counters are not known")
        if place[0] in silent:
            count = Missing("the node is silent")
        elif kinds:
            count = round(sum(kinds.values()))
        kind = max(kinds, key=lambda kind: kinds[kind]) if kinds and place[0] not in silent else ""
        its.sort(key=lambda f: -f.severity.rank)
        links.append(WorstLink(*place, count, kind, tuple(its), place[0] in silent))
    links.sort(key=_badness)
    return tuple(links[:MAX_WORST_LINKS])


def _badness(link: WorstLink) -> tuple[float, float, object]:
    severity = max((f.severity.rank - 0.5 * (f.role == "follows") for f in link.findings), default=-1.0)
    errors = link.errors if known(link.errors) else 0.0
    return -severity, -errors, (natural(link.node), natural(link.gpu), natural(link.link))
