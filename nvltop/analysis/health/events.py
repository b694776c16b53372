"""Rules about Xid events of the driver: xid-nvlink, xid-gpu; and which GPU is the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.health.board import Interconnect
from nvltop.analysis.health.claim import XID_CATALOG, Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names
from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
from nvltop.analysis.health.xids import (
    AT_ONCE_S,
    Evidence,
    at_once,
    evidence,
    severity,
)
from nvltop.analysis.incidents.culprits import NEAR_S
from nvltop.analysis.incidents.describe import decisive
from nvltop.analysis.incidents.ends import normal
from nvltop.formatting import age
from nvltop.kernel_log.catalog import PEER_ACCESS, SOURCES, UNDECIDED, UNKNOWN_XID, lookup
from nvltop.model import Culprit, Event, GpuFrame, Incident, Missing, Severity, known
from nvltop.text import counted, ranges

RACK_STEP: Final = (
    "Look for the first Xid 149 among the rack's trays (`dmesg`, `journalctl -k`); do not reset the GPUs"
    " of this tray unless the driver requests it"
)
BOARD_STEP: Final = "Check the NVSwitches first: SXid lines in `dmesg`, and the fabric manager's log"
UNPLACED_S: Final = 2.0
"""Time in which it becomes known which GPU is lost, if the driver did not say on which an Xid occurred."""
PROGRAM_STEP: Final = "Check the program that ran there (its peer accesses); the GPU needs no reset"


def evaluate(rule_input: RuleInput) -> RuleResult:
    """Check the Xid events since nvltop started; earlier ones are only in the kernel log."""
    now_s = rule_input.tick.mono_s
    placed = [_placed(rule_input, e) for e in rule_input.events if e.kind == "xid"]
    xids = [e for e in placed if e.gpu is not None or now_s - e.mono_s >= UNPLACED_S]
    claims = list(_claims(rule_input, xids)) if xids else []
    if rule_input.listening is None:
        return claims, Missing("not listening for Xids yet")
    if not rule_input.listening.gpus:
        return claims, Missing("this driver sends no events here; look for Xid lines in `dmesg`")
    # A duration, not a time of day: the analysis must not depend on the local time zone.
    listened = age(max(0.0, rule_input.tick.mono_s - rule_input.listening.mono_s))
    some = "Xids ended again" if xids else "no Xid"
    return claims, (
        f"{some} in the {listened} since nvltop started; see `dmesg` for older ones and for NVSwitch SXids"
    )


def _placed(rule_input: RuleInput, event: Event) -> Event:
    """Return the event with the lost GPU if it has none: the driver cannot identify a lost GPU."""
    lost = [g for g in rule_input.gpus if g.state == "lost"]
    return replace(event, gpu=lost[0].gpu.uuid) if event.gpu is None and len(lost) == 1 else event


def _claims(rule_input: RuleInput, xids: Sequence[Event]) -> Iterator[Claim]:
    """Claim the Xids that all GPUs reported at once, and the others for each GPU."""
    by_uuid = {g.gpu.uuid: g for g in rule_input.gpus}
    together = at_once(rule_input, xids)
    if together:
        claim = _together(rule_input, together)
        if claim:
            yield claim
    taken = {id(e) for e in together}
    began = {culprit.gpu: culprit for culprit in rule_input.culprits}
    echo_of = {e.gpu: source for source, culprit in began.items() for e in culprit.echoes}
    groups: dict[tuple[str | None, bool], list[Event]] = {}
    for event in xids:
        if id(event) not in taken:
            groups.setdefault((event.gpu, lookup(event.code).nvlink), []).append(event)
    for (gpu, _), events in groups.items():
        g = by_uuid.get(gpu or "")
        seen = evidence(rule_input, g, max(e.mono_s for e in events))
        claim = _gpu_claim(rule_input, g, events, seen, gpu in began)
        if claim is None:
            continue
        if gpu in began:
            claim = _named_source(claim, began[gpu], by_uuid)
        elif (blamed := _other_end(rule_input, g, events)) is not None:
            claim = replace(
                claim,
                summary=f"{claim.summary}; {blamed.origin.reason[:1].lower()}{blamed.origin.reason[1:]}",
                next_step=blamed.next_step,
            )
        if (own := _own_incident(rule_input, g, events)) is not None:
            claim = replace(claim, next_step=own.next_step)
        source = echo_of.get(gpu)
        if source:
            codes = [e.code for e in xids if e.gpu == source]
            who = gpu_name(by_uuid[source]) if source in by_uuid else "another GPU"
            maybe = "possibly" if began[source].sure == "possible" else "likely"
            claim = replace(
                claim,
                summary=f"{claim.summary}; it {maybe} echoes the fault of {who}",
                cause=(_rule(min(codes, key=lambda code: code not in SOURCES)), source) if codes else None,
                escalations=(Escalation(claim.escalations[-1].severity),),
            )
        yield claim


def _other_end(rule_input: RuleInput, g: GpuFrame | None, events: Sequence[Event]) -> Incident | None:
    """Return the incident in which the log blames the other end of a link of this GPU, if there is one."""
    if g is None or not known(g.gpu.pci_bus_id):
        return None
    place, last_s = normal(g.gpu.pci_bus_id), max(e.wall_s for e in events)
    for incident in rule_input.incidents:
        blamed = incident.origin.blames == "remote-end" and incident.origin.pci_bus_id != place
        at = {e.fault.pci_bus_id for e in incident.events if e.fault.blames == "remote-end"}
        near = (incident.began_s or 0.0) - NEAR_S <= last_s <= (incident.ended_s or 0.0) + NEAR_S
        if blamed and place in at and near:
            return incident
    return None


def _own_incident(rule_input: RuleInput, g: GpuFrame | None, events: Sequence[Event]) -> Incident | None:
    """Return the incident that one of these Xids began on this GPU, which has a better next step."""
    if g is None or not known(g.gpu.pci_bus_id):
        return None
    place, codes = normal(g.gpu.pci_bus_id), {e.code for e in events}
    last_s = max(e.wall_s for e in events)
    for incident in rule_input.incidents:
        near = (incident.began_s or 0.0) - NEAR_S <= last_s <= (incident.ended_s or 0.0) + NEAR_S
        if (
            near
            and incident.origin.pci_bus_id == place
            and decisive(incident.events, incident.origin).code in codes
        ):
            return incident
    return None


def _rule(code: int) -> str:
    return "xid-nvlink" if lookup(code).nvlink else "xid-gpu"


def _gpu_claim(
    rule_input: RuleInput, g: GpuFrame | None, events: Sequence[Event], seen: Evidence, blamed: bool
) -> Claim | None:
    codes = _codes(events)
    now = severity(codes, seen, rule_input.tick.mono_s - max(e.mono_s for e in events), blamed)
    if now is None:
        return None
    # The worst code, or the newest of several, represents the GPU; a forbidden access explains the others.
    top = PEER_ACCESS if PEER_ACCESS in codes and not seen.damage and not blamed else codes[0]
    others = [code for code in codes if code != top]
    where = gpu_name(g) if g else "A GPU that the driver does not identify"
    word = "Unknown Xid" if top == UNKNOWN_XID else f"Xid {top}"
    more = f" +{len(others)}" if others else ""
    meanings = " and ".join(f"{_word(code)} ({lookup(code).meaning})" for code in (top, *others))
    times = sum(e.code == top for e in events)
    summary = f"{where} reported {meanings}" + (f", {_word(top)} {times} times" if times > 1 else "")
    nvlink = lookup(top).nvlink
    if nvlink and seen.action == 0 and not seen.damage:
        summary += ": no link is down, no counter rose, and the driver requests no reset"
    elif seen.action:
        summary += ": the driver requests a recovery action"
    return Claim(
        rule=_rule(top),
        gpu=events[0].gpu,
        headline=f"{word}{more}{f' on {where}' if g else ''}: {lookup(top).short}",
        summary=summary,
        # All GPUs may report an undecided code at once: wait, as that is one finding for all of them.
        escalations=(
            Escalation(now, after_s=AT_ONCE_S if now is Severity.WARNING and top in UNDECIDED else 0.0),
        ),
        evidence=_evidence(events, seen),
        next_step=PROGRAM_STEP if top == PEER_ACCESS and others else lookup(top).action,
        source=XID_CATALOG,
        confidence="certain" if not nvlink or seen.damage else "likely",
        began_s=min(e.wall_s for e in events),
    )


def _codes(events: Sequence[Event]) -> list[int]:
    """Return the codes, the worst first; among equally severe codes, the newest first."""
    newest = {e.code: e.mono_s for e in events}
    return sorted(newest, key=lambda code: (-lookup(code).severity.rank, -newest[code]))


def _word(code: int) -> str:
    return "an unknown Xid" if code == UNKNOWN_XID else f"Xid {code}"


def _evidence(events: Sequence[Event], seen: Evidence | None) -> dict[str, object]:
    found: dict[str, object] = {
        "xid": events[-1].code,
        "times": len(events),
        "codes": sorted({e.code for e in events}),
        "last_unix_s": round(max(e.wall_s for e in events), 3),
    }
    if seen:
        found |= {
            "recovery_action": seen.action,
            "links_down": list(seen.links_down),
            "errors_since_start": seen.errors,
        }
    return found


def _named_source(claim: Claim, culprit: Culprit, by_uuid: Mapping[str, GpuFrame]) -> Claim:
    echoes = culprit.echoes
    peers = {e.gpu for e in echoes}
    codes = ranges(sorted({e.code for e in echoes}), ", ")
    count = counted(len(peers), "peer")
    where = gpu_name(by_uuid[claim.gpu]) if claim.gpu is not None and claim.gpu in by_uuid else "it"
    word = "possible" if culprit.sure == "possible" else "likely"
    return replace(
        claim,
        summary=f"{claim.summary}; {count} reported {codes}, so {where} is the {word} source",
        confidence=word,
    )


def _together(rule_input: RuleInput, events: Sequence[Event]) -> Claim | None:
    """Claim that all GPUs reported the same Xids at once; one claim about the node."""
    last_s = max(e.mono_s for e in events)
    members = [g for g in rule_input.gpus if g.gpu.uuid in {e.gpu for e in events}]
    seen = [evidence(rule_input, g, last_s) for g in members]
    codes = sorted({e.code for e in events})
    worst = [severity(codes, s, rule_input.tick.mono_s - last_s) for s in seen]
    lasting = [w for w in worst if w]
    if not lasting:
        return None
    damaged = [g for g, s in zip(members, seen, strict=True) if s.damage]
    listed = ", ".join(map(str, codes))
    short = f"{codes[0]} +{len(codes) - 1}" if len(codes) > 1 else listed
    board = rule_input.board
    if damaged:
        tail = f"; {gpu_names(damaged)} also shows damage, check there first"
        step = lookup(codes[-1]).action
    elif board.interconnect is Interconnect.RACK:
        tail = (
            "; no link, counter or other Xid of this tray shows a cause:"
            " the source is likely outside this tray"
        )
        step = RACK_STEP
    else:
        tail = ", so none of them stands out as the source"
        step = (
            BOARD_STEP
            if board.interconnect in (Interconnect.SWITCH, Interconnect.SWITCH5)
            else lookup(codes[-1]).action
        )
    outside = board.interconnect is Interconnect.RACK and not damaged
    return Claim(
        rule="xid-nvlink" if any(lookup(code).nvlink for code in codes) else "xid-gpu",
        gpu=None,
        headline=f"Xid {short} on all {len(members)} GPUs" + (", cause elsewhere" if outside else " at once"),
        summary=f"All {len(members)} GPUs reported Xid {listed} within {AT_ONCE_S:.0f} s{tail}",
        escalations=(Escalation(max(lasting)),),
        evidence={**_evidence(events, None), "gpus": [g.gpu.index for g in members]},
        next_step=step,
        source=XID_CATALOG,
        confidence="likely",
        began_s=min(e.wall_s for e in events),
    )


RULE_GROUP: Final = RuleGroup("Xids", ("xid-nvlink", "xid-gpu"), evaluate)
