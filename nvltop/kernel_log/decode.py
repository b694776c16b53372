"""Decoder of one message of the NVIDIA kernel drivers: from its text to a `LogFault`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from nvltop.kernel_log import driver, nvlink4, nvlink5, sxid
from nvltop.kernel_log.catalog import lookup
from nvltop.model import LogFault, Severity

XID: Final = re.compile(
    r"(?:NVRM:\s+|nvidia_dev_xid:\s+)?Xid\s*(?:\((?:\s*(?:PCI:)?\s*"
    r"(?P<bus>[0-9a-f]{1,8}:[0-9a-f]{1,2}:[0-9a-f]{1,2}(?:\.[0-7])?)\b)?"
    r"[^)]{0,64}\)\s*:|(?<=Xid)\s)\s*(?P<code>\d{1,5})\b(?P<rest>.*)",
    re.IGNORECASE | re.S,
)
_PROCESS: Final = re.compile(r"\s*,\s*pid=(?:'[^']*'|<[^>]*>|\d+)?(\s*,\s*name=)?\s*", re.I)
_QUOTED: Final = re.compile(r"'([^\n]{0,100}?)'(?=,|$)")
"""Process name in quotes, which may contain a comma."""
_CAUSED_BY: Final = re.compile(r"caused\s+by\s+previous\s+Xid\s+(\d{1,5})\s*$", re.I)
_ACTION: Final = re.compile(r"recovery action changed from .*\bto\s+0x([0-9a-f]+)\s*\(([^)]*)\)", re.I)
_BUS: Final = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-7]))?", re.I)

APPLICATION: Final = frozenset({8, 11, 13, 25, 31, 32, 37, 43, 60, 69, 80, 137, 155})
"""Xids that NVIDIA's catalog sheet attributes to the program that ran on the GPU."""
UNDECIDED: Final = frozenset({38, 44, 45, 66, 67, 74, 78, 106, 107, 109, 141, 151, 152, 153, 154, 159, 174})
"""Xids whose code does not show where the fault was made."""
ECHOES: Final = frozenset({45, 74, 154})
"""Xids that GPUs report because of another fault; for NVLink 5, unit and status decide instead."""
MAX_MESSAGE: Final = 2048
"""Characters of a message that are examined; real messages have a few hundred at most."""
MAX_NAME: Final = 64
"""Characters of a process name that are kept; the kernel cuts names at 15, the driver at 100."""


@lru_cache(maxsize=1024)
def bus_id(text: str) -> str | None:
    """Return a PCI bus id as NVML prints it, such as `00000000:9B:00.0`; None if it is not one."""
    match = _BUS.fullmatch(text.strip())
    if match is None:
        return None
    domain, bus, device = (int(part or "0", 16) for part in match.groups()[:3])
    return f"{domain:08X}:{bus:02X}:{device:02X}.{match[4] or 0}"


@lru_cache(maxsize=4096)
def decode(message: str) -> LogFault | None:
    """Return the fault that a kernel message reports; None if it is not a fault of an NVIDIA driver."""
    text = message[:MAX_MESSAGE].strip()
    start = text[:24].lower()
    if start.startswith("nvidia-nvswitch"):
        return _sxid(text)
    if "xid" in start and (match := XID.match(text)):
        return _xid(text, match)
    return driver.decode(text, bus_id) if start.startswith("nvrm:") else None


def _xid(text: str, match: re.Match[str]) -> LogFault:
    bus, digits, rest = match.groups()
    code, where = int(digits), bus_id(bus) if bus else None
    process, rest = _without_process(rest)
    message = f"Xid {code}: {rest.lstrip(', ')}".rstrip(": ")
    if nvlink5.FIRST <= code <= nvlink5.LAST:
        found = nvlink5.decode(code, rest)
        if found is None:
            fault = _by_code(code, where)._replace(severity=Severity.WARNING, blames="unknown", echo=False)
            return fault._replace(text=message, process=process)
        return _nvlink5(code, found.fatal, found.row)._replace(
            text=message,
            pci_bus_id=where,
            subcode=found.subcode,
            status=found.status,
            link=found.link,
            unit=found.unit,
            process=process,
        )
    fault = _by_code(code, where)
    if code in (74, 136, 137) and (older := nvlink4.decode(code, rest)) is not None:
        fault = fault._replace(
            link=older.link,
            unit=older.unit,
            fatal=True if code == 74 and not older.untrained else None,
            blames=older.blames if code == 74 else fault.blames,
            meaning=_joined(fault.meaning, older.meaning),
            remote=bus_id(older.remote) if older.remote else None,
        )
    if code == 154 and (action := _ACTION.search(rest)):
        severity = Severity.INFO if int(action[1], 16) == 0 else Severity.WARNING
        fault = fault._replace(severity=severity, recovery_action=action[2])
    if "previous" in rest and (cause := _CAUSED_BY.search(rest)):
        fault = fault._replace(caused_by=int(cause[1]), echo=True)
    return fault._replace(text=message, process=process)


