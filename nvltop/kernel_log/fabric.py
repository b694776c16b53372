"""Decoder of fabric manager and IMEX records: faults, and facts such as the multicast groups of NVLS."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from nvltop.kernel_log import sxid
from nvltop.kernel_log.decode import SWITCH_STEP, bus_id
from nvltop.kernel_log.records import Record
from nvltop.model import LogFault, Severity

_SWITCH: Final = re.compile(
    r"NVSwitch\s+(fatal|non-fatal)\s+error\s+(\d{5})\b(?:.*?pci\s+bus\s+id\s+([0-9a-f:.]+))?"
    r"(?:\s+physical\s+id\s+\d+)?(?:\s+port\s+(\d+))?",
    re.I | re.S,
)
_VERSION: Final = re.compile(
    r"version\s+(\d[\d.]+)\s+(?:don't|doesn't|don’t|does\s+not|do\s+not)\s+match\s+with\s+driver\s+version\s+(\d[\d.]*\d)",
    re.I,
)
_TOPOLOGY: Final = re.compile(r"number\s+of\s+NVSwitches\s+\S+\s+match\s+with\s+any\s+supported", re.I)
_NOTHING: Final = re.compile(r"NV_WARN_NOTHING_TO_DO", re.I)
_HANDLE: Final = re.compile(r"failed\s+to\s+find\s+the\s+GPU\s+handle.*multicast\s+team", re.I | re.S)
_FAILED: Final = re.compile(r"\b(?:failed|failure|error|abort(?:ing|ed)?|lost|timed\s+out)\b", re.I)
_GROUP: Final = re.compile(r"multicast\s+group\s+(\d+)\s+is\s+(allocated|freed)", re.I)
_TEAM: Final = re.compile(r"Team\s+setup\s+request:.*?Number\s+of\s+GPUs:\s*(\d{1,4})", re.I | re.S)
_STARTED: Final = re.compile(r"Fabric\s+Manager\s+version\s+is\s*:?\s*(\d[\d.]*)", re.I)
ERRORS: Final = frozenset({"ERROR", "CRITICAL", "FATAL"})
MAX_TEXT: Final = 1000
"""Characters of a record that are examined."""
REPORT_STEP: Final = (
    "See the fabric manager's log around this time; restart the fabric manager if GPUs wait for it"
)


class FabricFact(NamedTuple):
    """Information in a fabric manager's log that is not a fault."""

    kind: str
    """`allocated`, `freed`, `team` or `started`."""
    number: int | None = None
    """Id of the multicast group, or number of GPUs in a team."""
    version: str | None = None


def fact(record: Record) -> FabricFact | None:
    """Return what a record reports about multicast groups or a start of the fabric manager, or None."""
    if group := _GROUP.search(record.text):
        return FabricFact(group[2].lower(), int(group[1]))
    if team := _TEAM.search(record.text):
        return FabricFact("team", int(team[1]))
    if started := _STARTED.search(record.text):
        return FabricFact("started", version=started[1])
    return None


def decode(record: Record) -> LogFault | None:
    """Return the fault that a record reports; None if it does not report one."""
    text = " ".join(record.text[:MAX_TEXT].split())
    if found := _SWITCH.search(text):
        return _switch(text, found)
    if found := _VERSION.search(text):
        meaning = f"fabric manager {found[1]} does not fit driver {found[2]}"
        return _fault(Severity.CRITICAL, text, meaning, f"Install fabric manager {found[2]} and restart it")
    if _TOPOLOGY.search(text):
        meaning = "the number of NVSwitches found fits no known board"
        step = "Check with `lspci` which NVSwitches are missing; restart the machine"
        return _fault(Severity.CRITICAL, text, meaning, step, fatal=True)
    if _NOTHING.search(text):
        meaning = "the fabric manager found no NVSwitch to manage"
        step = "On boards with NVLink 5 switches, install NVLSM and load the drivers mlx5_ib and ib_umad"
        return _fault(Severity.WARNING, text, meaning, step)
    if _HANDLE.search(text):
        meaning = "a multicast team (NVLS) names a GPU that the fabric manager does not know"
        return _fault(Severity.WARNING, text, meaning, REPORT_STEP)
    if record.level in ERRORS or (not record.level and _FAILED.search(text)):
        writer = "IMEX" if record.source == "imex" else "the fabric manager"
        severity = Severity.CRITICAL if record.level in ("CRITICAL", "FATAL") else Severity.WARNING
        return _fault(severity, text, f"{writer} reported an error", REPORT_STEP)
    return None


def _switch(text: str, found: re.Match[str]) -> LogFault:
    code, fatal = int(found[2]), found[1].lower() == "fatal"
    return LogFault(
        kind="fabric-manager",
        severity=Severity.CRITICAL if fatal else Severity.NOTICE,
        text=text,
        code=code,
        pci_bus_id=bus_id(found[3]) if found[3] else None,
        link=int(found[4]) if found[4] else None,
        fatal=fatal,
        blames="unknown" if code // 1000 in sxid.LINK_RANGES else "local",
        meaning=f"NVSwitch: {sxid.name(code)}",
        next_step=SWITCH_STEP if fatal else "Nothing at once",
    )


def _fault(
    severity: Severity, text: str, meaning: str, next_step: str, fatal: bool | None = None
) -> LogFault:
    return LogFault("fabric-manager", severity, text, meaning=meaning, next_step=next_step, fatal=fatal)
