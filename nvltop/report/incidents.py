"""Incidents for reports: as JSON objects, and as phrases for the screen, reports and snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from nvltop.analysis.incidents.describe import actions
from nvltop.analysis.incidents.ends import normal, short
from nvltop.analysis.incidents.roles import described
from nvltop.analysis.timeline.build import SAME_S
from nvltop.formatting import age
from nvltop.model import (
    LOG_KINDS,
    Event,
    Frame,
    Incident,
    LogEvent,
    LogFault,
    Missing,
    Origin,
    Severity,
    known,
)
from nvltop.report.json_values import as_object, utc
from nvltop.text import clean, counted


def incident_object(incident: Incident) -> dict[str, Any]:
    """Return one incident as JSON values."""
    return {
        "summary": clean(incident.summary),
        "severity": incident.severity,
        "origin": origin_object(incident.origin),
        "next_step": clean(incident.next_step),
        "recovery_actions": {clean(action): gpus for action, gpus in actions(incident.events).items()},
        "time": time_of(incident.began_s),
        "end": time_of(incident.ended_s),
        "uptime_s": _rounded(incident.began_uptime_s),
        "boot": None if incident.boot is None else clean(incident.boot),
        "events": [event_object(event) for event in incident.events],
        "events_left_out": incident.left_out,
    }


def origin_object(origin: Origin) -> dict[str, Any]:
    """Return an origin as JSON values; `pci_bus_id` is the GPU, `switch` the NVSwitch that began it."""
    other = origin.other_end_of
    return {
        "pci_bus_id": origin.pci_bus_id,
        "link": origin.link,
        "switch": origin.switch,
        "other_end_of": None if other is None else {"pci_bus_id": other[0], "link": other[1]},
        "blames": origin.blames,
        "confidence": origin.sure,
        "reason": clean(origin.reason),
    }


def event_object(event: LogEvent) -> dict[str, Any]:
    """Return one event as JSON values."""
    fault = event.fault
    return {
        "time": time_of(event.wall_s),
        "uptime_s": _rounded(event.uptime_s),
        "severity": fault.severity,
        "source": event.source,
        "kind": fault.kind,
        "code": fault.code,
        "subcode": fault.subcode,
        "pci_bus_id": fault.pci_bus_id,
        "link": fault.link,
        "unit": None if fault.unit is None else clean(fault.unit),
        "fatal": fault.fatal,
        "caused_by": fault.caused_by,
        "blames": fault.blames,
        "marked": fault.marked,
        "meaning": clean(fault.meaning),
        "text": clean(fault.text),
    }


def time_of(wall_s: float | None) -> str | None:
    """Return a Unix time as JSON reports it, None if it is not known."""
    return None if wall_s is None else utc(wall_s)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def shown(frame: Frame) -> list[Incident]:
    """Return the incidents since the start that are more than an error of a program, the newest first."""
    return [i for i in _severe(frame) if i.before_start_s is None]


def earlier(frame: Frame) -> list[Incident]:
    """Return the incidents that were over before the start, the newest first."""
    return [i for i in _severe(frame) if i.before_start_s is not None]


def _severe(frame: Frame) -> list[Incident]:
    """Return the incidents that are more than an error of a program, and more than a finding says anyway."""
    return [
        i
        for i in frame.incidents
        if i.severity >= Severity.WARNING and any(e.fault.kind in LOG_KINDS for e in i.events)
    ]


def headline(incident: Incident) -> str:
    """Return the first sentence of the summary."""
    return clean(incident.summary.split(". ", 1)[0].rstrip("."))


def age_text(incident: Incident) -> str:
    """Return when an earlier incident ended: `3 h before the start`, and whether in an earlier boot."""
    boot = ", of an earlier boot" if incident.boot is not None else ""
    return f"{age(incident.before_start_s or 0.0)} before the start{boot}"


def place(frame: Frame, incident: Incident) -> str:
    """Return where an incident began in few characters: `GPU 3 link 7`, `NVSwitch`, `unknown`."""
    origin = incident.origin
    names = {normal(g.gpu.pci_bus_id): g.gpu.index for g in frame.gpus if known(g.gpu.pci_bus_id)}
    if origin.pci_bus_id is not None:
        index = names.get(origin.pci_bus_id)
        gpu = f"GPU {index}" if index is not None else short(origin.pci_bus_id)
        return gpu + (f" link {origin.link}" if origin.link is not None else "")
    if origin.switch is not None:
        return "NVSwitch" + (f" port {origin.link}" if origin.link is not None else "")
    return "other end" if origin.other_end_of is not None else "unknown"


def place_of(frame: Frame, bus_id: str | None, link: int | None) -> tuple[str | None, int | None]:
    """Return the UUID of the GPU with a PCI bus id, and the link; None for what this node does not have."""
    for g in frame.gpus:
        if bus_id is not None and known(g.gpu.pci_bus_id) and normal(g.gpu.pci_bus_id) == bus_id:
            return g.gpu.uuid, link if link is not None and link < len(g.links) else None
    return None, None


def event_line(frame: Frame, event: LogEvent) -> str:
    """Return one event of an incident: `Xid 149.4 of GPU 3 link 9 (kernel): NETIR_LINK_EVT Fatal …`."""
    fault = event.fault
    gpu = _device(frame, fault)
    if fault.link is not None:
        gpu += f" {'port' if fault.kind in ('sxid', 'fabric-manager') else 'link'} {fault.link}"
    words = fault.text
    if fault.kind == "xid":
        _, _, said = fault.text.partition(": ")
        # NVML reports the code alone, and what an operational event adds.
        words = (f"{fault.meaning} ({said})" if said else fault.meaning) if event.source == "nvml" else said
        if event.source != "nvml" and fault.marked is not None:
            words += f" (marked {fault.marked} by the driver)"
    of = f" of {gpu}" if gpu else ""
    return clean(f"{described(fault)}{of} ({event.source}): {words}")


def _device(frame: Frame, fault: LogFault) -> str:
    """Return the GPU that a fault is about as `GPU 3`, another device as its PCI bus id."""
    names = {normal(g.gpu.pci_bus_id): g.gpu.index for g in frame.gpus if known(g.gpu.pci_bus_id)}
    if fault.pci_bus_id is None:
        return ""
    return f"GPU {names[fault.pci_bus_id]}" if fault.pci_bus_id in names else short(fault.pci_bus_id)


def more_events(frame: Frame, events: Sequence[LogEvent], left_out: int) -> str:
    """Return events of an incident in one line: `3 more events: Xid 145 of GPU 1, GPU 2; Xid 45 of GPU 2`."""
    devices: dict[str, dict[str, None]] = {}
    for event in events:
        devices.setdefault(described(event.fault), {})[_device(frame, event.fault)] = None
    listed = [
        name + (f" of {', '.join(filter(None, found))}" if any(found) else "")
        for name, found in devices.items()
    ]
    count = len(events) + left_out
    text = counted(count, "more event")
    return clean(f"{text}: {'; '.join(listed)}" if listed else text)


def other_events(frame: Frame) -> list[Event]:
    """Return NVML's events that do not belong to an incident of `shown`, which lists its events itself."""
    bus_ids = {g.gpu.uuid: normal(g.gpu.pci_bus_id) for g in frame.gpus if known(g.gpu.pci_bus_id)}
    times: dict[tuple[str | None, str, int | None], list[tuple[float, float]]] = {}
    for incident in shown(frame):
        span = (incident.began_s or 0.0) - SAME_S, (incident.ended_s or 0.0) + SAME_S
        for fault in {e.fault for e in incident.events}:
            code = fault.subcode if fault.kind == "operational" else fault.code
            times.setdefault((fault.pci_bus_id, fault.kind, code), []).append(span)
    return [
        event
        for event in frame.events
        if not any(
            first <= event.wall_s <= last
            for first, last in times.get((bus_ids.get(event.gpu or ""), event.kind, event.code), ())
        )
    ]


