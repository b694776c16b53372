"""An explanation in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from nvltop.analysis.incidents.ends import short
from nvltop.analysis.incidents.roles import described
from nvltop.explain.explain import Explanation
from nvltop.model import Incident, LogEvent
from nvltop.text import clean, counted

MAX_LINES: Final = 20
"""Events of one incident that are listed."""
INDENT: Final = "  "


def lines(name: str, found: Explanation, width: int) -> Iterator[str]:
    """Yield the lines of the report."""
    shown = "stdin" if name == "-" else clean(name)
    if not found.incidents:
        about = counted(found.records, "line")
        yield f"No fault of NVIDIA GPUs or NVSwitches in {shown} ({about} of their drivers)."
    for number, incident in enumerate(found.incidents, 1):
        if number > 1:
            yield ""
        yield from _incident(number, len(found.incidents), incident, width)
    if found.left_out:
        yield ""
        yield f"{counted(found.left_out, 'more incident')} left out."
    yield from _fabric(found)


def _incident(number: int, total: int, incident: Incident, width: int) -> Iterator[str]:
    boot = f", {clean(incident.boot)}" if incident.boot else ""
    yield f"Incident {number} of {total}: {incident.severity}, {_when(incident)}{boot}"
    yield from _wrapped(clean(incident.summary), width)
    yield from _wrapped(f"Next: {clean(incident.next_step)}.", width)
    first = incident.events[0]
    listed = incident.events
    if len(listed) > MAX_LINES:
        # The first ones show how it began; of the others the severe ones matter.
        rest = sorted(listed[MAX_LINES // 2 :], key=lambda e: -e.fault.severity.rank)
        chosen = {id(e) for e in (*listed[: MAX_LINES // 2], *rest[: MAX_LINES // 2])}
        listed = tuple(e for e in listed if id(e) in chosen)
    for event in listed:
        yield f"{INDENT}{_event(event, first)}"[:width]
    hidden = len(incident.events) - len(listed) + incident.left_out
    if hidden:
        yield f"{INDENT}… and {counted(hidden, 'more line')}"


def _event(event: LogEvent, first: LogEvent) -> str:
    fault = event.fault
    place = "" if fault.pci_bus_id is None else short(fault.pci_bus_id)
    if fault.link is not None:
        place += f" {'port' if fault.kind in ('sxid', 'fabric-manager') else 'link'} {fault.link}"
    words = fault.text.split(": ", 1)[-1] if fault.kind == "xid" else fault.text
    return f"{_after(event, first):>10}  {place:22} {described(fault):12} {clean(words)}".rstrip()


def _after(event: LogEvent, first: LogEvent) -> str:
    if event.uptime_s is not None and first.uptime_s is not None:
        return f"+{event.uptime_s - first.uptime_s:.3f} s"
    if event.wall_s is not None and first.wall_s is not None:
        return f"+{event.wall_s - first.wall_s:.3f} s"
    return ""


def _when(incident: Incident) -> str:
    if incident.began_s is not None:
        began, ended = _clock(incident.began_s), _clock(incident.ended_s or incident.began_s)
        if ended == began:
            return began
        return f"{began} to {ended[11:] if ended[:10] == began[:10] else ended}"
    if incident.began_uptime_s is not None:
        return f"{incident.began_uptime_s:.3f} s after the kernel started"
    return "at an unknown time"


def _clock(wall_s: float) -> str:
    try:
        return datetime.fromtimestamp(wall_s).isoformat(" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def _fabric(found: Explanation) -> Iterator[str]:
    if not found.has_fabric_log:
        return
    version = f" {clean(found.fabric_manager)}" if found.fabric_manager else ""
    gpus = f", the last team with {counted(found.group_gpus, 'GPU')}" if found.group_gpus else ""
    yield ""
    groups = counted(found.groups_in_use, "multicast group")
    yield f"Fabric manager{version}: {groups} (NVLS) in use at the end of its log{gpus}."


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT)
