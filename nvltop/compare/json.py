"""A comparison as JSON for scripts."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Final

from nvltop.comparison.collector import Comparison, Difference
from nvltop.comparison.sides import Side

SCHEMA: Final = "nvltop-compare/1"


def to_json(comparison: Comparison) -> str:
    """Return the comparison as one JSON object.

    `differences` holds `where`, `what`, `before`, `after` (null if unknown), `over_s` (seconds between the
    two sides), `severity`, `matters`, `increase`, `per_hour`, `note` and `began` of each, the worst first.
    `began` is when a finding began, or a counter rose first (of a recording).
    """
    c = comparison
    return json.dumps(
        {
            "schema": SCHEMA,
            "before": _side(c.before),
            "after": _side(c.after),
            "same_node": c.pairing.same_node,
            "same_node_reason": c.pairing.reason,
            "over_s": c.over_s,
            "matters": c.matters,
            "differences": [_difference(d, c.over_s) for d in c.differences],
            "equal": list(c.equal),
        },
        ensure_ascii=False,
    )


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "time": None if side.time_s is None else _utc(side.time_s),
        "redacted": side.redacted,
    }


def _utc(wall_s: float) -> str:
    when = datetime.fromtimestamp(wall_s, timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _difference(d: Difference, over_s: float | None) -> dict[str, Any]:
    per_hour = d.increase / abs(over_s) * 3600 if d.increase is not None and over_s else None
    return {
        "where": d.where,
        "what": d.what,
        "before": d.before,
        "after": d.after,
        "over_s": over_s,
        "severity": d.severity,
        "matters": d.matters,
        "increase": d.increase,
        "per_hour": per_hour,
        "note": d.note,
        "began": None if d.began_s is None else _utc(d.began_s),
    }
