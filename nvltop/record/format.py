"""What a recording is: its schema, its limits, and the one error that speaks of it.

A recording is text, one JSON value a line, whole or compressed. The first line is the header

    {"schema": "nvltop-recording/1", "version": "0.1.0", "removed": ["host names", …]}

and each other line is one item or a name that items refer to:

    ["g", NAME]                                 the next number for a GPU, from 0
    ["i", TIME, WALL, field, …]                 an `Inventory`
    ["e", TIME, WALL, gpu, kind, code]          an `Event`, or `Listening`
    ["l", TIME, WALL, source, text, …]          a `LogLine`
    ["t", TIME, WALL, PATCH?]                   a `Tick`
    [gpu, group, START, END, WALL, PATCH?]      a `Reading`; gpu -1 for the host
    [gpu, 0, START, END, WALL, stamps, unit, guess, guess, base, packed]    link counters

Another header begins another recording that goes on where the one before ended; its `"again": N` says
that its first N items are what was known by then, told again so that it can be read on its own.

Times are microseconds since the time before them (`times`), PATCH is what changed in the item since
the last of its kind (`patch`), link counters are told as what they missed a guess by (`counters`).
"""

from __future__ import annotations

import re
from typing import Any, Final

NAME: Final = "nvltop-recording"
SCHEMA: Final = 1
MAX_LINE: Final = 4 << 20
"""Bytes; the inventory of 72 GPUs takes one."""


class RecordingError(Exception):
    """A recording cannot be written or read; the message is one line for the user."""


def header(version: str, removed: tuple[str, ...], again: int) -> dict[str, Any]:
    """Return the header of a new recording whose first `again` items are not new."""
    return {"schema": f"{NAME}/{SCHEMA}", "version": version, "removed": list(removed), "again": again}


def check_header(value: object) -> str | None:
    """Return what is wrong with a header, or None."""
    if not isinstance(value, dict):
        return "not a recording of nvltop"
    schema = value.get("schema")
    match = re.fullmatch(rf"{NAME}/([0-9]{{1,9}})", schema) if isinstance(schema, str) else None
    if not match:
        return "not a recording of nvltop"
    number = int(match[1])
    if number > SCHEMA:
        return f"written by a newer nvltop (schema {number}, this one reads {SCHEMA})"
    if number != SCHEMA:
        return "not a recording of nvltop"
    again = value.get("again", 0)
    return None if type(again) is int and again >= 0 else "a header with a wrong count"
