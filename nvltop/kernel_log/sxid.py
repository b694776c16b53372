"""Decoder and names of SXids, the errors that an NVSwitch reports (ctrl_dev_nvswitch.h, modules 595.45)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LINE: Final = re.compile(
    r"nvidia-(nvswitch\d+):\s+SXid\s+\(PCI:\s*([0-9a-fA-F:.]+)\)\s*:\s*(\d{5}),\s*(.*)", re.IGNORECASE | re.S
)
_SEVERITY: Final = re.compile(r"(Fatal|Non-?fatal|Correctable)\b,?\s*(?:Link\s+(-?\d+)\s*)?(.*)", re.I | re.S)
_DETAIL: Final = re.compile(r"Severity\s+(\d+)\s+Engine\s+instance\s+(\d+)", re.I)

RANGES: Final = {
    10: "host interface or temperature",
    11: "ingress of a port",
    12: "egress of a port",
    13: "fstate of a port",
    14: "tstate of a port",
    15: "routing of a port",
    16: "port",
    17: "NVLink control",
    18: "NVLink interface",
    19: "NVLink transaction layer",
    20: "NVLink data link and physical layer",
    21: "internal crossbar (AFS)",
    22: "NVLink microcontroller (MINION)",
    23: "internal crossbar (NXBAR)",
    24: "source tracking of a port",
    25: "NVLink interface of a link",
    26: "switch microcontroller (SOE)",
    27: "cable controller",
    28: "temperature of a cable module",
    29: "multicast of a port",
    30: "reduction of a port",
}
"""Part of the NVSwitch by the thousands of the code."""

NAMES: Final = {
    10004: "temperature too high",
    10005: "temperature back to normal",
    10006: "shut down for its temperature",
    10008: "firmware could not be started",
    20001: "transmission repeated",
    20009: "many receive errors in a short time",
    20010: "many receive errors over a long time",
    20012: "checksum (CRC) errors received",
    20013: "link state machine fault",
    20034: "link fault while it was up (LTSSM Fault Up)",
    20035: "link fault while it went down (LTSSM Fault Down)",
    22003: "microcontroller halted",
    22012: "fatal interrupt of a link",
    22013: "non-fatal interrupt of a link",
    24007: "timeout of a request that it forwarded",
    25010: "link could not be trained",
    26006: "microcontroller halted",
    28001: "cable module too warm",
    28003: "cable module far too warm",
    28005: "shut down for the temperature of a cable module",
}
LINK_RANGES: Final = frozenset({18, 19, 20, 25})
"""Ranges about one link, where the cause may be either end or the cable between them."""


class Decoded(NamedTuple):
    """The fields of one line of an SXid; None for a field that the line does not have."""

    switch: str
    bus_id: str
    code: int
    fatal: bool | None
    correctable: bool
    link: int | None
    detail: bool
    """Whether this is the second or third line of an SXid, which does not describe the fault."""


def decode(message: str) -> Decoded | None:
    """Return the fields of an SXid line; None if it is not an SXid."""
    match = LINE.search(message)
    if match is None:
        return None
    switch, bus_id, code, rest = match[1].lower(), match[2], int(match[3]), match[4]
    head = _SEVERITY.match(rest)
    if head:
        word = head[1].lower()
        number = int(head[2]) if head[2] else -1
        fatal = word == "fatal"
        named = number if number >= 0 else None
        return Decoded(switch, bus_id, code, fatal, word == "correctable", named, False)
    detail = _DETAIL.match(rest)
    if detail:
        # Severity 1 is fatal in the driver's enumeration, 0 is not; the engine of a link fault is the link.
        link = int(detail[2]) if code // 1000 in LINK_RANGES or code // 1000 == 22 else None
        return Decoded(switch, bus_id, code, detail[1] != "0", False, link, True)
    return Decoded(switch, bus_id, code, None, False, None, rest.lstrip().lower().startswith("data"))


def name(code: int) -> str:
    """Return the name of an SXid, or the part of the NVSwitch that reports it."""
    part = RANGES.get(code // 1000)
    if code in NAMES:
        return NAMES[code]
    return f"error of the {part}" if part else "unknown SXid"
