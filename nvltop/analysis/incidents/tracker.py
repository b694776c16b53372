"""The incidents of a node while it is watched, from logs, NVML events and the state of the GPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.incidents import incidents
from nvltop.analysis.incidents.ends import LinkEnds, normal, of_inventory
from nvltop.analysis.incidents.evidence import EvidenceTracker
from nvltop.analysis.link_states import summarize
from nvltop.kernel_log.decode import decode
from nvltop.kernel_log.reader import LogReader
from nvltop.kernel_log.records import Record
from nvltop.model import (
    LOG_ACCESS,
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

MAX_EVENTS: Final = 2000
"""Events that are kept; the oldest go first."""
SAME_S: Final = 5.0
"""Seconds within which NVML's event and a log line with the same Xid of the same GPU are one event."""
BOOT_NAME: Final = "earlier boot"


class IncidentTracker:
    """Takes items; `incidents` returns what they add up to."""

    def __init__(self) -> None:
        self._reader = LogReader(float("inf"))
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
        boot = None if line.boot_s is None else f"{BOOT_NAME} {line.boot_s:.0f}"
        record = Record(line.text, line.source, line.logged_s, line.uptime_s, boot, line.level)
        for event in (*self._reader.take(record), *self._reader.close()):
            self._logged.append(event)
            self._incidents = None
        for _, fact in self._reader.facts:
            self.fabric = self.fabric.after(fact.kind, fact.number, fact.version, line.logged_s)
        self._reader.facts.clear()

    def take_event(self, event: Event) -> None:
        """Take an event that NVML reported."""
        bus_id = self._bus_ids.get(event.gpu or "")
        if event.kind != "xid":
            return
        fault = decode(f"NVRM: Xid (PCI:{bus_id or '?'}): {event.code}, reported by NVML")
        if fault is not None:
            self._report(fault._replace(text=f"Xid {event.code}"), event.wall_s)

    def observe(self, gpus: Sequence[GpuFrame], wall_s: float) -> None:
        """Take what the GPUs show now: links down, GPUs lost, recovery actions, error counters, fabric."""
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

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The incidents so far, the newest first."""
        if self._incidents is None:
            found = incidents(self._joined(), self._ends, self._evidence.events)
            self._incidents = tuple(self._aged(incident) for incident in reversed(found))
        return self._incidents

    def _aged(self, incident: Incident) -> Incident:
        ended_s = incident.ended_s
        if ended_s is None or ended_s >= self.started_s:
            return incident
        return replace(incident, before_start_s=self.started_s - ended_s)

    def _joined(self) -> list[LogEvent]:
        """Return all events in the order of time, each fault once: the log says more than NVML."""
        logged_s: dict[tuple[int | None, str | None], list[float]] = {}
        for event in self._logged:
            if event.wall_s is not None:
                logged_s.setdefault((event.fault.code, event.fault.pci_bus_id), []).append(event.wall_s)
        events = list(self._logged)
        for event in self._reported:
            near = logged_s.get((event.fault.code, event.fault.pci_bus_id), ())
            if event.fault.kind != "xid" or not any(abs(s - (event.wall_s or 0.0)) <= SAME_S for s in near):
                events.append(event)
        events.sort(key=lambda event: event.wall_s or 0.0)
        return events


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
