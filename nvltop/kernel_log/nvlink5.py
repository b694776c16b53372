"""Decoder of NVLink 5 faults (Xids 144 to 150): unit, sub-code and status give the fault and its origin.

The rows follow NVIDIA's NVLink 5 table (docs.nvidia.com/deploy/xid-errors, sheet of 2025-10-29). A line has
the form `UNIT Fatal XC0 i0 Link 09 (0x004525c6 0x00000000 …)`: bits 20 to 25 of the first word are the
sub-code, the second word is the status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from nvltop.kernel_log.xid_actions import Resolution, in_words

FIRST: Final = 144
LAST: Final = 150

LINE: Final = re.compile(
    r"(?P<unit>[A-Z][A-Z0-9_]*(?:/[A-Z0-9_]+)?)\s+(?P<fatal>Non-?fatal|Fatal)\s+XC\d\s+i\d+\s+"
    r"Link\s+(?P<link>-?\d+)(?P<more>\s*\((?P<words>[^)]*)|\s|$)",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"0x([0-9a-fA-F]{8})(?![0-9a-fA-F])")
LINK_FAULT: Final = 149
"""Xid whose rows are selected by the sub-code."""
_ALL_BITS: Final = 0xFFFFFFFF


class Row(NamedTuple):
    """What NVIDIA publishes about one kind of NVLink 5 fault."""

    resolution: Resolution
    blames: str = "unknown"
    """`local`, `remote-end`, `application` or `unknown`."""
    effect: str = ""
    fatal: bool = False
    harmless: bool = False
    """Whether the sheet expects no effect on the GPU, the link or a program."""

    @property
    def next_step(self) -> str:
        """Return NVIDIA's resolution as a sentence without its period."""
        return in_words(self.resolution)


class Decoded(NamedTuple):
    """The fields of one NVLink 5 line; None for a field that was cut off or is not in the line."""

    unit: str
    fatal: bool
    link: int | None
    subcode: int | None
    status: int | None
    row: Row | None


def _reset(investigate: str, blames: str, effect: str = "the link failed") -> Row:
    return Row(Resolution("RESET_GPU", investigate), blames, effect, fatal=True)


_SUPPORT: Final = "CONTACT_SUPPORT"
_SIGNAL: Final = _reset("INVESTIGATE_LINK_SI", "local")
_CABLE: Final = _reset("INVESTIGATE_LINK_SI_AND_CABLES", "local")
_PEER: Final = _reset("INVESTIGATE_PEER_DEVICE", "remote-end", "the other end made the link fail")
_USER: Final = _reset("INVESTIGATE_SW_USER", "application", "software took the link down")
_USER_SIGNAL: Final = _reset("INVESTIGATE_SW_USER_LINK_SI", "application", "software took the link down")
_SYMPATHETIC: Final = _reset("SYMPATHETIC_REPORT_SOLO", "unknown", "the link failed along with another one")
_REPORT: Final = _reset("REPORT_ISSUE", "unknown")
_LOCAL: Final = _reset(_SUPPORT, "local", "fatal fault of this GPU")
_BROKEN: Final = _reset(_SUPPORT, "local", "uncorrectable error in this GPU's NVLink unit")
_POISON: Final = Row(
    Resolution("IGNORE", _SUPPORT), "local", "memory error, contained: Xid 48, 94 or 95 follows"
)
_HARMLESS: Final = Row(Resolution("IGNORE", "IGNORE"), "unknown", "no effect", harmless=True)
_SOFTWARE: Final = Row(Resolution("IGNORE", _SUPPORT), "unknown", "no effect", harmless=True)
_PACKETS: Final = Row(Resolution("IGNORE", _SUPPORT), "unknown", "packets may be lost")
_ECHO: Final = Row(
    Resolution("XID_154_EVAL", "IGNORE"),
    "unknown",
    "a program here was ended (Xid 45); the cause is elsewhere",
)
_ENDED: Final = Row(Resolution("XID_154_EVAL", _SUPPORT), "unknown", "a program here was ended (Xid 45)")
_FLOW: Final = Row(
    Resolution("XID_154_EVAL", "CHECK_NVLINK_FAILURE_FLOW"), "unknown", "a program here was ended (Xid 45)"
)

_LINK_DOWN: Final[dict[int, Row]] = {
    0: _SYMPATHETIC,
    1: _REPORT,
    **dict.fromkeys((2, 4, 10), _SIGNAL),
    **dict.fromkeys((15, 17, 22), _USER),
    **dict.fromkeys((16, 18), _USER_SIGNAL),
    **dict.fromkeys((21, *range(32, 38)), _PEER),
    38: Row(
        Resolution("IGNORE", "INVESTIGATE_SW_USER"), "application", "software took the link down", fatal=True
    ),
    40: Row(Resolution("IGNORE", "INVESTIGATE_HOST"), "local", "the host took the link down", fatal=True),
    **dict.fromkeys((42, 43), _CABLE),
}
"""Rows of a link that went down, by sub-code."""
_BER: Final = Row(
    Resolution("IGNORE", "INVESTIGATE_LINK_SI_AND_CABLES"),
    "local",
    "many bit errors, without effect",
    harmless=True,
)
_EVENTS: Final[dict[int, Row]] = {1: _LOCAL, 3: _HARMLESS, 4: _LOCAL, 5: _LOCAL, 7: _LOCAL}
"""Rows of NETIR_MFDE_EVENT, by status."""
_INTERNAL: Final = 1 << 31
"""Status bit of an error that software injected or did not expect; without effect in every unit."""
_TLW: Final = {1: _HARMLESS, 2: _POISON, 4: _BROKEN, _INTERNAL: _SOFTWARE}

