"""An explanation as one JSON object (schema `nvltop-explain/1`)."""

from __future__ import annotations

from typing import Final

from nvltop.explain.explain import Explanation
from nvltop.kernel_log.xid_actions import SHEET_DATE
from nvltop.report.incidents import incident_object
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
            "last_error": _last_error(found),
        },
    }


def _last_error(found: Explanation) -> str | None:
    """Return the newest error that the fabric manager logged."""
    errors = [e for i in found.incidents for e in i.events if e.source == "fabric-manager"]
    return clean(max(errors, key=lambda e: e.wall_s or 0.0).fault.text) if errors else None
