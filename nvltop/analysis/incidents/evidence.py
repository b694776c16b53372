"""Evidence beside events: error counters that increase, and changes of the fabric state.

Evidence joins the incident of an event about the same GPU and link. It makes no incident of its own: the
health rules report what counters and the fabric show without a fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nvltop.analysis.incidents.ends import LinkEnds
from nvltop.analysis.link_states import errors_by_link
from nvltop.model import ErrorCount, Fabric, GpuFrame, LogEvent, LogFault, Severity, known
from nvltop.model.error_kinds import INFORMATIVE, LINK_ERROR_KINDS

COUNTER: Final = "counter"
"""Source and kind of an increase of a link's error counters."""
FABRIC: Final = "fabric"
"""Source and kind of a change of the fabric state."""
SOURCES: Final = frozenset({COUNTER, FABRIC})
QUIET_S: Final = 60.0
"""Seconds without an increase after which the next increase is a jump."""
BURST: Final = 10
"""Factor by which an increase must exceed the earlier ones of a link that is never quiet to be a jump."""
MAX_EVENTS: Final = 500
"""Events of evidence that are kept; the oldest are dropped first."""
BEFORE_S: Final = 60.0
"""Seconds before an incident in which evidence belongs to it."""
AFTER_S: Final = 10.0
"""Seconds after an incident in which evidence belongs to it: counters are read every few seconds."""


class EvidenceTracker:
    """Compares what GPUs show with what they showed before; `events` are the changes, in order of time."""

    def __init__(self) -> None:
        self.events: deque[LogEvent] = deque(maxlen=MAX_EVENTS)
        self._sums: dict[str, int] = {}
        """Errors since the start of all links of a GPU, by UUID."""
        self._counts: dict[tuple[str, int], dict[str, int]] = {}
        """Errors since the start by kind, by UUID and link."""
        self._jumps: dict[tuple[str, int], tuple[float, int]] = {}
        """Time of the last increase of a link, and its largest increase since it was last quiet."""
        self._fabrics: dict[str, Fabric] = {}

    def observe(self, g: GpuFrame, bus_id: str | None, wall_s: float) -> bool:
        """Take what a GPU shows now; return whether there is new evidence."""
        new: list[LogEvent] = []
        uuid, total = g.gpu.uuid, g.nvlink.errors_since_start
        if total != self._sums.get(uuid) and known(total):
            self._sums[uuid] = total
            new += self._jumped(g, bus_id, wall_s)
        before = self._fabrics.get(uuid)
        if g.fabric is not before:
            new += _changed(before, g.fabric, bus_id, wall_s)
            self._fabrics[uuid] = g.fabric
        self.events.extend(new)
        return bool(new)

    def _jumped(self, g: GpuFrame, bus_id: str | None, wall_s: float) -> Iterator[LogEvent]:
        for link, errors in errors_by_link(g.links).items():
            key = g.gpu.uuid, link
            counts = {
                kind: count.since_start
                for kind, count in errors.items()
                if kind not in INFORMATIVE and known(count.since_start)
            }
            before = self._counts.get(key)
            self._counts[key] = counts
            if before is None or before == counts:
                continue
            steps = {kind: n - before[kind] for kind, n in counts.items() if n > before.get(kind, n)}
            if not steps:
                continue
            at_s = wall_s - _age_s(errors, steps)
            step = sum(steps.values())
            last_s, largest = self._jumps.get(key, (float("-inf"), 0))
            quiet = at_s - last_s > QUIET_S
            self._jumps[key] = at_s, step if quiet else max(step, largest)
            if quiet or step >= BURST * largest:
                yield _event(COUNTER, f"error counters increased: {_named(steps)}", bus_id, at_s, link)


def _age_s(errors: Mapping[str, ErrorCount], steps: dict[str, int]) -> float:
    """Return how long ago the counters increased, in seconds."""
    ages = [errors[kind].last_change_s for kind in steps]
    return min((age_s for age_s in ages if age_s is not None), default=0.0)


def _named(steps: dict[str, int]) -> str:
    """Return increases in words: `12 replays, 1 CRC error`."""
    return ", ".join(
        f"{steps[kind.id]} {kind.name(steps[kind.id])}" for kind in LINK_ERROR_KINDS if kind.id in steps
    )


def _changed(before: Fabric | None, now: Fabric, bus_id: str | None, wall_s: float) -> Iterator[LogEvent]:
    """Yield the changes of the fabric state and of the fabric's health."""
    if before is None:
        return
    for name, old, new in (
        ("state", before.state, now.state),
        ("status", before.status, now.status),
        ("health", before.health_summary, now.health_summary),
    ):
        if known(old) and known(new) and old != new:
            yield _event(FABRIC, f"fabric {name} changed from {old} to {new}", bus_id, wall_s)


def _event(kind: str, text: str, bus_id: str | None, wall_s: float, link: int | None = None) -> LogEvent:
    fault = LogFault(
        kind=kind, severity=Severity.NOTICE, text=text, pci_bus_id=bus_id, link=link, meaning=text, echo=True
    )
    return LogEvent(fault, kind, wall_s)


def of_incident(
    evidence: Sequence[LogEvent], events: Sequence[LogEvent], ended_s: float | None, ends: LinkEnds
) -> list[LogEvent]:
    """Return the evidence that belongs to an incident: of the same time, GPUs and links.

    Evidence about a link belongs to an incident that names this link, its other end, or the GPU alone.
    """
    began_s = next((e.wall_s for e in events if e.wall_s is not None), None)
    if not evidence or began_s is None or events[0].boot is not None:
        return []
    places = {(e.fault.pci_bus_id, e.fault.link) for e in events if e.fault.pci_bus_id is not None}
    gpus = {gpu for gpu, _ in places}
    last_s = max(began_s, ended_s or began_s)
    found = []
    for e in evidence:
        gpu, link = e.fault.pci_bus_id, e.fault.link
        if not began_s - BEFORE_S <= (e.wall_s or 0.0) <= last_s + AFTER_S:
            continue
        if link is None:
            belongs = gpu in gpus
        else:
            end = ends.remote(gpu, link)
            far = (end.bus_id, end.link) if end is not None else None
            belongs = not places.isdisjoint({(gpu, link), (gpu, None), far})
        if belongs:
            found.append(e)
    return found


def before_first(evidence: Sequence[LogEvent], first_s: float | None) -> list[LogEvent]:
    """Return the increases of error counters that came before the first event, or with it."""
    return [e for e in evidence if e.source == COUNTER and (e.wall_s or 0.0) <= (first_s or 0.0) + AFTER_S]
