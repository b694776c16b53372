"""An explanation as one JSON object (schema `nvltop-explain/1`)."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.incidents.describe import actions
from nvltop.explain.explain import Explanation
from nvltop.kernel_log.xid_actions import SHEET_DATE
from nvltop.model import Incident, LogEvent, Origin
from nvltop.report.json_values import utc
from nvltop.text import clean

SCHEMA: Final = "nvltop-explain/1"


def as_object(found: Explanation) -> dict[str, object]:
    """Return an explanation as an object for `json.dumps`."""
    return {
        "schema": SCHEMA,
        "catalog_date": SHEET_DATE,
        "incidents": [incident_object(each) for each in found.incidents],
        "incidents_left_out": found.left_out,
        "records": found.records,
        "complete": found.problem is None,
        "fabric_manager": {
            "version": found.fabric_manager,
            "multicast_groups": found.groups_in_use if found.has_fabric_log else None,
            "multicast_gpus": found.group_gpus,
        },
    }


def incident_object(incident: Incident) -> dict[str, object]:
    """Return one incident as an object."""
    return {
        "summary": clean(incident.summary),
        "severity": incident.severity,
        "origin": origin_object(incident.origin),
        "next_step": clean(incident.next_step),
        "recovery_actions": {clean(action): gpus for action, gpus in actions(incident.events).items()},
        "time": _time(incident.began_s),
        "end": _time(incident.ended_s),
        "uptime_s": _rounded(incident.began_uptime_s),
        "boot": None if incident.boot is None else clean(incident.boot),
        "events": [event_object(event) for event in incident.events],
        "events_left_out": incident.left_out,
    }


def origin_object(origin: Origin) -> dict[str, object]:
    """Return an origin as an object; `pci_bus_id` is the GPU, `switch` the NVSwitch that began it."""
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


def event_object(event: LogEvent) -> dict[str, object]:
    """Return one event as an object."""
    fault = event.fault
    return {
        "time": _time(event.wall_s),
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
        "meaning": clean(fault.meaning),
        "text": clean(fault.text),
    }


def _time(wall_s: float | None) -> str | None:
    return None if wall_s is None else utc(wall_s)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
