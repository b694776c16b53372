"""The rule log-fault: faults that only a log or an operational event shows, such as an NVSwitch's SXid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.incidents.describe import decisive, where
from nvltop.analysis.incidents.ends import normal, of_inventory
from nvltop.analysis.incidents.roles import described
from nvltop.model import MAX_HEADLINE, Incident, Severity, known
from nvltop.text import shortened

LASTS_S: Final = 3600.0
"""Seconds after the last line of an incident at which the finding ends, as that of an Xid does."""
LOGS: Final = frozenset({"kernel", "fabric-manager", "imex"})
CONFIDENCE: Final = {"certain": "certain", "likely": "likely"}


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Return a claim for each incident since the start that the rules about NVML's events do not cover."""
    return list(_claims(rule_input)), None


def _claims(rule_input: RuleInput) -> Iterator[Claim]:
    by_nvml = rule_input.listening is not None and rule_input.listening.gpus > 0
    by_nvml = by_nvml or any(event.kind == "xid" for event in rule_input.events)
    now_s = rule_input.tick.wall_s
    for incident in rule_input.incidents:
        over = incident.before_start_s is not None or now_s - (incident.ended_s or 0.0) > LASTS_S
        if over or incident.severity < Severity.WARNING or incident.boot is not None:
            continue
        kinds = {e.fault.kind for e in incident.events if e.source in LOGS}
        if not any(e.fault.kind == "xid" for e in incident.events):
            kinds |= {e.fault.kind for e in incident.events if e.fault.kind == "operational"}
        if kinds and not (by_nvml and "xid" in kinds):
            yield _claim(rule_input, incident)


def _claim(rule_input: RuleInput, incident: Incident) -> Claim:
    origin = incident.origin
    by_bus = {normal(g.gpu.pci_bus_id): g.gpu for g in rule_input.gpus if known(g.gpu.pci_bus_id)}
    gpu = by_bus.get(origin.pci_bus_id or "")
    place = where(origin, of_inventory(rule_input.inventory)) or "the NVLink fabric"
    fault = decisive(incident.events, origin)
    short = f"GPU {gpu.index}" if gpu else "NVSwitch" if origin.switch else "node"
    return Claim(
        rule="log-fault",
        gpu=gpu.uuid if gpu else None,
        link=origin.link if gpu else None,
        headline=shortened(f"{described(fault)} on {short}", MAX_HEADLINE),
        summary=incident.summary.split(". ", 1)[0].rstrip("."),
        escalations=(Escalation(incident.severity),),
        evidence={"lines": len(incident.events) + incident.left_out, "origin": place},
        next_step=incident.next_step,
        source=incident.events[0].source,
        confidence=CONFIDENCE.get(origin.sure, "possible"),
        began_s=incident.began_s,
        identity=f"{incident.began_s or 0.0:.0f}",
    )


RULE_GROUP: Final = RuleGroup("kernel log", ("log-fault",), evaluate, is_check=False)
