"""Grouping of log events: those of one incident follow each other closely and can have one cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nvltop.analysis.incidents.roles import CLEANUP, about_nvlink, by_program
from nvltop.kernel_log.reader import placed
from nvltop.model import LogEvent, LogFault, Severity

GAP_S: Final = 60.0
"""Seconds of silence after which an incident is over."""
PROGRAM_GAP_S: Final = 10.0
"""Seconds within which the same error of programs on several GPUs is one incident."""
MAX_EVENTS: Final = 1000
"""Events of one incident that are kept; later ones are counted."""
MAX_KINDS: Final = 500
"""Kinds of events of one incident that are distinguished."""
MAX_KEPT: Final = 20_000
"""Events of all incidents that are kept."""
FEW: Final = 20
"""Events that an incident keeps once `MAX_KEPT` are kept in total."""
MAX_OPEN: Final = 64
"""Incidents that are open at the same time."""
MAX_GROUPS: Final = 2000
"""Incidents that are kept; later ones are counted."""


class Group:
    """The events of one incident."""

    __slots__ = (
        "boot", "events", "gpus", "kinds", "last_uptime_s", "last_wall_s", "left_out", "nvlink", "programs",
    )  # fmt: skip

    def __init__(self, first: LogEvent) -> None:
        self.events: list[LogEvent] = []
        self.left_out = 0
        self.gpus: set[str] = set()
        self.kinds: set[tuple[object, ...]] = set()
        """Kinds of events seen, by device: a new one is kept however many there are."""
        self.boot = first.boot
        self.nvlink = False
        self.programs = True
        """Whether all events are errors of programs."""
        self.last_wall_s: float | None = None
        self.last_uptime_s: float | None = None

    def add(self, event: LogEvent, limit: int) -> bool:
        """Take an event; return whether it was kept, `limit` being the number of events that are."""
        fault = event.fault
        kind = (fault.pci_bus_id, fault.code, fault.subcode, fault.unit, fault.blames)
        new = kind not in self.kinds
        if new and len(self.kinds) < MAX_KINDS:
            self.kinds.add(kind)
        keep = len(self.events) < limit or (new and len(self.kinds) < MAX_KINDS)
        if keep:
            self.events.append(event)
        else:
            self.left_out += 1
        self.last_wall_s = event.wall_s if event.wall_s is not None else self.last_wall_s
        self.last_uptime_s = event.uptime_s if event.uptime_s is not None else self.last_uptime_s
        if not new:
            return keep
        if fault.pci_bus_id is not None and len(self.gpus) < MAX_EVENTS:
            self.gpus.add(fault.pci_bus_id)
        self.nvlink = self.nvlink or about_nvlink(fault)
        self.programs = self.programs and by_program(fault)
        return keep

    def place(self, offset_s: float) -> None:
        """Give the events their Unix times; the kernel's clock began at `offset_s`."""
        self.events = [placed(event, offset_s) for event in self.events]
        if self.last_wall_s is None and self.last_uptime_s is not None:
            self.last_wall_s = self.last_uptime_s + offset_s

    def since_s(self, event: LogEvent) -> float:
        """Return how long after the group an event came; 0 where the clocks do not show it."""
        if event.uptime_s is not None and self.last_uptime_s is not None and event.boot == self.boot:
            return event.uptime_s - self.last_uptime_s
        if event.wall_s is not None and self.last_wall_s is not None:
            return event.wall_s - self.last_wall_s
        return 0.0

    def takes(self, event: LogEvent) -> bool:
        """Whether an event belongs to the group."""
        since_s = self.since_s(event)
        # Events of one boot only; the fabric manager's log does not know which one it is.
        if abs(since_s) > GAP_S or not (event.boot == self.boot or None in (event.boot, self.boot)):
            return False
        fault = event.fault
        same_gpu = fault.pci_bus_id is not None and fault.pci_bus_id in self.gpus
        if self.programs and by_program(fault):
            return same_gpu or (abs(since_s) <= PROGRAM_GAP_S and fault.code == self.events[0].fault.code)
        if same_gpu:
            return True
        if (
            fault.code in CLEANUP
            and abs(since_s) <= PROGRAM_GAP_S
            and fault.code == self.events[0].fault.code
        ):
            return True
        return self.nvlink and _follows(fault)


def _follows(fault: LogFault) -> bool:
    """Whether a fault can be of the same incident as an NVLink fault of another GPU."""
    return (
        about_nvlink(fault)
        or fault.code in CLEANUP
        or by_program(fault)
        or fault.severity >= Severity.WARNING
    )


class Grouping:
    """Groups events that come in the order of a log, within bounded memory."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.dropped = 0
        """Incidents that were not kept."""
        self._open: list[Group] = []
        self._kept = 0

    def add(self, event: LogEvent) -> None:
        """Put an event into the group that it belongs to, or into a new one."""
        for group in reversed(self._open):
            if group.takes(event):
                self._put(group, event)
                return
        if len(self.groups) >= MAX_GROUPS:
            self.dropped += 1
            return
        group = Group(event)
        self.groups.append(group)
        self._open = [g for g in self._open[-MAX_OPEN:] if abs(g.since_s(event)) <= GAP_S]
        self._open.append(group)
        self._put(group, event)

    def _put(self, group: Group, event: LogEvent) -> None:
        limit = MAX_EVENTS if self._kept < MAX_KEPT else FEW
        self._kept += group.add(event, limit)

    def __iter__(self) -> Iterator[Group]:
        """Iterate over the groups in the order of their first events."""
        return iter(self.groups)
