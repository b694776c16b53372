"""The header of recordings, their schemas and limits, `Mark` and `RecordingError`.

A recording is text, one JSON value per line, plain or compressed. The first line is a header:

    {"schema": "nvltop-recording/2", "version": "0.2.0", "removed": ["host names", …], "again": N, …}

`nvltop.wire.line_codec` describes the other lines. A recording consists of segments. Each begins with a
header and can be read alone; the first N items after the header repeat the newest item of each kind.
nvltop/docs/recordings.md describes the format in full.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from nvltop.frozen import frozen
from nvltop.text import clean
from nvltop.wire.names import HEADER, SCHEMA_1, SCHEMA_1_GROUPS, SCHEMA_1_MINIMUM
from nvltop.wire.schema import Schema

NAME: Final = "nvltop-recording"
SCHEMA: Final = 2
"""Number of the schema that this version writes."""
HEADER_START: Final = b'{"schema":"nvltop-recording/'
"""The first bytes of every header."""
CHECK_START: Final = b'["#",'
"""The first bytes of the line that ends a block: CRC-32, number in the file, and whether it is the last."""
MAX_LINE: Final = 4 << 20
"""Length limit of a line, bytes; the inventory of 72 GPUs takes one million."""
MAX_NAMES: Final = 256
"""Number of classes, and of fields of a class, that a header may declare."""
MAX_NAME: Final = 64
"""Length limit of a name that a header declares, characters."""
MAX_HEADER_MARKS: Final = 200
"""Number of marks in one header."""
MAX_TIME_S: Final = 1e11
"""Limit of the times in a header, seconds; some three thousand years."""


class RecordingError(Exception):
    """The error when a recording cannot be written or read; the message is one line for the user."""


class Mark(NamedTuple):
    """One moment that is worth jumping to."""

    mono_s: float
    """CLOCK_MONOTONIC of the recording."""
    kind: str
    """`event`, `errors`, `state`, `gpu`, `inventory` or `finding`."""
    gpu: str
    """UUID as in the recording, empty if it concerns the node."""
    text: str


@frozen
class Header:
    """The header of a segment."""

    version: str
    """Version of nvltop that wrote the recording."""
    again: int
    """Number of items that repeat what was known when the segment began."""
    schema: Schema
    mono_s: float | None = None
    """CLOCK_MONOTONIC when the segment began; None for the first one and in schema 1."""
    wall_s: float | None = None
    """Unix time of the same moment."""
    marks: tuple[Mark, ...] = ()
    """Marks of the previous segment."""


def header(
    version: str,
    removed: tuple[str, ...],
    again: int,
    at: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
) -> dict[str, Any]:
    """Return the header of a segment as JSON values."""
    values: dict[str, Any] = {"schema": f"{NAME}/{SCHEMA}"}
    if at:
        # Before all else, so that an index of the segments needs only the first bytes of each.
        values["at"] = list(at)
        values["marks"] = [[m.mono_s, m.kind, m.gpu, m.text] for m in marks[:MAX_HEADER_MARKS]]
    values |= {"version": version, "removed": list(removed), "again": again, "numbered": True}
    return {**values, **HEADER}


def parse_header(value: object, schemas: dict[str, Schema]) -> Header:
    """Return a header; raise `ValueError` with a short reason if it is not valid.

    `schemas` holds those of the previous headers, by their declaration.
    """
    schema = value.get("schema") if isinstance(value, dict) else None
    match = re.fullmatch(rf"{NAME}/([0-9]{{1,9}})", schema) if isinstance(schema, str) else None
    if not match or not isinstance(value, dict) or match[1] not in ("1", "2"):
        if match and int(match[1]) > SCHEMA:
            raise ValueError(
                f"written by a newer nvltop (schema {int(match[1])}, this version reads up to {SCHEMA})"
            )
        raise ValueError("not a recording of nvltop")
    again = value.get("again", 0)
    if type(again) is not int or again < 0:
        raise ValueError("a header with a wrong count")
    version = value.get("version")
    version = clean(version)[:MAX_NAME] if isinstance(version, str) else "?"
    if match[1] == "1":
        if "1" not in schemas:
            schemas["1"] = Schema(SCHEMA_1, SCHEMA_1_GROUPS, SCHEMA_1_MINIMUM)
        return Header(version, again, schemas["1"])
    mono_s, wall_s = _times(value.get("at"))
    return Header(
        version,
        again,
        _declared(value, schemas),
        mono_s,
        wall_s,
        tuple(_marks(value.get("marks"))),
    )


def _declared(value: dict[str, Any], schemas: dict[str, Schema]) -> Schema:
    """Return the schema that a header declares."""
    declared: list[Any] = [value.get(key) for key in HEADER]
    key = json.dumps(declared)
    if key not in schemas:
        items, groups, names = declared
        if (
            not _is_mapping(items)
            or not _is_names(groups)
            or not _is_mapping(names)
            or not all(isinstance(tag, str) and _is_names([cls]) for tag, cls in items.items())
            or not all(_is_names(fields) for fields in names.values())
        ):
            raise ValueError("a header without valid names")
        if len(schemas) >= MAX_NAMES:
            schemas.clear()
        schemas[key] = Schema({n: tuple(f) for n, f in names.items()}, groups, tolerant=True)
    return schemas[key]


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= MAX_NAMES and _is_names(list(value))


def _is_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_NAMES
        and all(isinstance(v, str) and len(v) <= MAX_NAME and v.isprintable() for v in value)
    )


def _times(value: object) -> tuple[float | None, float | None]:
    if not isinstance(value, list) or len(value) != 2 or not all(_is_time(v) for v in value):
        return None, None
    return float(value[0]), float(value[1])


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and type(value) is not bool and 0 <= value < MAX_TIME_S


def _marks(value: object) -> list[Mark]:
    marks = []
    for entry in value[:MAX_HEADER_MARKS] if isinstance(value, list) else ():
        if isinstance(entry, list) and len(entry) == 4 and _is_time(entry[0]):
            texts = [clean(v) for v in entry[1:] if isinstance(v, str)]
            if len(texts) == 3:
                marks.append(Mark(float(entry[0]), *texts))
    return marks
