"""Sums, findings and events of many nodes as text, for the report and the screen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.fleet.model import Domain, FleetFinding, FleetView, Node, PartialSum
from nvltop.fleet.queries import duration
from nvltop.formatting import BYTES, UNKNOWN, Unit, age
from nvltop.frozen import frozen
from nvltop.kernel_log.catalog import lookup
from nvltop.model import Maybe, Missing, Severity, known
from nvltop.text import counted

VERDICTS: Final = {
    "busy-no-traffic": "busy without NVLink traffic",
    "carrying": "carries traffic",
    "no-gpu": "no GPU",
    "no-link-up": "no link up",
    "no-nvlink": "no NVLink",
    "partly": "NVLink limits in part",
    "pcie": "traffic over PCIe",
    "saturated": "NVLink limits",
    "silent": "job without traffic",
    "unknown": "verdict unknown",
}
"""Short forms of verdicts; the others are short already."""


@frozen
class EventLine:
    """One event in order of time, or the echoes of the one before it."""

    first_s: float | None
    exact: bool
    where: str
    text: str
    severity: Severity
    active: bool
    role: str
    node: str = ""
    """Key of the node; empty for echoes on several."""


def rate_sum(part: PartialSum, unit: Unit = BYTES) -> str:
    """Return a sum of rates, such as `1.70 TB/s + 1 unknown`."""
    if not known(part.value):
        return UNKNOWN
    return unit.text(part.value) + _unknown(part)


def count_sum(part: PartialSum) -> str:
    """Return a sum of numbers, such as `1224 + 1 unknown`."""
    return (f"{part.value:.0f}" if known(part.value) else UNKNOWN) + _unknown(part)


def _unknown(part: PartialSum) -> str:
    return f" + {part.unknown} unknown" if part.unknown and known(part.value) else ""


def links_text(up: PartialSum, links: Maybe[int]) -> str:
    """Return the links up over those present: `72/72`, `54+?/72`."""
    if not known(up.value):
        return UNKNOWN
    more = "+?" if up.unknown else ""
    return f"{up.value:.0f}{more}/{links if known(links) else UNKNOWN}"


def clock(time_s: float) -> str:
    """Return the local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(time_s))


def domain_title(domain: Domain) -> str:
    """Return the name of a domain."""
    if not domain.key:
        return "nodes without a common NVLink domain"
    return f"NVLink domain {domain.cluster_uuid[:8]} clique {domain.clique_id or UNKNOWN}"


def domain_line(domain: Domain, unit: Unit = BYTES) -> str:
    """Return the sums of a domain, the most important first."""
    parts = [counted(len(domain.nodes), "node") + (f", {domain.silent} silent" if domain.silent else "")]
    parts += [f"TX {rate_sum(domain.tx, unit)}", f"RX {rate_sum(domain.rx, unit)}"]
    parts.append(f"{count_sum(domain.links_up)} links up")
    return " · ".join(parts)


def described(finding: FleetFinding) -> str:
    """Return what a finding is, without its place: `Xid 149 NVLink NETIR`, `link-down`."""
    if finding.kind == "xid":
        code = finding.rule.removeprefix("xid-")
        return f"Xid {code} {lookup(int(code)).short}"
    return finding.rule


def place(finding: FleetFinding, name: str = "") -> str:
    """Return where a finding is: `tray04 GPU 1 link 9`."""
    parts = [name] if name else []
    parts += [f"GPU {finding.gpu}"] if finding.gpu else []
    parts += [f"link {finding.link}"] if finding.link and finding.gpu else []
    parts += [finding.device] if finding.device else []
    return " ".join(parts)


def worst_text(node: Node) -> str:
    """Return the worst finding of a node, and the number of the others; why it is silent if it is."""
    return worst_texts(node)[0]


def worst_texts(node: Node) -> Sequence[str]:
    """Return `worst_text`, then shorter forms: without link, GPU, name of the Xid, number of the others."""
    if node.silent:
        return (node.silent.reason,)
    worst = node.worst
    if worst is None:
        return (VERDICTS.get(node.verdict, node.verdict) if known(node.verdict) else "-",)
    others = f"+{len(node.findings) - 1}" if len(node.findings) > 1 else ""
    echo = "echo:" if worst.role == "follows" else ""
    what, where, gpu = described(worst), place(worst), place(replace(worst, link=""))
    short = " ".join(what.split()[:2]) if worst.kind == "xid" else what
    forms = (what, where, others), (what, gpu, others), (short, gpu, others), (short, others), (short,)
    return [" ".join(part for part in (echo, *form) if part) for form in forms]


def windows_text(view: FleetView) -> str:
    """Return the windows of rates and error counts."""
    return f"rates over {duration(view.window_s)}, errors over {duration(view.errors_window_s)}"


def source_note(view: FleetView) -> str:
    """Return what limits all values; empty if nothing does."""
    if view.source == "dcgm-exporter":
        return "from dcgm-exporter: per GPU only, no links, no findings of nvltop"
    return ""


def event_lines(view: FleetView) -> list[EventLine]:
    """Return the events of the last hour in order of time; the echoes of a cause share a line behind it."""
    names = {node.key: node.name for node in view.nodes}
    domain_of = {node.key: node.domain or node.key for node in view.nodes}
    echoes: dict[int, list[FleetFinding]] = {}
    cause_of: dict[str, int] = {}
    for i, finding in enumerate(view.findings):
        domain = domain_of.get(finding.node, "")
        if finding.role == "began":
            cause_of[domain] = i
        elif finding.role == "follows" and domain in cause_of:
            echoes.setdefault(cause_of[domain], []).append(finding)
    lines = []
    folded = {id(f) for group in echoes.values() for f in group}
    for i, finding in enumerate(view.findings):
        if id(finding) in folded or finding.severity is Severity.INFO:
            continue
        where = place(finding, names.get(finding.node, finding.node))
        lines.append(
            EventLine(
                finding.first_s,
                finding.exact,
                where,
                described(finding),
                finding.severity,
                finding.active,
                finding.role,
                finding.node,
            )
        )
        if i in echoes:
            lines.append(_echo_line(echoes[i], finding, names))
    return lines


def _echo_line(group: Sequence[FleetFinding], cause: FleetFinding, names: Mapping[str, str]) -> EventLine:
    kinds = Counter(described(f) for f in group)
    what = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in kinds.most_common(3))
    more = len(kinds) - 3
    nodes = {f.node for f in group}
    last_s = max(f.first_s or 0.0 for f in group)
    within = max(0.0, last_s - (cause.first_s or 0.0))
    where = names.get(group[0].node, "") if len(nodes) == 1 else f"{len(nodes)} nodes"
    text = f"{what}{' and ' + counted(more, 'more kind') if more > 0 else ''} within {age(within)}"
    worst = max((f.severity for f in group), key=lambda s: s.rank)
    first = group[0]
    active = any(f.active for f in group)
    return EventLine(first.first_s, first.exact, where, text, worst, active, "follows")


def event_time(line: EventLine) -> str:
    """Return when an event began; `~` in front of a time that is that of a scrape."""
    if line.first_s is None:
        return "over 1h"
    return ("" if line.exact else "~") + clock(line.first_s)


def reason(value: Maybe[object]) -> str:
    """Return why a value is unknown; empty if it is known."""
    return value.reason if isinstance(value, Missing) else ""