BY_STATUS: Final[Mapping[tuple[int, str], Mapping[int, Row]]] = {
    (144, "SAW_MVB"): {
        0x1: _POISON,
        0x2: _BROKEN,
        0x4: _HARMLESS,
        0x8: _POISON,
        0x10: _BROKEN,
        0x20: _HARMLESS,
    },
    (145, "RLW_CTRL"): {_INTERNAL: _SOFTWARE},
    (145, "RLW_REMAP"): {
        **dict.fromkeys((0x1, 0x2), _ENDED),
        **dict.fromkeys((0x4, 0x8, 0x10, 0x20), _FLOW),
        **dict.fromkeys((0x40, 0x80), _BROKEN),
        **dict.fromkeys((0x100, 0x200), _HARMLESS),
        _INTERNAL: _SOFTWARE,
    },
    (145, "RLW_RSPCOL"): {0x1: _HARMLESS, 0x2: _BROKEN, _INTERNAL: _SOFTWARE},
    (145, "RLW_RXPIPE"): {
        **dict.fromkeys((0x1, 0x2, 0x4), _PACKETS),
        0x8: _SOFTWARE,
        _INTERNAL: _SOFTWARE,
    },
    (145, "RLW_SRC_TRACK"): {
        **dict.fromkeys((0x1, 0x10, 0x20), _BROKEN),
        0x2: _HARMLESS,
        **dict.fromkeys((0x4, 0x8), _ECHO),
        _INTERNAL: _SOFTWARE,
    },
    (145, "RLW_TAGSTATE"): {
        **dict.fromkeys((0x1, 0x10000), _HARMLESS),
        **dict.fromkeys((0x2, 0x20000, 0x100000), _BROKEN),
        _INTERNAL: _SOFTWARE,
    },
    **dict.fromkeys(((146, "TLW_CTRL"), (146, "TLW_RX"), (146, "TLW_TX")), _TLW),
    (147, "TREX"): {0x1: _SOFTWARE, _INTERNAL: _SOFTWARE},
    (148, "NVLPW_CTRL"): {_INTERNAL: _SOFTWARE},
    (148, "NVLPW"): {_INTERNAL: _SOFTWARE},
}
"""Rows by code and unit, then by bit of the status."""


def decode(code: int, message: str) -> Decoded | None:
    """Return the fields of an NVLink 5 line; None if the line does not have that form.

    The last match counts: the process name before it may contain any text.
    """
    matches = list(LINE.finditer(message))
    if not matches:
        return None
    match = matches[-1]
    unit, fatal, digits, more, listed = match.groups()
    words = _WORD.findall(listed, 0, 32) if listed else ()
    subcode = int(words[0], 16) >> 20 & 0x3F if words else None
    status = int(words[1], 16) if len(words) > 1 else None
    link = int(digits)
    # A line that ends right behind one digit may have lost the second one.
    cut_off = more == "" and len(digits) < 2
    unit = unit.upper()
    deciding = None if status is None else status & _deciding_bits(code, unit)
    row = find(code, unit, subcode if code == LINK_FAULT else None, deciding)
    return Decoded(unit, len(fatal) == 5, None if link < 0 or cut_off else link, subcode, status, row)


@lru_cache(maxsize=1024)
def _deciding_bits(code: int, unit: str) -> int:
    """Return the bits of the status that select a row."""
    rows = _rows(code, unit)
    return _ALL_BITS if rows is None else sum(rows)


def _rows(code: int, unit: str) -> Mapping[int, Row] | None:
    """Return the rows of a unit by bit of the status."""
    name = unit.partition("/")[0]
    return BY_STATUS.get((code, name)) or BY_STATUS.get((code, name.partition("_PIPE")[0]))


@lru_cache(maxsize=4096)
def find(code: int, unit: str, subcode: int | None, status: int | None) -> Row | None:
    """Return NVIDIA's row; None if the sheet has none, or the line lacks the fields that select it."""
    name = unit.partition("/")[0]
    if code == LINK_FAULT:
        if name in ("NETIR_LINK_EVT", "NETIR_LINK_DOWN"):
            return None if subcode is None else _LINK_DOWN.get(subcode)
        if name == "NETIR_BER_EVENT":
            return _BER
        if name == "NETIR_MFDE_EVENT":
            return None if status is None else _EVENTS.get(status)
        return _SYMPATHETIC if name in ("NETIR", "NETIR_INT") else None
    if code == 150:
        return _LOCAL if name == "MSE_WATCHDOG" else None
    rows = _rows(code, unit)
    if rows is None or status is None:
        return None
    found = [row for bit, row in rows.items() if status & bit]
    # Several bits may be set; the worst of them decides.
    return max(found, key=lambda row: (row.fatal, not row.harmless)) if found else None
