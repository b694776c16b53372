"""What happened on a node, in the order of time: the source of the tab Events, reports and JSON `events`."""

from __future__ import annotations

from typing import Final

from nvltop.frozen import frozen
from nvltop.model.event import Event
from nvltop.model.kernel_log import LogEvent
from nvltop.model.severity import Severity

TIMELINE_KINDS: Final = ("link-state", "gpu-state", "nic-state", "reset", "driver", "log", "finding")
"""Kinds of timeline events: changes of state, counter resets, what NVML and the logs reported, findings."""


@frozen
class TimelineEvent:
    """One thing that happened, with the time over which it lasted."""

    kind: str
    """One of `TIMELINE_KINDS`."""
    began_s: float
    """Unix time."""
    severity: Severity
    summary: str
    """What happened in a few words, without the place."""
    gpu: str | None = None
    """UUID; None for the node, a NIC, or a device of another node."""
    links: tuple[int, ...] = ()
    """Indices of the links of the GPU."""
    nic: str | None = None
    """Name of the NIC."""
    port: int | None = None
    ended_s: float | None = None
    """Unix time of its end; None while it lasts, and for what has no duration."""
    lasts: bool = False
    """Whether it is still the case."""
    before: str = ""
    """State before; empty without a change of state."""
    after: str = ""
    """State since, or after the end."""
    count: int = 1
    """How often it happened, where repetitions are counted as one event."""
    cause: str = ""
    """What it follows from: an incident or another finding; empty if nothing is known."""
    next_step: str = ""
    """What remains to be done; empty if nothing or unknown."""
    rule: str = ""
    """Rule of the finding that it is, or that describes it."""
    event: Event | None = None
    """The event of NVML that it is."""
    log: LogEvent | None = None
    """The log event that it is."""
    repeated_s: float | None = None
    """Unix time at which its newest repetition began."""
    before_start: bool = False
    """Whether it was over before nvltop started."""

    @property
    def newest_s(self) -> float:
        """Unix time at which it happened last."""
        return self.began_s if self.repeated_s is None else self.repeated_s

    @property
    def last_s(self) -> float:
        """Unix time of its newest moment that is known: its end, else its beginning."""
        return self.began_s if self.ended_s is None else self.ended_s
