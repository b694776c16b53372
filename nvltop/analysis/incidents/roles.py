"""The role of one event in an incident: what kind of evidence it is for who began it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from nvltop.kernel_log import sxid
from nvltop.kernel_log.catalog import XIDS
from nvltop.model import LogFault, Severity

CLEANUP: Final = frozenset({45, 154})
"""Xids that say what the driver did about another fault."""
LINK_TRAINING: Final = 136
HARMLESS_TO_LINKS: Final = frozenset({54, 64})
"""Severe Xids that do not take links down."""
BUS_LOSS: Final = 79
NVLINK_MODULES: Final = ("NVLINK", "GPU-BUS")
"""Parts of the names of modules whose operational events are about NVLink, or take links down."""


WORDS: Final = {
    "bus-loss": "bus loss",
    "counter": "error counters",
    "fabric": "fabric state",
    "fabric-manager": "fabric manager",
    "gpu-lost": "GPU lost",
    "link-down": "link down",
    "recovery-action": "recovery action",
}
"""Names of the faults that have no code."""


class Role(IntEnum):
    """Kinds of evidence, the strongest for a culprit first."""

    LOST = 0
    """The GPU fell off the bus: its links and everything on it fail with it."""
    INTERNAL = 1
    """A fatal fault inside the GPU."""
    SWITCH = 2
    """A fatal fault inside an NVSwitch."""
    LINK = 3
    """A link failed, and the line blames this end or the link."""
    SOFTWARE = 4
    """A link was taken down by software."""
    REMOTE = 5
    """A link failed, and the line blames the other end."""
    LINK_UNDECIDED = 6
    """A link failed, and the line does not say which end is to blame."""
    SWITCH_LINK = 7
    """An NVSwitch reports that the link of a port failed."""
    BOTH_ENDS = 8
    """An NVLink error that both ends of a link report (Xid 74)."""
    PROGRAM = 9
    """A program made an error."""
    OTHER = 10
    """A fault that says nothing about others."""
    ECHO = 11
    """The consequence of another fault."""


def role(fault: LogFault) -> Role:
    """Return the role of a fault."""
    if fault.kind in ("bus-loss", "gpu-lost") or (fault.kind == "xid" and fault.code == BUS_LOSS):
        return Role.LOST
    if fault.marked == "propagated" and fault.blames != "remote-end":
        return Role.ECHO
    if fault.kind == "operational":
        return Role.OTHER
    if fault.kind in ("sxid", "fabric-manager"):
        if not fault.fatal:
            return Role.OTHER
        at_link = fault.code is not None and fault.code // 1000 in sxid.LINK_RANGES
        return Role.SWITCH_LINK if at_link else Role.SWITCH if fault.code is not None else Role.OTHER
    severe = fault.severity is Severity.CRITICAL and fault.blames == "local"
    if fault.kind == "link-down":
        return Role.LINK_UNDECIDED
    if fault.kind in ("recovery-action", "counter", "fabric"):
        return Role.ECHO
    if fault.kind == "driver":
        return Role.INTERNAL if severe else Role.OTHER
    if fault.code == 74:
        return Role.LINK if fault.blames == "local" else Role.BOTH_ENDS
    if fault.code == LINK_TRAINING:
        return Role.LINK_UNDECIDED
    if fault.echo:
        return Role.ECHO
    if fault.code == 149:
        return _link_fault(fault)
    if fault.blames == "application":
        return Role.PROGRAM
    if (
        fault.severity is Severity.CRITICAL
        and fault.blames == "local"
        and fault.code not in HARMLESS_TO_LINKS
    ):
        return Role.INTERNAL
    if 144 <= (fault.code or 0) <= 148 and fault.blames != "local":
        # A fault of the units behind the link: without a row of its own it says nothing about who began.
        return Role.ECHO
    return Role.OTHER


def _link_fault(fault: LogFault) -> Role:
    if not fault.fatal:
        return Role.OTHER if fault.fatal is False else Role.LINK_UNDECIDED
    if fault.unit == "NETIR_MFDE_EVENT" and fault.blames == "local":
        return Role.INTERNAL
    by_blame = {"local": Role.LINK, "remote-end": Role.REMOTE, "application": Role.SOFTWARE}
    return by_blame.get(fault.blames, Role.LINK_UNDECIDED)


def about_nvlink(fault: LogFault) -> bool:
    """Whether a fault concerns NVLink, or takes links down with it."""
    if fault.kind in ("sxid", "fabric-manager", "bus-loss", "gpu-lost", "link-down"):
        return True
    if fault.kind == "driver":
        return fault.blames == "unknown"
    if fault.kind == "operational":
        return fault.unit is not None and any(word in fault.unit for word in NVLINK_MODULES)
    return BUS_LOSS in (fault.code, fault.caused_by) or any(
        code in XIDS and XIDS[code].nvlink for code in (fault.code, fault.caused_by)
    )


def by_program(fault: LogFault) -> bool:
    """Whether a fault is a program's and has nothing to do with NVLink."""
    return role(fault) is Role.PROGRAM and not about_nvlink(fault)


def described(fault: LogFault) -> str:
    """Return a fault's name, such as `Xid 149.4`."""
    if fault.kind == "xid" and fault.code is not None:
        # Only Xid 149 has rows by sub-code.
        minor = f".{fault.subcode}" if fault.subcode is not None and fault.code == 149 else ""
        return f"Xid {fault.code}{minor}"
    if fault.code is not None:
        return f"SXid {fault.code}"
    if fault.kind == "operational" and fault.subcode is not None:
        return f"{fault.unit} event {fault.subcode:#06x}"
    return WORDS.get(fault.kind, "driver message")