@lru_cache(maxsize=4096)
def _by_code(code: int, where: str | None) -> LogFault:
    """Return what follows from the code alone."""
    known = lookup(code)
    by_program = code in APPLICATION or (known.severity == Severity.INFO and code < 45)
    blames = "application" if by_program else "local"
    return LogFault(
        kind="xid",
        severity=known.severity,
        text="",
        code=code,
        pci_bus_id=where,
        blames="unknown" if code in UNDECIDED or known.action.startswith("See NVIDIA") else blames,
        meaning=known.meaning,
        next_step=known.action,
        echo=code in ECHOES,
    )


@lru_cache(maxsize=1024)
def _nvlink5(code: int, fatal: bool, row: nvlink5.Row | None) -> LogFault:
    """Return what follows from NVIDIA's row for an NVLink 5 fault, if there is one."""
    known = lookup(code)
    severity = Severity.CRITICAL if fatal or (row is not None and row.fatal) else Severity.WARNING
    if row is not None and row.harmless:
        severity = Severity.NOTICE
    elif row is not None and row.resolution.immediate == "IGNORE":
        severity = Severity.WARNING
    return LogFault(
        kind="xid",
        severity=severity,
        text="",
        code=code,
        fatal=fatal,
        blames=row.blames if row else "unknown",
        meaning=_joined(known.meaning, row.effect if row else ""),
        next_step=row.next_step if row else known.action,
        echo=row is not None and not row.fatal and not row.harmless and row.blames == "unknown",
    )


def _sxid(text: str) -> LogFault | None:
    found = sxid.decode(text)
    if found is None:
        return None
    severity = (
        Severity.CRITICAL if found.fatal else Severity.NOTICE if found.fatal is False else Severity.WARNING
    )
    return LogFault(
        kind="sxid",
        severity=Severity.INFO if found.correctable else severity,
        text=text,
        code=found.code,
        pci_bus_id=bus_id(found.bus_id),
        link=found.link,
        unit=found.switch,
        fatal=found.fatal,
        blames="unknown" if found.code // 1000 in sxid.LINK_RANGES else "local",
        meaning=f"NVSwitch: {sxid.name(found.code)}",
        next_step=SWITCH_STEP if found.fatal else "Nothing at once",
    )


SWITCH_STEP: Final = (
    "Drain all GPUs of this NVLink fabric and reset them together; if it comes back, run nvidia-bug-report.sh"
    " and contact support"
)


def is_detail(fault: LogFault) -> bool:
    """Return whether a fault is the second or third line of an SXid, which belongs to the line before."""
    if fault.kind != "sxid":
        return False
    found = sxid.decode(fault.text)
    return found is not None and found.detail


def without_process(text: str) -> str:
    """Return a kernel message without the process id and process name that it may contain."""
    match = XID.match(text[:MAX_MESSAGE])
    if match is None:
        return text
    _, rest = _without_process(match["rest"])
    return text[: match.start("rest")] + rest


def _without_process(rest: str) -> tuple[str | None, str]:
    """Return the process name, and the rest of the message."""
    match = _PROCESS.match(rest)
    if match is None:
        return None, rest
    rest = rest[match.end() :]
    if match[1] is None:
        return None, rest
    if rest.startswith("'") and (quoted := _QUOTED.match(rest)) is not None:
        return _name(quoted[1]), rest[quoted.end() :]
    name, comma, message = rest.partition(", ")
    return _name(name), comma + message


def _name(text: str) -> str | None:
    name = text.strip().strip("'")[:MAX_NAME]
    return None if name in ("", "<unknown>", "N/A") else name


def _joined(*parts: str) -> str:
    return ": ".join(filter(None, parts))
