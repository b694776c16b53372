"""Who began an incident: the strongest evidence decides, and where none decides, the origin is unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from nvltop.analysis.incidents.ends import End, LinkEnds, short
from nvltop.analysis.incidents.evidence import before_first
from nvltop.analysis.incidents.roles import BUS_LOSS, Role, described, role
from nvltop.model import LogEvent, LogFault, Origin, Severity
from nvltop.text import counted

CLEARLY_FIRST_S: Final = 1.0
"""Seconds by which one GPU must be ahead of the others for its fault to count as the first one."""


class _Case(NamedTuple):
    """The events of one incident, by their roles."""

    events: Sequence[LogEvent]
    by_role: dict[Role, list[LogEvent]]
    ends: LinkEnds

    def of(self, *roles: Role) -> list[LogEvent]:
        return [event for r in roles for event in self.by_role.get(r, ())]

    def gpus(self, *roles: Role) -> list[str]:
        """Return the GPUs (or switches) that show such evidence, in the order of the log."""
        found = [e.fault.pci_bus_id for e in self.of(*roles) if e.fault.pci_bus_id is not None]
        return list(dict.fromkeys(found))


def find(events: Sequence[LogEvent], ends: LinkEnds, evidence: Sequence[LogEvent] = ()) -> Origin:
    """Return where an incident began, with the reason; where no event shows it, the evidence may."""
    found = _by_events(events, ends)
    if found.sure != "unknown":
        return found
    return _by_counters(before_first(evidence, events[0].wall_s), ends) or found


def _by_counters(jumps: Sequence[LogEvent], ends: LinkEnds) -> Origin | None:
    """Return the only link whose error counters increased, None if there are several or none."""
    faults = [e.fault for e in jumps]
    places = {(f.pci_bus_id, f.link) for f in faults}
    if not places or len(places) > 2 or (len(places) == 2 and _shared(faults, ends) is None):
        return None
    fault = faults[0]
    reason = (
        "No message shows who began, but error counters increased only on this link before the first message"
        " or together with it"
    )
    return Origin("possible", reason, fault.pci_bus_id, fault.link)


def _by_events(events: Sequence[LogEvent], ends: LinkEnds) -> Origin:
    by_role: dict[Role, list[LogEvent]] = {}
    for event in events:
        by_role.setdefault(role(event.fault), []).append(event)
    case = _Case(events, by_role, ends)
    rules: tuple[Callable[[_Case], Origin | None], ...] = (
        _marked, _lost, _internal, _switch, _link, _software, _remote, _undecided_link, _caused_by,
        _both_ends, _switch_link, _program,
    )  # fmt: skip
    for rule in rules:
        if (origin := rule(case)) is not None:
            return origin
    return _unknown(case)


def _marked(case: _Case) -> Origin | None:
    """Return the only GPU whose event the driver marks as primary, if nothing else is more specific.

    Each GPU marks the first event of its own group, so that several primary events say nothing. A log line
    that blames the other end of its link says more than the mark.
    """
    primary = [e.fault for e in case.events if e.fault.marked == "primary"]
    gpus = {f.pci_bus_id for f in primary if f.severity >= Severity.WARNING}
    if len(gpus) != 1 or any(role(f) is Role.REMOTE for f in primary):
        return None
    gpu = next(iter(gpus))
    lost = {*case.gpus(Role.LOST), *case.gpus(Role.INTERNAL), *case.gpus(Role.SWITCH)}
    if gpu is None or not lost <= {gpu}:
        return None
    fault = min((f for f in primary if f.pci_bus_id == gpu), key=lambda f: (role(f), -f.severity.rank))
    others = {e.fault.pci_bus_id for e in case.events} - {gpu, None}
    propagated = {e.fault.pci_bus_id for e in case.events if e.fault.marked == "propagated"} & others
    reason = "The driver marks its event as the primary one"
    if propagated:
        count = f"those of {counted(len(propagated), 'other GPU')}"
        reason += f", and {count} as propagated from another source"
    sure = "certain" if others and propagated == others else "likely"
    return Origin(sure, reason, gpu, _only(primary), blames=fault.blames)


def _lost(case: _Case) -> Origin | None:
    gpus = case.gpus(Role.LOST)
    if not gpus:
        return None
    reason = "A GPU that falls off the bus takes its links down, and others report that"
    return _one_of(case, Role.LOST, gpus, reason, "fell off the bus", "certain")


def _internal(case: _Case) -> Origin | None:
    gpus = case.gpus(Role.INTERNAL)
    if not gpus:
        return None
    reason = f"{_codes(case.of(Role.INTERNAL))} is a fault of that GPU itself"
    return _one_of(case, Role.INTERNAL, gpus, reason, "reported a fatal fault of their own", "likely")


def _switch(case: _Case) -> Origin | None:
    found = case.of(Role.SWITCH)
    if not found:
        return None
    fault = found[0].fault
    switches = case.gpus(Role.SWITCH)
    sure = "likely" if len(switches) == 1 else "possible"
    reason = f"{described(fault)} is a fault inside the NVSwitch"
    return Origin(sure, reason, link=fault.link, switch=fault.pci_bus_id, blames="local")


def _link(case: _Case) -> Origin | None:
    found = case.of(Role.LINK)
    if not found:
        return None
    gpus = case.gpus(Role.LINK)
    faults = [e.fault for e in found]
    if len(gpus) == 2 and (shared := _shared(faults, case.ends)):
        reason = "Both ends of one link blame the link"
        return Origin("likely", reason, shared.pci_bus_id, shared.link, blames="local")
    fault = faults[0]
    reason = f"{described(fault)} blames this end or the link itself"
    return _one_of(case, Role.LINK, gpus, reason, "blame their own end of a link", "likely")


def _software(case: _Case) -> Origin | None:
    found = case.of(Role.SOFTWARE)
    if not found:
        return None
    fault = found[0].fault
    reason = f"{described(fault)} says that software took the link down"
    sure = "likely" if len(case.gpus(Role.SOFTWARE)) == 1 else "possible"
    return Origin(sure, reason, fault.pci_bus_id, fault.link, blames="application")


def _remote(case: _Case) -> Origin | None:
    """Return the other end, where lines blame it: by name if the layout of the links is known."""
    found = case.of(Role.REMOTE)
    if not found:
        return None
    faults = [e.fault for e in found]
    far = [case.ends.remote(f.pci_bus_id, f.link) for f in faults]
    devices = {end.bus_id for end in far if end}
    undecided = case.gpus(Role.LINK_UNDECIDED)
    first = faults[0]
    if len(devices) == 1 and all(far):
        return _device(next(end for end in far if end), faults)
    reason = f"{described(first)} says that the other end of the link made it fail"
    at = (first.pci_bus_id, first.link) if first.pci_bus_id else None
    links = {(f.pci_bus_id, f.link) for f in faults}
    if len(links) == 1:
        return Origin("likely", reason, other_end_of=at, blames="remote-end")
    if len(undecided) == 1 and undecided[0] not in case.gpus(Role.REMOTE):
        fault = case.of(Role.LINK_UNDECIDED)[0].fault
        reason = (
            f"All others blame the other end of their links, only {case.ends.name(undecided[0])} does not"
        )
        return Origin("possible", reason, undecided[0], fault.link, blames="unknown")
    reason = (
        f"{len(case.gpus(Role.REMOTE))} GPUs blame the other ends of their links, which this log does not"
        " name: an NVSwitch, or a GPU of another machine"
        if not devices
        else "The lines blame the other ends of links that lead to different devices"
    )
    return Origin("possible" if not devices else "unknown", reason, other_end_of=at, blames="remote-end")


def _device(end: End, faults: Sequence[LogFault]) -> Origin:
    several = len({(f.pci_bus_id, f.link) for f in faults}) > 1
    reason = f"{described(faults[0])} blames the other end of the link, which is this device"
    link = None if several else end.link
    if end.switch:
        return Origin("likely", reason, link=link, switch=end.bus_id, blames="remote-end")
    return Origin("likely", reason, end.bus_id, link, blames="remote-end")


def _undecided_link(case: _Case) -> Origin | None:
    """Return the only GPU that reports a failed link while the others report what follows from one."""
    found = case.of(Role.LINK_UNDECIDED)
    gpus = case.gpus(Role.LINK_UNDECIDED)
    if not found:
        return None
    faults = [e.fault for e in found]
    if len(gpus) > 1:
        if len(gpus) == 2 and (shared := _shared(faults, case.ends)):
            reason = "Both ends report that this link failed; which of them began it cannot be determined"
            return Origin("likely", reason, shared.pci_bus_id, shared.link)
        return _first_or_unknown(case, Role.LINK_UNDECIDED, gpus, "report failed links without blame")
    fault = faults[0]
    others = {e.fault.pci_bus_id for e in case.events} - {fault.pci_bus_id, None}
    links = {f.link for f in faults}
    reason = f"Only this GPU reports that its link failed ({described(fault)})"
    if others:
        reason += f", {_gpus(len(others))} only what follows from it"
    reason += "; its other end cannot be excluded"
    # NVML's event has only the code: the line in the kernel log would say which end is to blame.
    sure = "possible" if all(e.source == "nvml" for e in found) else "likely"
    return Origin(sure, reason, fault.pci_bus_id, fault.link if len(links) == 1 else None)


def _caused_by(case: _Case) -> Origin | None:
    """Return the GPU whose programs the driver ended because of a link fault that is not logged itself."""
    lost = [e.fault.pci_bus_id for e in case.events if e.fault.caused_by == BUS_LOSS]
    if len(set(lost)) == 1 and lost[0] is not None:
        reason = "The programs of this GPU were ended because of Xid 79 (off the bus), whose line is missing"
        return Origin("likely", reason, lost[0])
    named = [e.fault for e in case.events if e.fault.caused_by == 149]
    gpus = list(dict.fromkeys(f.pci_bus_id for f in named if f.pci_bus_id))
    if len(gpus) != 1:
        return None
    reason = "Only the programs of this GPU were ended because of Xid 149, a failed link"
    return Origin("possible", reason, gpus[0])


def _both_ends(case: _Case) -> Origin | None:
    found = [e.fault for e in case.of(Role.BOTH_ENDS)]
    if not found:
        return None
    primary = [f for f in found if not f.meaning.endswith("consequence of another error")]
    gpus = list(dict.fromkeys(f.pci_bus_id for f in found if f.pci_bus_id))
    firsts = list(dict.fromkeys(f.pci_bus_id for f in primary if f.pci_bus_id))
    if len(firsts) == 1 and len(gpus) > 1:
        reason = "Only this GPU's registers show an error of its own; those of the others mark a consequence"
        return Origin("likely", reason, firsts[0], _only(primary))
    if len(gpus) == 1:
        remote = next((f.remote for f in found if f.remote), None)
        other = f"the link to {short(remote)}" if remote else "the link"
        reason = f"Xid 74 is reported by both ends of a link, and only this end is logged: {other} failed"
        return Origin("possible", reason, gpus[0], _only(found))
    if len(gpus) == 2 and (shared := _shared(found, case.ends)):
        reason = "Both ends of this link report Xid 74; which of them began it cannot be determined"
        return Origin("likely", reason, shared.pci_bus_id, shared.link)
    ports = case.of(Role.SWITCH_LINK)
    if len({(e.fault.pci_bus_id, e.fault.link) for e in ports}) == 1:
        return _switch_link(case)
    if not gpus:
        return Origin("unknown", "The messages about Xid 74 do not name the GPU")
    reason = f"All {len(gpus)} GPUs report Xid 74, as both ends of a link do: who began cannot be determined"
    return Origin("unknown", reason)


def _switch_link(case: _Case) -> Origin | None:
    found = [e.fault for e in case.of(Role.SWITCH_LINK)]
    if not found:
        return None
    fault = found[0]
    switches = {f.pci_bus_id for f in found}
    ports = {(f.pci_bus_id, f.link) for f in found}
    if len(ports) == 1:
        reason = f"{described(fault)}: the link at this port failed; the GPU at its other end may be why"
        return Origin("likely", reason, link=fault.link, switch=fault.pci_bus_id)
    if len(switches) == 1:
        reason = f"All failed links lead to this NVSwitch ({described(fault)})"
        return Origin("possible", reason, switch=fault.pci_bus_id)
    many = f"{len(ports)} ports of {len(switches)} NVSwitches"
    return Origin("unknown", f"{many} report failed links: who began cannot be determined")


def _program(case: _Case) -> Origin | None:
    found = [e.fault for e in case.of(Role.PROGRAM)]
    if not found or (
        case.of(Role.OTHER) and any(e.fault.severity is Severity.CRITICAL for e in case.of(Role.OTHER))
    ):
        return None
    fault = found[0]
    gpus = case.gpus(Role.PROGRAM)
    who = f"the program {fault.process}" if fault.process else "a program"
    reason = f"{described(fault)} is an error of {who}"
    return Origin("likely", reason, gpus[0] if len(gpus) == 1 else None, fault.link, blames="application")


def _unknown(case: _Case) -> Origin:
    faults = [e.fault for e in case.events]
    gpus = list(dict.fromkeys(f.pci_bus_id for f in faults if f.pci_bus_id))
    codes = _codes(case.events)
    if len(case.of(Role.ECHO)) == len(faults):
        reason = f"{codes} follows from another fault, and no line shows it: who began cannot be determined"
        return Origin("unknown", reason)
    fault = next((f for f in faults if not f.echo), faults[0])
    if len(gpus) == 1 and fault.kind != "fabric-manager":
        sure = "likely" if fault.blames == "local" else "possible"
        if fault.kind == "sxid":
            reason = "All lines are about this NVSwitch"
            return Origin(sure, reason, link=_only(faults), switch=gpus[0], blames=fault.blames)
        return Origin(sure, "All lines are about this GPU", gpus[0], _only(faults), blames=fault.blames)
    return Origin("unknown", "No line says who began", blames=fault.blames)


def _one_of(case: _Case, kind: Role, gpus: Sequence[str], reason: str, many: str, sure: str) -> Origin:
    """Return the only GPU with such evidence, the clearly first one, or none."""
    if len(gpus) > 1:
        return _first_or_unknown(case, kind, gpus, many)
    fault = next(e.fault for e in case.of(kind) if e.fault.pci_bus_id == gpus[0])
    same = [e.fault for e in case.of(kind)]
    return Origin(sure, reason, gpus[0], _only(same), blames=fault.blames)


def _first_or_unknown(case: _Case, kind: Role, gpus: Sequence[str], many: str) -> Origin:
    first = case.of(kind)[0]
    second = next(e for e in case.of(kind) if e.fault.pci_bus_id not in (first.fault.pci_bus_id, None))
    ahead_s = _ahead(first, second)
    if first.fault.pci_bus_id is not None and ahead_s is not None and ahead_s >= CLEARLY_FIRST_S:
        reason = f"It was the first of {len(gpus)} GPUs that {many}, {ahead_s:.0f} s ahead of the next"
        return Origin("possible", reason, first.fault.pci_bus_id, first.fault.link, blames=first.fault.blames)
    return Origin("unknown", f"{len(gpus)} GPUs {many} at the same time: who began cannot be determined")


def _ahead(first: LogEvent, second: LogEvent) -> float | None:
    if first.uptime_s is not None and second.uptime_s is not None:
        return second.uptime_s - first.uptime_s
    if first.wall_s is not None and second.wall_s is not None:
        return second.wall_s - first.wall_s
    return None


def _shared(faults: Sequence[LogFault], ends: LinkEnds) -> LogFault | None:
    """Return the first fault whose link leads to the link of another one of the faults."""
    places = {(f.pci_bus_id, f.link) for f in faults}
    for fault in faults:
        end = ends.remote(fault.pci_bus_id, fault.link)
        if end is not None and (end.bus_id, end.link) in places:
            return fault
    return None


def _only(faults: Sequence[LogFault]) -> int | None:
    """Return the link that the faults are about, None for none or several."""
    links = {f.link for f in faults if f.link is not None}
    return links.pop() if len(links) == 1 else None


def _codes(events: Sequence[LogEvent]) -> str:
    return ", ".join(dict.fromkeys(described(e.fault) for e in events[:1000]))


def _gpus(count: int) -> str:
    return counted(count, "other GPU")