def to_lines(frame: Frame) -> Iterator[str]:
    """Yield the incidents as text: the summary, the next step, and why the kernel log is not read."""
    for incident in shown(frame):
        yield f"incident, {incident.severity}: {clean(incident.summary)}"
        yield f"  next: {clean(incident.next_step)}"
    for incident in earlier(frame)[:3]:
        yield f"earlier, {age_text(incident)}: {headline(incident)}"
    if frame.log_access:
        yield clean(frame.log_access)
    yield from _fabric_lines(frame)
    groups = frame.fabric_log.groups
    if groups:
        last = frame.fabric_log.group_gpus
        gpus = f", the last team with {counted(last, 'GPU')}" if last else ""
        yield f"multicast groups (NVLS) in use: {len(groups)}{gpus}"


NOT_IN_LOG: Final = Missing("the fabric manager's log does not show it, or is not read")
NOT_IN_PROGRESS: Final = Missing("no GPU's fabric is in progress, or the log shows no error")
NOT_LATE: Final = Missing("the fabric manager did not start after the driver, or a time is not known")


def fabric_object(frame: Frame) -> dict[str, Any]:
    """Return what the fabric manager's log shows as JSON values, each null with its reason.

    `start_after_driver_s` is the time from the load of the driver to a later start of the fabric manager;
    `last_error` is given while the fabric of a GPU is in progress.
    """
    log, late_s, error = frame.fabric_log, _late_s(frame), _last_error(frame)
    return as_object(
        version=NOT_IN_LOG if log.version is None else clean(log.version),
        started=NOT_IN_LOG if log.started_s is None else utc(log.started_s),
        start_after_driver_s=NOT_LATE if late_s is None else round(late_s, 6),
        multicast_groups=NOT_IN_LOG if log.groups is None else len(log.groups),
        multicast_gpus=NOT_IN_LOG if log.group_gpus is None else log.group_gpus,
        last_error=NOT_IN_PROGRESS if error is None else error,
    )


def _late_s(frame: Frame) -> float | None:
    """Return how long after the driver the fabric manager started; None if it is not known or was earlier."""
    started_s, loaded_s = frame.fabric_log.started_s, frame.inventory.driver_loaded_s
    if started_s is None or not known(loaded_s) or started_s <= loaded_s:
        return None
    return started_s - loaded_s


def _last_error(frame: Frame) -> str | None:
    """Return the newest error of the fabric manager while the fabric of a GPU is in progress."""
    if not any(g.fabric.state == "in-progress" for g in frame.gpus):
        return None
    errors = [e for i in frame.incidents for e in i.events if e.source == "fabric-manager"]
    return clean(max(errors, key=lambda e: e.wall_s or 0.0).fault.text) if errors else None


def _fabric_lines(frame: Frame) -> Iterator[str]:
    """Yield what the fabric manager's log says about a fabric that does not come up."""
    if not any(g.fabric.state == "in-progress" for g in frame.gpus):
        return
    if (late_s := _late_s(frame)) is not None:
        yield f"the fabric manager started {age(late_s)} after the driver was loaded"
    if (error := _last_error(frame)) is not None:
        yield f"last error of the fabric manager: {error}"
