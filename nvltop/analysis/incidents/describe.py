"""Incidents in words: the summary, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from nvltop.analysis.incidents.ends import LinkEnds, short
from nvltop.analysis.incidents.evidence import COUNTER, FABRIC
from nvltop.analysis.incidents.roles import Role, about_nvlink, described, role
from nvltop.model import LogEvent, LogFault, Origin
from nvltop.text import counted

UNKNOWN_STEP: Final = (
    "Look for the first Xid 149, 74 or 79 and for SXids in the kernel logs of all machines of this NVLink"
    " fabric and in the fabric manager's log; do not reset GPUs only because they report this"
)
PEER_STEP: Final = "Look for the cause at {where}, then reset the GPUs that the driver asks to reset"
CABLE_HINT: Final = "also check the other end of the link and the cable between"
MAX_TEXT: Final = 200
"""Characters of a message that a summary quotes."""
MAX_NAMED: Final = 3
"""Processes that a summary names."""


def where(origin: Origin, ends: LinkEnds) -> str | None:
    """Return the place where an incident began, None if it is unknown."""
    if origin.switch is not None:
        port = f"port {origin.link} of " if origin.link is not None else ""
        return f"{port}NVSwitch {short(origin.switch)}"
    if origin.pci_bus_id is not None:
        link = f"link {origin.link} of " if origin.link is not None else ""
        return link + ends.name(origin.pci_bus_id)
    if origin.other_end_of is not None:
        gpu, link_number = origin.other_end_of
        link = "a link" if link_number is None else f"link {link_number}"
        return f"the other end of {link} of {ends.name(gpu)}"
    return None


def decisive(events: Sequence[LogEvent], origin: Origin) -> LogFault:
    """Return the fault that the origin was found by: the strongest evidence at that place."""
    at = {origin.pci_bus_id, origin.switch, origin.other_end_of[0] if origin.other_end_of else None} - {None}
    faults = [e.fault for e in events]
    here = [f for f in faults if f.pci_bus_id in at] or faults
    return min(here, key=lambda f: (role(f), -f.severity.rank))


def summary(
    events: Sequence[LogEvent],
    origin: Origin,
    ends: LinkEnds,
    left_out: int,
    evidence: Sequence[LogEvent] = (),
) -> str:
    """Return a few sentences: what happened, where it began, who only echoes it, and what counters show."""
    return f"{_summary(events, origin, ends, left_out)}{_evidence(events[0], evidence, ends)}"


def _evidence(first: LogEvent, evidence: Sequence[LogEvent], ends: LinkEnds) -> str:
    """Return the first increase of error counters and the first change of the fabric, each as a sentence."""
    text = ""
    for source in (COUNTER, FABRIC):
        found = [e for e in evidence if e.source == source]
        if not found:
            continue
        fault = found[0].fault
        link = f"link {fault.link} of " if fault.link is not None else ""
        where = f"{link}{ends.name(fault.pci_bus_id)}" if fault.pci_bus_id else "a GPU"
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        text += f" {_capital(where)}, {_when(found[0], first)}: {fault.text}{more}."
    return text


def _when(event: LogEvent, first: LogEvent) -> str:
    if event.wall_s is None or first.wall_s is None:
        return "at an unknown time"
    after_s = event.wall_s - first.wall_s
    if abs(after_s) < 0.5:
        return "at the time of the first message"
    return f"{abs(after_s):.0f} s {'before' if after_s < 0 else 'after'} the first message"


def _summary(events: Sequence[LogEvent], origin: Origin, ends: LinkEnds, left_out: int) -> str:
    fault = decisive(events, origin)
    place = where(origin, ends)
    reported = f"{described(fault)}, {fault.meaning}" if fault.meaning else described(fault)
    if place is None:
        if fault.code is None:
            return f"{_capital(fault.meaning)}: {fault.text[:MAX_TEXT]}. {origin.reason}."
        gpus = _gpus(events)
        who = _who(gpus, ends, events)
        return f"{who}: {_codes(events)}. {origin.reason}."
    if origin.blames == "application":
        text = f"A program's error on {place}: {reported}"
    elif origin.blames == "remote-end" or origin.other_end_of is not None:
        text = f"{_capital(place)} made a link fail: {reported}"
    else:
        text = f"{_capital(place)}: {reported}"
    others = [e for e in events if e.fault.pci_bus_id not in (None, origin.pci_bus_id, origin.switch)]
    if origin.other_end_of is not None:
        others = [e for e in others if e.fault is not fault]
    gpus = _gpus(others)
    if gpus:
        count = counted(len(gpus), "other")
        more = f" and {counted(left_out, 'more line')}" if left_out else ""
        text += f"; {count} reported {_codes(others)}{more} within the same incident"
    return f"{text}. {_sure(origin)}"


def _sure(origin: Origin) -> str:
    return f"The origin is {origin.sure}: {origin.reason}."


def next_step(events: Sequence[LogEvent], origin: Origin, ends: LinkEnds) -> str:
    """Return what to do next, with the recovery actions that the driver still requests."""
    fault = decisive(events, origin)
    place = where(origin, ends)
    if place is None and any(about_nvlink(e.fault) for e in events) and fault.kind != "fabric-manager":
        step = UNKNOWN_STEP
    elif origin.blames == "remote-end" and place is not None:
        step = PEER_STEP.format(where=place)
    else:
        step = fault.next_step
        if role(fault) is Role.LINK_UNDECIDED:
            step = f"{step}; {CABLE_HINT}"
    requested = actions(events)
    if requested:
        listed = "; ".join(f"{action} ({_list(gpus, ends)})" for action, gpus in requested.items())
        step = f"{step}. The driver requests: {listed}"
    return step


def actions(events: Iterable[LogEvent]) -> dict[str, list[str]]:
    """Return the recovery actions that the driver requests after the last event, each with its GPUs."""
    last: dict[str, str] = {}
    for event in events:
        fault = event.fault
        if fault.code == 154 and fault.recovery_action is not None and fault.pci_bus_id is not None:
            last[fault.pci_bus_id] = fault.recovery_action
    found: dict[str, list[str]] = {}
    for gpu, action in last.items():
        if action.strip().lower() != "none":
            found.setdefault(action, []).append(gpu)
    return found


def _gpus(events: Iterable[LogEvent]) -> list[str]:
    return list(dict.fromkeys(e.fault.pci_bus_id for e in events if e.fault.pci_bus_id is not None))


def _who(gpus: Sequence[str], ends: LinkEnds, events: Sequence[LogEvent]) -> str:
    if not gpus:
        return {"fabric-manager": "The fabric manager", "imex": "IMEX"}.get(events[0].source, "The driver")
    if all(e.fault.kind == "sxid" for e in events):
        return counted(len(gpus), "NVSwitch", "NVSwitches")
    return ends.name(gpus[0]) if len(gpus) == 1 else f"{len(gpus)} GPUs"


def _list(gpus: Sequence[str], ends: LinkEnds) -> str:
    named = ", ".join(ends.name(gpu) for gpu in gpus[:MAX_NAMED])
    return named if len(gpus) <= MAX_NAMED else f"{named} and {len(gpus) - MAX_NAMED} more"


def _codes(events: Iterable[LogEvent]) -> str:
    names = list(dict.fromkeys(described(e.fault) for e in events))
    # "Xid 145, Xid 45" reads better as "Xid 145, 45".
    first, rest = names[0], [n.removeprefix("Xid ") if names[0].startswith("Xid ") else n for n in names[1:]]
    more = f" and {counted(len(rest) - 7, 'more kind')}" if len(rest) > 7 else ""
    return ", ".join([first, *rest[:7]]) + more


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
