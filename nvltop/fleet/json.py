"""The JSON report of many nodes, for programs: schema `nvltop-fleet/1`.

A value that is unknown is null, and the object that holds it gives the reason under `missing`. `unknown` is
the number of members that are not, or not completely, in each sum: of a node its GPUs, of a domain its nodes.
Later versions add keys and rename none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from nvltop import __version__
from nvltop.fleet.model import Domain, FleetFinding, FleetView, Node, PartialSum, WorstLink
from nvltop.model import known
from nvltop.report.json_values import as_object, utc

SCHEMA: Final = "nvltop-fleet/1"


def render(view: FleetView, several: bool = False, ascii_only: bool = False) -> str:
    """Return a view as a JSON text: indented if it is the only one, else on one line."""
    return json.dumps(to_json(view), indent=None if several else 1, ensure_ascii=ascii_only, allow_nan=False)


def to_json(view: FleetView) -> dict[str, Any]:
    """Return a view as JSON values."""
    names = {node.key: node.name for node in view.nodes}
    return {
        "schema": SCHEMA,
        "version": __version__,
        "time": utc(view.time_s),
        "source": view.source or None,
        "simulated": view.simulated or None,
        **as_object(
            window_s=view.window_s,
            errors_window_s=view.errors_window_s,
            scrape_interval_s=view.scrape_interval_s,
        ),
        "warnings": list(view.warnings),
        "nodes": [_node(node, names) for domain in view.domains for node in domain.nodes],
        "domains": [_domain(domain) for domain in view.domains],
        "worst_links": [_link(link, names) for link in view.worst_links],
        "findings": [_finding(finding, names) for finding in view.findings],
    }


def _sums(**sums: PartialSum) -> dict[str, Any]:
    """Return the values of sums, and how many members of each are unknown."""
    found = as_object(**{name: part.value for name, part in sums.items()})
    found["unknown"] = {name: part.unknown for name, part in sums.items()}
    return found


def _merged(*objects: dict[str, Any]) -> dict[str, Any]:
    """Return one object with the keys of several, and all their `missing`."""
    missing = {key: reason for one in objects for key, reason in one.get("missing", {}).items()}
    whole = {key: value for one in objects for key, value in one.items() if key != "missing"}
    return whole | ({"missing": missing} if missing else {})


def _node(node: Node, names: dict[str, str]) -> dict[str, Any]:
    worst = node.worst
    return _merged(
        {"name": node.name, "labels": dict(node.labels), "domain": node.domain or None},
        {"state": "silent" if node.silent else "ok"},
        as_object(
            silent_since=utc(node.silent_since_s) if known(node.silent_since_s) and node.silent else None,
            age_s=_rounded(node.age_s),
            tray=node.tray,
            gpus=node.gpus,
            links=node.links,
            limit_share=node.limit_share,
            tx_rx_bytes_per_s=node.combined,
            step_s=node.step_s,
            verdict=node.verdict,
        ),
        _sums(links_up=node.links_up, tx_bytes_per_s=node.tx, rx_bytes_per_s=node.rx, errors=node.errors),
        {"worst": _finding(worst, names) if worst else None},
    )


def _rounded(value: Any) -> Any:
    return round(value, 1) if isinstance(value, float) else value


def _domain(domain: Domain) -> dict[str, Any]:
    return _merged(
        {
            "key": domain.key or None,
            "cluster_uuid": domain.cluster_uuid or None,
            "clique_id": domain.clique_id or None,
            "nodes": [node.name for node in domain.nodes],
            "silent": domain.silent,
        },
        _sums(
            gpus=domain.gpus,
            links=domain.links,
            links_up=domain.links_up,
            tx_bytes_per_s=domain.tx,
            rx_bytes_per_s=domain.rx,
            errors=domain.errors,
        ),
    )


def _link(link: WorstLink, names: dict[str, str]) -> dict[str, Any]:
    return {
        "node": names.get(link.node, link.node),
        "gpu": link.gpu,
        "link": link.link,
        "silent": link.silent,
        **as_object(errors=link.errors),
        "kind": link.kind or None,
        "findings": _rules(link.findings),
    }


def _rules(findings: Sequence[FleetFinding]) -> list[str]:
    return list(dict.fromkeys(finding.rule for finding in findings))


def _finding(finding: FleetFinding, names: dict[str, str]) -> dict[str, Any]:
    return {
        "node": names.get(finding.node, finding.node),
        "kind": finding.kind,
        "rule": finding.rule,
        "severity": finding.severity.value,
        "gpu": finding.gpu or None,
        "link": finding.link or None,
        "nic": finding.device or None,
        "since": None if finding.first_s is None else utc(finding.first_s),
        "since_is_exact": finding.exact,
        "active": finding.active,
        "role": finding.role or None,
    }
