"""Values as JSON: a missing value is null, and the object that holds it gives the reason."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Any

from nvltop.model import Missing


def as_object(**values: Any) -> dict[str, Any]:
    """Return an object whose missing values are null, with the reasons under `missing`."""
    found = {key: as_value(value) for key, value in values.items()}
    missing = {key: value.reason for key, value in values.items() if isinstance(value, Missing)}
    if missing:
        found["missing"] = missing
    return found


def as_value(value: Any) -> Any:
    """Return None for a missing value, and the value of an enum member."""
    if isinstance(value, Missing):
        return None
    return value.value if isinstance(value, Enum) else value


def utc(wall_s: float) -> str:
    """Return Unix time as `2026-11-20T14:02:11.250Z`."""
    moment = datetime.fromtimestamp(wall_s, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
