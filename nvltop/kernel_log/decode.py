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
_PROCESS: Final = re.compile(r"\s*,\s*pid=('[^']*'|<[^>]*>|\d+)?(?:\s*,\s*name=)?", re.I)
_QUOTED: Final = re.compile(r"\s*'([^\n]{0,100}?)'(?=,|$)")
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
    code = int(digits)
    where = bus_id(bus) if bus else None
    process, rest = _without_process(rest)
    if nvlink5.FIRST <= code <= nvlink5.LAST:
        return _nvlink5(code, where, rest, process)
    known = lookup(code)
    cause = _CAUSED_BY.search(rest) if "previous" in rest else None
    action = _ACTION.search(rest) if code == 154 else None
    older = nvlink4.decode(code, rest) if code in (74, 136, 137) else None
    severity, fatal = known.severity, None
    if action:
        severity = Severity.INFO if int(action[1], 16) == 0 else Severity.WARNING
    if code == 74 and older is not None and older.meaning != "the link could not be trained":
        fatal = True
    blames = (
        "application" if code in APPLICATION or (known.severity == Severity.INFO and code < 45) else "local"
    )
    if code in UNDECIDED or known.action.startswith("See NVIDIA"):
        blames = "unknown"
    return LogFault(
        kind="xid",
        severity=severity,
        text=_message(code, rest),
        code=code,
        pci_bus_id=where,
        link=older.link if older else None,
        unit=older.unit if older else None,
        fatal=fatal,
        caused_by=int(cause[1]) if cause else None,
        blames=older.blames if older and code == 74 else blames,
        meaning=_joined(known.meaning, older.meaning if older else ""),
        next_step=known.action,
        echo=bool(cause) or code in ECHOES,
        remote=bus_id(older.remote) if older and older.remote else None,
        recovery_action=action[2] if action else None,
        process=process,
    )


def _nvlink5(code: int, where: str | None, rest: str, process: str | None) -> LogFault:
    found = nvlink5.decode(code, rest)
    if found is None:
        known = lookup(code)
        return LogFault("xid", Severity.WARNING, _message(code, rest), code=code, pci_bus_id=where,
                        meaning=known.meaning, next_step=known.action, process=process)  # fmt: skip
    judged = _nvlink5_meaning(code, found.fatal, found.row)
    return LogFault(
        kind="xid",
        severity=judged.severity,
        text=_message(code, rest),
        code=code,
        subcode=found.subcode,
        status=found.status,
        pci_bus_id=where,
        link=found.link,
        unit=found.unit,
        fatal=found.fatal,
        blames=judged.blames,
        meaning=judged.meaning,
        next_step=judged.next_step,
        echo=judged.echo,
        process=process,
    )


@lru_cache(maxsize=1024)
def _nvlink5_meaning(code: int, fatal: bool, row: nvlink5.Row | None) -> LogFault:
    """Return what follows from the sheet's row alone: severity, blame, meaning and next step."""
    known = lookup(code)
    if row is None:
        severity = Severity.CRITICAL if fatal else Severity.WARNING
    elif row.harmless:
        severity = Severity.NOTICE
    elif row.resolution.immediate == "IGNORE":
        severity = Severity.WARNING
    else:
        severity = Severity.CRITICAL if fatal or row.fatal else Severity.WARNING
    return LogFault(
        kind="xid",
        severity=severity,
        text="",
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
    if not match[0].rstrip().lower().endswith("name="):
        return None, rest
    if (quoted := _QUOTED.match(rest)) is not None:
        return _name(quoted[1]), rest[quoted.end() :]
    name, comma, message = rest.partition(", ")
    if not comma:
        return _name(name), ""
    return _name(name), ", " + message


def _name(text: str) -> str | None:
    name = text.strip().strip("'")[:MAX_NAME]
    return None if name in ("", "<unknown>", "N/A") else name


def _message(code: int, rest: str) -> str:
    return f"Xid {code}: {rest.strip().lstrip(',').strip()}".rstrip(": ")


def _joined(*parts: str) -> str:
    return ": ".join(filter(None, parts))
