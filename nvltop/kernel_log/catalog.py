"""XIDs: NVIDIA's meaning and action for each code (docs.nvidia.com/deploy/xid-errors, October 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nvltop.model import Severity

RESET: Final = "Drain the GPU and reset it (`nvidia-smi -r`)"
RESTART: Final = "Restart the machine"
SUPPORT: Final = "; if it comes back, run nvidia-bug-report.sh and contact support"
NVLINK5: Final = (
    "Keep the full Xid line from `dmesg`, it says what failed; reset the GPU, on a rack check cable and tray"
)
APPLICATION: Final = "Look at the program that ran there; the GPU itself may be fine"
UNPUBLISHED: Final = "NVIDIA publishes no action; keep the full Xid line from `dmesg`"
SEE_CATALOG: Final = "See NVIDIA's XID catalog, and keep the full Xid line from `dmesg`"
UNKNOWN_XID: Final = 999
"""NVML's value for an XID it does not know."""


@dataclass(frozen=True, slots=True)
class Xid:
    """One code of the catalog."""

    short: str
    """At most 20 characters, for headlines."""
    meaning: str
    action: str
    severity: Severity
    nvlink: bool = False


def _nvlink(short: str, meaning: str, action: str = NVLINK5, severity: Severity = Severity.CRITICAL) -> Xid:
    return Xid(short, meaning, action, severity, nvlink=True)


XIDS: Final[dict[int, Xid]] = {
    13: Xid("graphics exception", "graphics engine exception", APPLICATION, Severity.INFO),
    31: Xid("page fault", "GPU memory page fault", APPLICATION, Severity.INFO),
    32: Xid("bad push buffer", "invalid or corrupted push buffer", APPLICATION, Severity.INFO),
    43: Xid("work stopped", "a program's work on the GPU was stopped", APPLICATION, Severity.INFO),
    45: Xid(
        "work torn down",
        "a process's GPU work was torn down, usually because of another fault",
        "Follow the other Xids near it, which say why",
        Severity.INFO,
    ),
    48: Xid("double-bit ECC", "double-bit memory error", RESET + SUPPORT, Severity.CRITICAL),
    63: Xid(
        "row remap pending",
        "a memory row is to be replaced",
        "Nothing now; the repair ends with the next reset",
        Severity.INFO,
    ),
    64: Xid("row remap failed", "a memory row could not be replaced", RESET + SUPPORT, Severity.CRITICAL),
    74: _nvlink(
        "NVLink error",
        "NVLink error, here or at the other end",
        "Keep the full Xid line from `dmesg`; drain both ends and reset them" + SUPPORT,
    ),
    79: Xid("fell off the bus", "the GPU has fallen off the bus", RESTART + SUPPORT, Severity.CRITICAL),
    92: Xid(
        "many ECC errors",
        "many single-bit memory errors",
        "Nothing now; contact support if it goes on",
        Severity.INFO,
    ),
    94: Xid(
        "contained ECC error",
        "memory error, contained to one program",
        "Restart that program",
        Severity.WARNING,
    ),
    95: Xid("uncontained ECC", "memory error that could not be contained", RESET, Severity.CRITICAL),
    109: Xid("ctx switch timeout", "a context switch timed out", RESET, Severity.WARNING),
    110: Xid("security fault", "security fault", RESET, Severity.WARNING),
    119: Xid(
        "GSP timeout",
        "the GPU's firmware (GSP) did not answer",
        RESET + "; look for a newer driver",
        Severity.CRITICAL,
    ),
    120: Xid(
        "GSP error",
        "error in the GPU's firmware (GSP)",
        RESET + "; look for a newer driver",
        Severity.CRITICAL,
    ),
    121: Xid(
        "C2C link error",
        "error on the chip-to-chip link (C2C)",
        "Nothing now; contact support if it goes on",
        Severity.WARNING,
    ),
    136: _nvlink(
        "link training", "a link could not be trained", RESET + ", then check the signal of that link"
    ),
    137: _nvlink(
        "illegal peer access",
        "a program made a forbidden access to a peer over NVLink",
        APPLICATION,
        Severity.INFO,
    ),
    140: Xid("unrecovered ECC", "memory error without recovery", RESET, Severity.CRITICAL),
    143: Xid("GPU init failed", "the GPU could not be initialised", RESET, Severity.CRITICAL),
    144: _nvlink("NVLink SAW", "NVLink 5 fault (SAW)"),
    145: _nvlink("NVLink RLW", "NVLink 5 fault (RLW)"),
    146: _nvlink("NVLink TLW", "NVLink 5 fault (TLW)"),
    147: _nvlink("NVLink TREX", "NVLink 5 fault (TREX)"),
    148: _nvlink("NVLink NVLPW_CTRL", "NVLink 5 fault (NVLPW_CTRL)"),
    149: _nvlink("NVLink NETIR", "NVLink 5 link fault (NETIR)"),
    150: _nvlink("NVLink MSE", "NVLink 5 fault (MSE)"),
    154: Xid(
        "recovery action",
        "the driver changed the recovery action",
        "See the recovery action of this GPU",
        Severity.INFO,
    ),
    155: _nvlink(
        "NVLink, software", "NVLink fault defined by software", RESET + "; look at the program that ran there"
    ),
    156: Xid("resource retired", "a resource was taken out of use", "Nothing now", Severity.INFO),
    157: Xid(
        "retirement failed", "a resource could not be taken out of use", RESET + SUPPORT, Severity.WARNING
    ),
    158: Xid("fatal GPU timeout", "fatal timeout of the GPU", RESET, Severity.WARNING),
}
UNRESOLVED: Final = range(162, 173)
"""Codes that the catalog lists without an action."""

SOURCES: Final = frozenset({48, 64, 79, 95, 119, 120, 136, 140, 143, 149})
"""What the GPU that fails itself logs."""
PEER_ACCESS: Final = 137
UNDECIDED: Final = frozenset({144, 145, 146, 147, 148, 150})
"""NVLink 5 codes of which most published rows are non-fatal: the code alone does not say whether the GPU is
damaged; the recovery action, link states and counters do."""
ECHOES: Final = frozenset({45, 74, 137, 144, 145, 146, 147, 148, 150})
"""What its peers log because of it (marin-community/marin issue 9086)."""


def lookup(code: int) -> Xid:
    """Return what is published of a code; what is not is said, never guessed."""
    if code == UNKNOWN_XID:
        return Xid("unknown to NVML", "an Xid that NVML does not know", SEE_CATALOG, Severity.NOTICE)
    if code in UNRESOLVED:
        return Xid("no published action", "listed without an action", UNPUBLISHED, Severity.NOTICE)
    return XIDS.get(code) or Xid(
        "not in nvltop's list", "not in this version's list", SEE_CATALOG, Severity.NOTICE
    )
