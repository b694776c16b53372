"""What a recording is: its schema, its limits, and the one error that speaks of it.

A recording is text, one JSON value a line, whole or compressed. The first line is the header

    {"schema": "nvltop-recording/1", "version": "0.1.0", "removed": ["host names", …]}

and each other line is one item or a name that items refer to:

    ["g", NAME]                                 the next number for a GPU, from 0
    ["i", TIME, WALL, field, …]                 an `Inventory`
    ["e", TIME, WALL, gpu, kind, code]          an `Event`
    ["t", TIME, WALL, PATCH?]                   a `Tick`
    [gpu, group, START, END, WALL, PATCH?]      a `Reading`; gpu -1 for the host
    [gpu, 0, START, END, WALL, stamps, unit, guess, guess, base, packed]    link counters

Times are microseconds since the time before them (`times`), PATCH is what changed in the item since
the last of its kind (`patch`), link counters are told as what they missed a guess by (`counters`).
"""

from __future__ import annotations

import re
from typing import Any, Final

from nvltop.model import GROUPS

NAME: Final = "nvltop-recording"
SCHEMA: Final = 1
GROUP_NAMES: Final = tuple(GROUPS.values())
LINKS: Final = GROUP_NAMES.index("links")
HOST: Final = -1

MAX_LINE: Final = 4 << 20
"""Bytes; the inventory of 72 GPUs takes one."""
MAX_GPUS: Final = 1024
MAX_STATE: Final = 32 << 20
"""Bytes that all the newest readings together may take as text."""


class RecordingError(Exception):
    """A recording cannot be written or read; the message is one line for the user."""


def header(version: str, removed: tuple[str, ...]) -> dict[str, Any]:
    """Return the header of a new recording."""
    return {"schema": f"{NAME}/{SCHEMA}", "version": version, "removed": list(removed)}


def check_header(value: object) -> str | None:
    """Return what is wrong with a header, or None."""
    schema = value.get("schema") if isinstance(value, dict) else None
    match = re.fullmatch(rf"{NAME}/([0-9]{{1,9}})", schema) if isinstance(schema, str) else None
    if not match:
        return "not a recording of nvltop"
    number = int(match[1])
    if number > SCHEMA:
        return f"written by a newer nvltop (schema {number}, this one reads {SCHEMA})"
    return None if number == SCHEMA else "not a recording of nvltop"
