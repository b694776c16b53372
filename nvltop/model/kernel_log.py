"""Events that the NVIDIA drivers, the fabric manager and IMEX wrote to a log, and incidents made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from nvltop.frozen import frozen
from nvltop.model.event import Event
from nvltop.model.severity import Severity

BLAMES: Final = ("local", "remote-end", "application", "unknown")
"""Who made a fault, as far as its line says: this GPU or its end of the link, the other end, a program."""
LOG_KINDS: Final = ("xid", "sxid", "fabric-manager", "bus-loss", "driver", "operational")
"""Kinds of events that make an incident; `operational` is a GPU Operational Event without an Xid."""
LOG_SOURCES: Final = ("kernel", "fabric-manager", "imex")
"""Sources of the events that are lines of a log."""
SURENESS: Final = ("certain", "likely", "possible", "unknown")
"""How sure an origin is, the surest first."""


@frozen
class LogLine:
    """One record of a log, as the worker read it; only records about NVIDIA devices are sent."""

    mono_s: float
    """CLOCK_MONOTONIC when it was read."""
    wall_s: float
    """Unix time when it was read."""
    source: str
    """`kernel`, `fabric-manager`, `imex`, or `LOG_ACCESS`."""
    text: str
    """The message without process id and process name."""
    logged_s: float | None = None
    """Unix time when it was written."""
    uptime_s: float | None = None
    """Seconds since the kernel started, without time in suspend."""
    level: str = ""
    """Level word of a fabric manager or IMEX record."""
    boot_s: float | None = None
    """Unix time of the first record of the boot that it belongs to, where that is not the current one."""


LOG_ACCESS: Final = "access"
"""Source of the line that says which logs are read; its text is what to do if the kernel log is not."""


@frozen
class FabricLog:
    """What the fabric manager's log shows beside faults."""

    version: str | None = None
    """Version that it logged when it started."""
    started_s: float | None = None
    """Unix time of that start."""
    groups: frozenset[int] | None = None
    """Numbers of the multicast groups (NVLS) that are allocated; None if the log has shown none yet."""
    group_gpus: int | None = None
    """GPUs of the team that was set up last."""

    def after(self, kind: str, number: int | None, version: str | None, wall_s: float | None) -> FabricLog:
        """Return the facts after one more: `started`, `team`, `allocated` or `freed`."""
        if kind == "started":
            return FabricLog(version, wall_s, frozenset())
        if kind == "team":
            return replace(self, group_gpus=number)
        groups = self.groups or frozenset()
        if number is None or len(groups) > MAX_GROUPS:
            return self
        return replace(self, groups=groups | {number} if kind == "allocated" else groups - {number})


MAX_GROUPS: Final = 4096
"""Multicast groups that are tracked at most."""


class LogFault(NamedTuple):
    """What one log message reports, without its time; None where the message does not say."""

    kind: str
    """One of `LOG_KINDS`."""
    severity: Severity
    text: str
    """The message without process id and process name."""
    code: int | None = None
    """Xid or SXid."""
    subcode: int | None = None
    """Sub-code of an NVLink 5 fault (Xids 144 to 150), or the number of an operational event."""
    status: int | None = None
    """Status word of an NVLink 5 fault."""
    pci_bus_id: str | None = None
    """Of the GPU, or of the NVSwitch of an SXid, as NVML prints it."""
    link: int | None = None
    """Link of the GPU, or port of the NVSwitch."""
    unit: str | None = None
    """Unit of the GPU such as `NETIR_LINK_EVT`, the module of an operational event such as `GPU-NVLINK`, or
    the driver's name of the switch that reported an SXid."""
    fatal: bool | None = None
    caused_by: int | None = None
    """Xid that the driver names as the cause."""
    blames: str = "unknown"
    """One of `BLAMES`."""
    meaning: str = ""
    """What NVIDIA says it means, as the end of a sentence."""
    next_step: str = ""
    """What NVIDIA says to do, as a sentence without its period."""
    echo: bool = False
    """Whether such a fault is reported because of another one, here or elsewhere."""
    remote: str | None = None
    """PCI bus id of the other end of the link, where the message names it."""
    recovery_action: str | None = None
    """Recovery action that the driver requests from now on (Xid 154), in its words; `None` for none."""
    process: str | None = None
    """Name of the process whose work was affected."""
    marked: str | None = None
    """`primary` or `propagated`, where the driver itself says which event is the cause."""


class LogEvent(NamedTuple):
    """One fault with its time and its source."""

    fault: LogFault
    source: str
    """One of `LOG_SOURCES`, or `nvml`, `counter` (a link's error counters) or `fabric` (the fabric state)."""
    wall_s: float | None = None
    """Unix time; None where the log has only the time since boot."""
    uptime_s: float | None = None
    """Seconds since the kernel started, without time in suspend."""
    boot: str | None = None
    """Identifies the boot that the line belongs to, where the log distinguishes several."""


@frozen
class Origin:
    """Where an incident began."""

    sure: str
    """One of `SURENESS`."""
    reason: str
    """Why, as one sentence; for an unknown origin, why nobody can know."""
    pci_bus_id: str | None = None
    """Of the GPU."""
    link: int | None = None
    """Of that GPU, or the port of the NVSwitch."""
    switch: str | None = None
    """PCI bus id of the NVSwitch, where one is the origin."""
    other_end_of: tuple[str, int | None] | None = None
    """GPU and link whose other end is the origin, where that end is not known by name."""
    blames: str = "unknown"
    """One of `BLAMES`."""


@frozen
class Culprit:
    """A GPU that began a fault which other GPUs report as well."""

    gpu: str
    """UUID."""
    sure: str
    """`certain`, `likely` or `possible`."""
    echoes: tuple[Event, ...]
    """Xids that other GPUs report because of it."""


@frozen
class Incident:
    """Events that belong together, and what they add up to."""

    severity: Severity
    summary: str
    origin: Origin
    next_step: str
    events: tuple[LogEvent, ...]
    """In the order in which they were logged."""
    began_s: float | None = None
    """Unix time of the first message; evidence such as error counters may be older."""
    ended_s: float | None = None
    began_uptime_s: float | None = None
    boot: str | None = None
    left_out: int = 0
    """Events that were counted and not kept."""
    before_start_s: float | None = None
    """Seconds from its last event to the start of nvltop; None if it is not over before the start."""
