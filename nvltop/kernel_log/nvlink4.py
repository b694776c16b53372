"""Decoder of NVLink faults up to NVLink 4 (Xids 74, 136 and 137): the link, and what the registers mean.

The meaning of the first register's bits is NVIDIA's (WORKFLOW_NVLINK_ERR of the Xid documentation).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

FATAL: Final = re.compile(
    r"NVLink:\s+fatal\s+error\s+detected\s+on\s+link\s+(-?\d+)\s*(?:\(([^)]*)|$|,)", re.I
)
TRAINING: Final = re.compile(
    r"(?:link\s+training\s+failed\s+for\s+link\s+|failed\s+to\s+train\s+link\s+)(\d+)"
    r"(?:\s+to\s+remote\s+PCI:([0-9a-f:]+))?",
    re.I,
)
PRIVILEGE: Final = re.compile(r"(\w+)\s+interrupt\s+hit\s+on\s+link\s+(\d+)", re.I)
_REGISTER: Final = re.compile(r"0x([0-9a-f]{1,8})", re.I)


class Meaning(NamedTuple):
    """What a group of bits of the first register stands for."""

    bits: tuple[int, ...]
    text: str


SECONDARY: Final = Meaning((1, 20), "the consequence of another error")
PARITY: Final = Meaning((4, 5), "memory (ECC) or parity error inside the link unit")
MECHANICAL: Final = Meaning((8, 9, 12, 16, 17, 24, 28), "hardware or mechanical fault of the link")
SIGNAL: Final = Meaning((21, 22), "poor signal on the link")
IGNORED: Final = frozenset({0, 23, 30})
PRIMARY: Final = (PARITY, MECHANICAL, SIGNAL)


class Decoded(NamedTuple):
    """The fields of one line about a link; None where it does not say."""

    link: int | None
    unit: str | None = None
    meaning: str = ""
    blames: str = "unknown"
    secondary: bool = False
    """Whether the registers mark the error as the consequence of another one."""
    remote: str | None = None
    """PCI bus id of the other end."""


def decode(code: int, message: str) -> Decoded | None:
    """Return what a line of Xid 74, 136 or 137 says about a link, None if it names none."""
    if code == 137:
        found = PRIVILEGE.search(message)
        return Decoded(int(found[2]), found[1].upper(), blames="application") if found else None
    if fatals := list(FATAL.finditer(message)):
        # The last one counts: a process name before it may hold anything.
        fatal = fatals[-1]
        return _fatal(int(fatal[1]), fatal[2])
    if training := TRAINING.search(message):
        return Decoded(int(training[1]), meaning="the link could not be trained", remote=training[2])
    return None


def _fatal(link: int, registers: str | None) -> Decoded:
    at = link if link >= 0 else None
    first = _REGISTER.match((registers or "").strip())
    # A register that ends the line may have been cut off.
    if first is None or (registers or "").strip() == first[0]:
        return Decoded(at)
    bits = {bit for bit in range(32) if int(first[1], 16) >> bit & 1} - IGNORED
    meanings = [meaning for meaning in PRIMARY if bits.intersection(meaning.bits)]
    if meanings:
        blames = "local" if PARITY in meanings else "unknown"
        return Decoded(at, meaning=", ".join(m.text for m in meanings), blames=blames)
    secondary = bool(bits.intersection(SECONDARY.bits))
    return Decoded(at, meaning=SECONDARY.text if secondary else "", secondary=secondary)
