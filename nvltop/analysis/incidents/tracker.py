"""The incidents of a node while it is watched, from logs, NVML events and the state of the GPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nvltop.analysis.incidents import incidents
from nvltop.analysis.incidents.culprits import culprits
from nvltop.analysis.incidents.ends import LinkEnds, normal, of_inventory
from nvltop.analysis.incidents.evidence import EvidenceTracker
from nvltop.analysis.link_states import summarize
from nvltop.model import (
    LOG_ACCESS,
    Culprit,
    Event,
    FabricLog,
    GpuFrame,
    Incident,
    Inventory,
    LinkState,
    LogEvent,
    LogFault,
    LogLine,
    Severity,
    known,
)

if TYPE_CHECKING:
    from nvltop.kernel_log.reader import LogReader

MAX_EVENTS: Final = 2000
"""Events that are kept; the oldest go first."""
SAME_S: Final = 5.0
"""Seconds within which NVML's event and a log line with the same Xid of the same GPU are one event."""
LOADED_AFTER_S: Final = 5.0
"""Time after the start at which the modules that faults need are loaded, even if there is none, seconds.

A package may be upgraded while a screen is open for days; the first fault must not end it."""
BOOT_NAME: Final = "earlier boot"
NOT_NEW: Final = frozenset({"previous-error", "simulated"})
"""Attributes of operational events that report no new fault."""


