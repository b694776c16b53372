"""Decoder of driver messages without an Xid, such as those about a GPU that fell off the bus."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from nvltop.model import LogFault, Severity

_BUS: Final = r"(?:PCI:)?((?:[0-9a-f]{1,8}:)?[0-9a-f]{1,2}:[0-9a-f]{1,2}(?:\.[0-7])?)"
LOST_HEAD: Final = re.compile(rf"NVRM:\s+The\s+NVIDIA\s+GPU\s+{_BUS}", re.I)
"""First of three lines about a GPU that cannot be used; the third line gives the reason."""
LOST_TAIL: Final = re.compile(r"fallen\s+off\s+the\s+bus", re.I)
LOST_STEP: Final = (
    "Run nvidia-bug-report.sh, then restart the machine; if it comes back, check power, seating and cooling"
    " of this GPU and contact support"
)


class _Pattern(NamedTuple):
    pattern: re.Pattern[str]
    severity: Severity
    meaning: str
    next_step: str
    blames: str = "local"
    kind: str = "driver"


def _of(
    pattern: str,
    severity: Severity,
    meaning: str,
    next_step: str,
    blames: str = "local",
    kind: str = "driver",
) -> _Pattern:
    return _Pattern(re.compile(pattern, re.I), severity, meaning, next_step, blames, kind)


PATTERNS: Final = (
    _of(
        rf"GPU\s+(?:at\s+)?{_BUS}:?\s.*fallen\s+off\s+the\s+bus",
        Severity.CRITICAL,
        "the GPU has fallen off the bus",
        LOST_STEP,
        "local",
        "bus-loss",
    ),
    _of(
        rf"RPC\s+error\s+prints\s+for\s+GPU\s+at\s+{_BUS}",
        Severity.CRITICAL,
        "the GPU's firmware (GSP) fails again and again",
        "Drain the GPU and reset it (`nvidia-smi -r`)",
    ),
    _of(
        rf"GPU\s+{_BUS}:?\s.*RmInitAdapter\s+failed",
        Severity.CRITICAL,
        "the driver could not initialise the GPU",
        "Drain the GPU and reset it; if it comes back, run nvidia-bug-report.sh and contact support",
    ),
    _of(
        r"knvlink\w*PostRxDet\w*:.*failed",
        Severity.WARNING,
        "the driver could not read which links have a partner",
        "Look for Xid 136, 149 or 74 near it; reset the GPUs together if links are down",
        "unknown",
    ),
    _of(
        r"API\s+mismatch",
        Severity.CRITICAL,
        "library and kernel module of the driver have different versions",
        "Load the kernel module of the installed driver, or restart the machine",
        "unknown",
    ),
    _of(
        r"global\s+fatal\s+error",
        Severity.CRITICAL,
        "the memory driver (UVM) stopped after a fatal error",
        "Follow the Xid near it; end all CUDA programs, then reset the GPUs",
        "unknown",
    ),
    _of(
        r"NVIDIA\s+probe\s+routine\s+failed",
        Severity.WARNING,
        "the driver could not take over a GPU",
        "See the lines before it",
        "unknown",
    ),
)


NEEDLES: Final = ("fallen", "rpc", "rminit", "knvlink", "mismatch", "global", "probe")
"""Each of `PATTERNS` matches only messages with one of these, in lower case."""


def decode(text: str, bus_id: Callable[[str], str | None]) -> LogFault | None:
    """Return the fault that a driver message without an Xid reports; None if it is not a fault."""
    lower = text.lower()
    if not any(needle in lower for needle in NEEDLES):
        return None
    for known in PATTERNS:
        if match := known.pattern.search(text):
            pci_bus_id = next((bus_id(group) for group in match.groups() if group), None)
            return LogFault(
                kind=known.kind,
                severity=known.severity,
                text=text,
                pci_bus_id=pci_bus_id,
                fatal=True if known.kind == "bus-loss" else None,
                blames=known.blames,
                meaning=known.meaning,
                next_step=known.next_step,
            )
    return None


def lost(pci_bus_id: str | None) -> LogFault:
    """Return the fault of a GPU that fell off the bus, which the driver reports in three lines."""
    return LogFault(
        kind="bus-loss",
        severity=Severity.CRITICAL,
        text="The NVIDIA GPU has fallen off the bus and is not responding to commands.",
        pci_bus_id=pci_bus_id,
        fatal=True,
        blames="local",
        meaning="the GPU has fallen off the bus",
        next_step=LOST_STEP,
    )
