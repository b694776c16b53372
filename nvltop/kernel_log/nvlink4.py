"""Decoder of NVLink faults up to NVLink 4 (Xids 74, 136 and 137): the link, and the meaning of the registers.

The meaning of the bits of the first register is from NVIDIA's Xid documentation (WORKFLOW_NVLINK_ERR).
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
    """Meaning of a group of bits of the first register."""

    bits: tuple[int, ...]
    text: str


SECONDARY: Final = Meaning((1, 20), "the consequence of another error")
PARITY: Final = Meaning((4, 5), "memory (ECC) or parity error inside the link unit")
MECHANICAL: Final = Meaning((8, 9, 12, 16, 17, 24, 28), "hardware or mechanical fault of the link")
SIGNAL: Final = Meaning((21, 22), "poor signal on the link")
IGNORED: Final = frozenset({0, 23, 30})
PRIMARY: Final = (PARITY, MECHANICAL, SIGNAL)


class Decoded(NamedTuple):
    """The fields of one line about a link; None for a field that the line does not have."""

    link: int | None
    unit: str | None = None
    meaning: str = ""
    blames: str = "unknown"
    untrained: bool = False
    """Whether the line says that the link could not be trained."""
    remote: str | None = None
    """PCI bus id of the remote end."""


def decode(code: int, message: str) -> Decoded | None:
    """Return the fields of a line of Xid 74, 136 or 137; None if it does not name a link."""
    if code == 137:
        found = PRIVILEGE.search(message)
        return Decoded(int(found[2]), found[1].upper(), blames="application") if found else None
    if fatals := list(FATAL.finditer(message)):
        # The last match counts: the process name before it may contain any text.
        fatal = fatals[-1]
        return _fatal(int(fatal[1]), fatal[2])
    if training := TRAINING.search(message):
        meaning = "the link could not be trained"
        return Decoded(int(training[1]), meaning=meaning, untrained=True, remote=training[2])
    return None


def _fatal(link: int, registers: str | None) -> Decoded:
    index = link if link >= 0 else None
    first = _REGISTER.match((registers or "").strip())
    # A register at the end of the line may have been cut off.
    if first is None or (registers or "").strip() == first[0]:
        return Decoded(index)
    bits = {bit for bit in range(32) if int(first[1], 16) >> bit & 1} - IGNORED
    meanings = [meaning for meaning in PRIMARY if bits.intersection(meaning.bits)]
    if meanings:
        blames = "local" if PARITY in meanings else "unknown"
        return Decoded(index, meaning=", ".join(m.text for m in meanings), blames=blames)
    secondary = bits.intersection(SECONDARY.bits)
    return Decoded(index, meaning=SECONDARY.text if secondary else "")