class IncidentTracker:
    """Takes items; `incidents` returns what they add up to."""

    def __init__(self) -> None:
        self._reader: LogReader | None = None
        """None at first: decoding logs takes modules with many regular expressions."""
        self._logged: deque[LogEvent] = deque(maxlen=MAX_EVENTS)
        self._reported: deque[LogEvent] = deque(maxlen=MAX_EVENTS)
        """From NVML, and from what GPUs show."""
        self._evidence = EvidenceTracker()
        self._bus_ids: dict[str, str] = {}
        """PCI bus id by UUID."""
        self._ends = LinkEnds()
        self._seen: dict[str, tuple[bool, frozenset[int], int | None]] = {}
        """Whether each GPU was lost, which links were down, and its recovery action, by UUID."""
        self._incidents: tuple[Incident, ...] | None = ()
        self.started_s = 0.0
        """Unix time of the start; what was over before it is listed as such."""
        self.access = ""
        """Why the kernel log is not read, and what to do; empty while it is."""
        self.fabric = FabricLog()

    def take_inventory(self, inventory: Inventory) -> None:
        """Take the layout of the links."""
        self._bus_ids |= {g.uuid: normal(g.pci_bus_id) for g in inventory.gpus if known(g.pci_bus_id)}
        self._ends = of_inventory(inventory)
        self._incidents = None

    def take_line(self, line: LogLine) -> None:
        """Take a line of a log."""
        if line.source == LOG_ACCESS:
            self.access = line.text
            return
        from nvltop.kernel_log.records import Record

        reader = self._reader or self._load()
        boot = None if line.boot_s is None else f"{BOOT_NAME} {line.boot_s:.0f}"
        record = Record(line.text, line.source, line.logged_s, line.uptime_s, boot, line.level)
        for event in (*reader.take(record), *reader.close()):
            self._logged.append(event)
            self._incidents = None
        for _, fact in reader.facts:
            self.fabric = self.fabric.after(fact.kind, fact.number, fact.version, line.logged_s)
        reader.facts.clear()

    def _load(self) -> LogReader:
        """Load all modules that a fault needs, and return the reader of log lines."""
        import nvltop.analysis.incidents.group  # noqa: F401
        from nvltop.kernel_log.reader import LogReader

        self._reader = LogReader(float("inf"))
        return self._reader

    def take_event(self, event: Event, instead_of: Event | None = None) -> None:
        """Take an event that NVML reported, which may complete an earlier one."""
        new = self._log_event(event)
        old = self._log_event(instead_of) if instead_of is not None else None
        if old is not None and new is not None and old in self._reported:
            self._reported[self._reported.index(old)] = new
            self._incidents = None
        elif new is not None:
            self._report(new.fault, event.wall_s)

    def _log_event(self, event: Event) -> LogEvent | None:
        """Return an event of NVML as an event of an incident; None if it reports no fault."""
        bus_id = self._bus_ids.get(event.gpu or "")
        fault = None
        if event.kind == "operational" and NOT_NEW.isdisjoint(event.attributes):
            fault = _operational(event, bus_id)
        elif event.kind == "xid":
            from nvltop.kernel_log.decode import decode

            fault = decode(f"NVRM: Xid (PCI:{bus_id or '?'}): {event.code}, reported by NVML")
        if fault is None:
            return None
        if event.kind == "xid":
            text = f"Xid {event.code}"
            fault = fault._replace(text=f"{text}: {event.details}" if event.details else text)
        if event.marked is not None:
            fault = fault._replace(marked=event.marked, echo=fault.echo or event.marked == "propagated")
        return LogEvent(fault, "nvml", event.wall_s)

    def observe(self, gpus: Sequence[GpuFrame], wall_s: float) -> None:
        """Take what the GPUs show now: links down, GPUs lost, recovery actions, error counters, fabric."""
        if self._reader is None and wall_s - self.started_s > LOADED_AFTER_S:
            self._load()
        for g in gpus:
            bus_id = self._bus_ids.get(g.gpu.uuid)
            if self._evidence.observe(g, bus_id, wall_s):
                self._incidents = None
            down = summarize(g.links).in_state(LinkState.DOWN)
            action = g.fabric.recovery_action
            now = (g.state == "lost", down, action if known(action) else None)
            before = self._seen.get(g.gpu.uuid)
            if now == before:
                continue
            self._seen[g.gpu.uuid] = now
            if before is None:
                continue
            if now[0] and not before[0]:
                self._report(_shown(bus_id, "the GPU is lost", "gpu-lost", blames="local"), wall_s)
            for link in sorted(down - before[1]):
                self._report(_shown(bus_id, "the link went down", "link-down", link), wall_s)
            if now[2] != before[2] and now[2]:
                self._report(
                    _shown(bus_id, "the driver requests a recovery action", "recovery-action"), wall_s
                )

    def _report(self, fault: LogFault, wall_s: float) -> None:
        self._reported.append(LogEvent(fault, "nvml", wall_s))
        self._incidents = None

    def culprits(self, events: Iterable[Event]) -> tuple[Culprit, ...]:
        """Return the GPUs that began a fault of `events` which others only echo."""
        return culprits(events, self.incidents, {bus_id: uuid for uuid, bus_id in self._bus_ids.items()})

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The incidents so far, the newest first."""
        if self._incidents is None:
            events = self._joined()
            found = incidents(events, self._ends, self._evidence.events) if events else ()
            self._incidents = tuple(self._aged(incident) for incident in reversed(found))
        return self._incidents

    def _aged(self, incident: Incident) -> Incident:
        ended_s = incident.ended_s
        if ended_s is None or ended_s >= self.started_s:
            return incident
        return replace(incident, before_start_s=self.started_s - ended_s)

    def _joined(self) -> list[LogEvent]:
        """Return all events in the order of time, each fault once: the log says more than NVML."""
        events = list(self._logged)
        logged: dict[tuple[int | None, str | None], list[int]] = {}
        """Indices in `events` by code and device."""
        for i, event in enumerate(events):
            if event.wall_s is not None:
                logged.setdefault((event.fault.code, event.fault.pci_bus_id), []).append(i)
        for event in self._reported:
            fault = event.fault
            same = [
                i
                for i in logged.get((fault.code, fault.pci_bus_id), ())
                if fault.kind == "xid" and abs((events[i].wall_s or 0.0) - (event.wall_s or 0.0)) <= SAME_S
            ]
            if not same:
                events.append(event)
            for i in same if fault.marked is not None else ():
                line = events[i].fault
                line = line._replace(marked=fault.marked, echo=line.echo or fault.echo)
                events[i] = events[i]._replace(fault=line)
        events.sort(key=lambda event: event.wall_s or 0.0)
        return events


def same_xid(old: Event, new: Event) -> bool:
    """Return whether two events are one Xid, once as an event bit and once as an operational event."""
    return (
        old.kind == new.kind == "xid"
        and old.code == new.code
        and bool(old.module) is not bool(new.module)
        and (old.gpu == new.gpu or None in (old.gpu, new.gpu))
        and abs(new.mono_s - old.mono_s) <= SAME_S
    )


def _operational(event: Event, bus_id: str | None) -> LogFault:
    """Return the fault of an operational event that has no Xid; NVML does not say which link it is about."""
    fatal = event.severity == "fatal"
    return LogFault(
        kind="operational",
        severity=Severity.CRITICAL if fatal else Severity.WARNING,
        text=event.details,
        subcode=event.module_code,
        pci_bus_id=bus_id,
        unit=event.module,
        fatal=fatal,
        meaning="the driver reports this event without an Xid",
        next_step="Look it up in NVIDIA's list of GPU Operational Events; read the kernel log of that second",
    )


def _shown(
    bus_id: str | None, text: str, kind: str, link: int | None = None, blames: str = "unknown"
) -> LogFault:
    """Return the fault that a GPU shows without a line in a log."""
    severity = Severity.CRITICAL if kind != "recovery-action" else Severity.WARNING
    return LogFault(
        kind=kind,
        severity=severity,
        text=text,
        pci_bus_id=bus_id,
        link=link,
        fatal=True if kind != "recovery-action" else None,
        blames=blames,
        meaning=text,
        next_step="See the finding about this GPU",
        echo=kind == "recovery-action",
    )
