"""The timeline for reports: as JSON objects, and as phrases for the screen and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from nvltop.formatting import age
from nvltop.model import Frame, TimelineEvent
from nvltop.report.findings import where
from nvltop.report.incidents import event_object, time_of
from nvltop.report.json_values import utc
from nvltop.text import clean, counted

NO_DETAILS: Final = {
    "uptime_s": None, "severity": None, "source": "nvml", "subcode": None, "pci_bus_id": None, "link": None,
    "unit": None, "fatal": None, "caused_by": None, "blames": "unknown", "marked": None, "meaning": "",
    "text": "",
}  # fmt: skip
"""Keys of events without a log line."""


def events(frame: Frame) -> list[dict[str, Any]]:
    """Return the timeline as JSON values, the oldest first.

    `kind` and `code` of what NVML and the logs reported are theirs; other events have one of the kinds
    `link-state`, `gpu-state`, `nic-state`, `reset` and `finding`. What the log says about an Xid that NVML
    reported completes its event. `before_start_s` is how long before the start of nvltop an event was logged,
    null for later ones.
    """
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    return [_object(frame, e, index_of) for e in frame.timeline]


def _object(frame: Frame, e: TimelineEvent, index_of: dict[str, int]) -> dict[str, Any]:
    values: dict[str, Any] = {"before_start_s": None, **NO_DETAILS}
    if e.log is not None:
        values |= event_object(e.log)
    else:
        values |= {"severity": e.severity, "source": "nvml" if e.event else "nvltop"}
    if e.event is not None:
        values |= {"kind": e.event.kind, "code": e.event.code}
        if e.event.module:
            values |= {
                "unit": values["unit"] or e.event.module,
                "marked": e.event.marked,
                "text": values["text"] or e.event.details,
            }
    elif e.log is None:
        values |= {"kind": e.kind, "code": None, "link": e.links[0] if len(e.links) == 1 else None}
    elif e.log.wall_s is not None and e.log.wall_s < frame.started_s:
        values["before_start_s"] = round(frame.started_s - e.log.wall_s, 6)
    if e.log is None or e.event is not None:
        values["time"] = utc(e.began_s)
    return values | {
        "gpu": index_of.get(e.gpu or ""),
        "links": list(e.links),
        "nic": e.nic,
        "port": e.port,
        "end": time_of(e.ended_s),
        "lasts": e.lasts,
        "count": e.count,
        "from": e.before or None,
        "to": e.after or None,
        "summary": clean(e.summary),
        "cause": clean(e.cause),
        "next_step": clean(e.next_step),
        "rule": e.rule or None,
    }


def event_place(frame: Frame, e: TimelineEvent) -> str:
    """Return where an event happened: `GPU 3 link 7`, `GPU 3 links 0-5`, `mlx5_3`, `node`."""
    if e.nic is not None:
        return e.nic if e.port in (None, 1) else f"{e.nic} port {e.port}"
    if e.gpu is None and e.log is not None and e.log.fault.pci_bus_id:
        return clean(e.log.fault.pci_bus_id)
    if len(e.links) > 1:
        return f"{where(frame, e.gpu)} links {ranges(e.links)}"
    return where(frame, e.gpu, e.links[0] if e.links else None)


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers briefly: `0-5,8`."""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], n]
        else:
            parts.append([n])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def event_summary(e: TimelineEvent) -> str:
    """Return what happened, and how often."""
    return clean(e.summary) + (f" ({e.count} times)" if e.count > 1 else "")


def event_details(frame: Frame, e: TimelineEvent) -> str:
    """Return what happened, without the place in front, which has a column of its own."""
    return event_summary(e).removeprefix(f"{event_place(frame, e)}: ")


def event_span(e: TimelineEvent) -> str:
    """Return `60s`, or `lasts` for what is still the case; empty for what has no duration."""
    if e.lasts:
        return "lasts"
    return "" if e.ended_s is None else age(max(0.0, e.ended_s - e.began_s))


def event_line(e: TimelineEvent, now_s: float) -> str:
    """Return the time of an event, what happened, and how long it lasted."""
    span = event_span(e)
    return f"{event_time(e.began_s, now_s)} {event_summary(e)}" + (f" ({span})" if span else "")


def event_time(wall_s: float, now_s: float) -> str:
    """Return `10:58:02`, with the date if it is not that of `now_s`: `11-27 10:58`; empty if unknown."""
    if not wall_s:
        return ""
    then, now = datetime.fromtimestamp(wall_s), datetime.fromtimestamp(now_s)
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%m-%d %H:%M")


def minutes(wall_s: float, now_s: float) -> str:
    """Return `10:58`, with the date if it is not that of `now_s`: `11-27 10:58`."""
    then, now = datetime.fromtimestamp(wall_s), datetime.fromtimestamp(now_s)
    return then.strftime("%H:%M" if then.date() == now.date() else "%m-%d %H:%M")


def brief(frame: Frame, e: TimelineEvent) -> str:
    """Return an event with its times: `GPU 2 link 5 DOWN 10:58-10:59`."""
    now_s = frame.tick.wall_s
    began = minutes(e.began_s, now_s)
    times = began
    if e.ended_s is not None:
        ended = minutes(e.ended_s, now_s)
        times = began if ended == began else f"{began}-{ended}"
    elif e.lasts:
        times = f"since {began}"
    words, place = event_summary(e), event_place(frame, e)
    # Headlines of findings name their place.
    named = place in words or place == "node" or e.kind == "finding"
    if e.kind.endswith("-state") and e.links:
        words = words.removeprefix("links ").removeprefix("link ")
    elif e.kind == "gpu-state":
        words = words.removeprefix("GPU ")
    return f"{words if named else f'{place} {words}'} {times}"


def since(events: Iterable[TimelineEvent], acknowledged_s: float) -> list[TimelineEvent]:
    """Return the faults that happened after a time, without those that were over before the start."""
    return [e for e in events if e.severity.is_problem and not e.before_start and e.newest_s > acknowledged_s]


def away(frame: Frame, acknowledged_s: float) -> list[str]:
    """Return what happened since a time: `3 events since 09:12, worst: GPU 2 link 5 DOWN 10:58-10:59`.

    Shorter texts follow the complete one. There is none if nothing happened, or nothing but what the findings
    show anyway because it lasts.
    """
    found = since(frame.timeline, acknowledged_s)
    over = [e for e in found if not e.lasts]
    if not over:
        return []
    worst = brief(frame, max(over, key=lambda e: (e.severity.rank, e.newest_s)))
    began = minutes(max(acknowledged_s, frame.started_s), frame.tick.wall_s)
    count = f"{counted(len(found), 'event')} since {began}"
    return [f"{count}{', worst' if len(found) > 1 else ''}: {worst}", f"{count}: {worst}", worst]
