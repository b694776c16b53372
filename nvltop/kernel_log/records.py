"""Parser of log lines into records: the writer of each message, and its time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from nvltop.kernel_log import stamps

KERNEL: Final = "kernel"
FABRIC_MANAGER: Final = "fabric-manager"
IMEX: Final = "imex"
OTHER: Final = "other"
"""Source of lines that any other program wrote; they may contain anything, so they are not decoded."""
WRITERS: Final = {
    "kernel": KERNEL,
    "nv-fabricmanager": FABRIC_MANAGER,
    "nvidia-fabricmanager": FABRIC_MANAGER,
    "nvidia-fabricmanager-start.sh": FABRIC_MANAGER,
    "nvidia-imex": IMEX,
    "nvidia-imex-ctl": IMEX,
}
"""Sources by identifier in syslog and in the journal."""


DRIVERS: Final = ("NVRM:", "nvidia-nvswitch", "nvidia-nvlink", "Xid ", "nvidia_dev_xid:")
"""Prefixes of the messages of NVIDIA's kernel drivers."""


class Record(NamedTuple):
    """One message of a log."""

    text: str
    source: str = KERNEL
    wall_s: float | None = None
    uptime_s: float | None = None
    boot: str | None = None
    level: str = ""
    """Level word of a fabric manager or IMEX record, such as `ERROR`."""


_KMSG: Final = re.compile(r"(\d{1,10}),(\d+),(\d+),[^;]{0,64};(.*)", re.S)
_PRIORITY: Final = re.compile(r"\s*<(\d{1,3})>(?:1 )?")
_DECODED: Final = re.compile(r"(kern|user|mail|daemon|auth|authpriv|syslog|cron|local\d)\s*:[a-z]+\s*:\s*")
_UPTIME: Final = re.compile(r"\[\s*(\d{1,12}\.\d{1,9})(?:\s*<[^>]*>)?\]\s?(?:\[\s*[TC]\d+\]\s?)?")
_UPTIME_LAST: Final = re.compile(r"\[\s*(\d{1,12}\.\d{1,9})\]\s*$")
_DMESG: Final = re.compile(r"\[\s*(\d{1,12}\.\d{1,9})\]\s?(?=NVRM:|nvidia-nvswitch)")
_SYSLOG_KERNEL: Final = re.compile(
    r"(?:([A-Z][a-z]{2})\s+(\d{1,2}) (\d\d:\d\d:\d\d)|" + stamps.ISO.pattern + r")\s+\S{1,255}\s+kernel:\s"
    r"\[\s*(\d{1,12}\.\d{1,9})\]\s?(?=NVRM:|nvidia-nvswitch)"
)
_CALLER: Final = re.compile(r"\[\s*[TC]\d+\]\s?")
_ELAPSED: Final = re.compile(r"\[\s*[+<]\s*\d+\.\d+>?\]\s?")
_CTIME: Final = re.compile(r"\[[A-Z][a-z]{2} ([A-Z][a-z]{2})\s+(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})\]\s?")
_CTIME_PLAIN: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2})\s+(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})\s+(?=\S)"
)
_RELTIME: Final = re.compile(r"\[([A-Z][a-z]{2})\s?(\d{1,2}) (\d\d:\d\d)\]\s?")
_FABRIC: Final = re.compile(
    r"\[([A-Z][a-z]{2})\s+(\d{1,2}) (\d{4}) (\d\d:\d\d:\d\d)\]\s*\[([A-Z]+)\]\s*(?:\[tid\s+\d+\]\s*)?"
)
_SYSLOG: Final = re.compile(r"([A-Z][a-z]{2})\s+(\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)\s+")
_UNIX: Final = re.compile(r"(\d{9,10}\.\d{6})\s+")
_WEEKDAY: Final = re.compile(r"[A-Z][a-z]{2} (?=\d{4}-)")
_ORIGIN: Final = re.compile(r"(?:(\S{1,255})\s+)?([\w.@/+-]{1,128})(?:\[\d+\])?:\s?")
_LEVEL: Final = re.compile(r"\[?(ERROR|CRITICAL|FATAL|WARNING|INFO)\]?[\s:]+")
_ANYWHERE: Final = re.compile(
    r"NVRM:\s+(?:Xid|The NVIDIA GPU|GPU|\(PCI ID|fallen|Rate|knvlink|API)"
    r"|nvidia-nvswitch\d+:\s+SXid|nvidia_dev_xid:",
    re.I,
)
_LIST_PREFIX: Final = re.compile(r"/[\w./-]+\.?log[\w.-]*:|/var/log/(?:messages|syslog)[\w.-]*:")


def frame(line: str, newest_s: float) -> Record | None:
    """Return the record of a line; None for an empty or damaged line, and for a program's in /dev/kmsg.

    `newest_s` is the Unix time after which no line was written; it determines the year of stamps without one.
    """
    text = line.strip()
    # By far the most frequent forms are handled first, because logs are long.
    if match := _DMESG.match(text):
        return Record(text[match.end() :], KERNEL, None, float(match[1]))
    if match := _SYSLOG_KERNEL.match(text):
        month, day, clock, *date, uptime = match.groups()
        wall_s = stamps.without_year(month, day, clock, newest_s) if month else stamps.iso(*date)
        return Record(text[match.end() :], KERNEL, wall_s, float(uptime))
    first = text[:1]
    if not first:
        return None
    if first == "{" or text.startswith("data: {"):
        return from_json(text[text.index("{") :])
    if first == "/" and (prefix := _LIST_PREFIX.match(text)):
        text = text[prefix.end() :].lstrip()
    if match := _KMSG.match(text):
        return _kmsg(match)
    if match := _FABRIC.match(text):
        wall_s = stamps.spelled(match[3], match[1], match[2], match[4])
        return Record(text[match.end() :], FABRIC_MANAGER, wall_s, level=match[5])
    source = KERNEL
    if match := _PRIORITY.match(text):
        if int(match[1]) >> 3:
            source = OTHER
        text = text[match.end() :]
    elif match := _DECODED.match(text):
        if match[1] != "kern":
            source = OTHER
        text = text[match.end() :]
    wall_s, text, stamped = _wall(text, newest_s)
    uptime_s = None
    if match := _UPTIME.match(text):
        uptime_s = float(match[1])
        text, stamped = text[match.end() :], True
    writer, text, named = _writer(text, stamped)
    source = writer if source == KERNEL else source
    if uptime_s is None and (match := _UPTIME.match(text)):
        uptime_s = float(match[1])
        text = text[match.end() :]
    if match := _CALLER.match(text) or _ELAPSED.match(text):
        text = text[match.end() :]
    if not named and source == KERNEL and (match := _ANYWHERE.search(text)):
        # An unknown prefix, such as that of a log collector.
        before = _UPTIME_LAST.search(text[: match.start()])
        if uptime_s is None and before:
            uptime_s = float(before[1])
        text = text[match.start() :]
    level = ""
    if source in (FABRIC_MANAGER, IMEX) and (match := _LEVEL.match(text)):
        level, text = match[1], text[match.end() :]
    return Record(text, source, wall_s, uptime_s, level=level)


def _wall(text: str, newest_s: float) -> tuple[float | None, str, bool]:
    """Return the Unix time at the start of a line, the rest of the line, and whether there was a stamp."""
    first = text[:1]
    if first == "[":
        if match := _CTIME.match(text):
            return stamps.spelled(match[4], match[1], match[2], match[3]), text[match.end() :], True
        if match := _RELTIME.match(text):
            clock = f"{match[3]}:00"
            return stamps.without_year(match[1], match[2], clock, newest_s), text[match.end() :], True
        if match := _ELAPSED.match(text):
            return None, text[match.end() :], True
        return None, text, False
    if first.isdigit():
        if match := stamps.ISO.match(text):
            return stamps.iso(*match.groups()), text[match.end() :].lstrip(), True
        if match := _UNIX.match(text):
            return float(match[1]), text[match.end() :], True
        return None, text, False
    if match := _SYSLOG.match(text):
        wall_s = stamps.without_year(match[1], match[2], match[3], newest_s)
        return wall_s, text[match.end() :], True
    if match := _CTIME_PLAIN.match(text):
        return stamps.spelled(match[4], match[1], match[2], match[3]), text[match.end() :], True
    if (match := _WEEKDAY.match(text)) and (when := stamps.ISO.match(text, match.end())):
        # journalctl writes abbreviations of time zones, which are ambiguous; local time is assumed.
        rest = re.sub(r"^\s*(?:[A-Z]{2,5}\s+)?", "", text[when.end() :])
        return stamps.iso(*when.groups()), rest, True
    return None, text, False


def _writer(text: str, stamped: bool) -> tuple[str, str, bool]:
    """Return the writer of a message, the message alone, and whether the line named its writer."""
    if text.startswith(DRIVERS):
        return KERNEL, text, True
    match = _ORIGIN.match(text)
    if match is None:
        return KERNEL, text, False
    if (known := WRITERS.get(match[2])) is not None:
        return known, text[match.end() :], True
    # `host program[12]: text` is a program's line; `module: text` without a host is the kernel's.
    if stamped and match[1] is not None:
        return OTHER, text[match.end() :], True
    return KERNEL, text, stamped


def continues(line: str) -> bool:
    """Return whether a line, which has no stamp of its own, can continue a fabric manager record."""
    text = line.strip()
    if not text or text[0] in "[{<" or text.startswith(DRIVERS):
        return False
    if _ANYWHERE.search(text) or _LIST_PREFIX.match(text):
        return False
    return not any(stamp.match(text) for stamp in (_SYSLOG, stamps.ISO, _UNIX, _KMSG, _DECODED, _WEEKDAY))


def _kmsg(match: re.Match[str]) -> Record | None:
    """Return a record of /dev/kmsg: `priority,sequence,microseconds,flags;message`."""
    if int(match[1]) >> 3:
        # Programs may write to /dev/kmsg as well; the kernel marks their records with a facility.
        return None
    # The kernel escapes newlines within a message.
    return Record(match[4].replace("\\x0a", "\n"), KERNEL, None, int(match[3]) / 1e6)


def from_json(text: str) -> Record | None:
    """Return the record of one line of `journalctl -o json`; None if it is damaged or a program wrote it."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return from_fields(fields) if isinstance(fields, dict) else None


def from_fields(fields: Mapping[str, object]) -> Record | None:
    """Return the record of a journal entry's fields, None if a program wrote it."""
    message = fields.get("MESSAGE")
    if isinstance(message, list):
        # The journal writes bytes that are not UTF-8, and messages of several lines, as a list.
        try:
            message = bytes(message).decode(errors="replace")
        except (ValueError, TypeError):
            return None
    if not isinstance(message, str):
        return None
    wall_s = _micros(fields.get("_SOURCE_REALTIME_TIMESTAMP")) or _micros(fields.get("__REALTIME_TIMESTAMP"))
    boot = fields.get("_BOOT_ID")
    identifier = fields.get("SYSLOG_IDENTIFIER")
    source = OTHER
    transport = fields.get("_TRANSPORT", KERNEL if identifier == KERNEL else None)
    if transport == KERNEL:
        source = KERNEL if str(fields.get("SYSLOG_FACILITY", "0")) == "0" else OTHER
    elif identifier != KERNEL:
        source = WRITERS.get(str(identifier), OTHER)
    if source == OTHER:
        return None
    uptime_s = _micros(fields.get("_SOURCE_MONOTONIC_TIMESTAMP")) if source == KERNEL else None
    level = ""
    if source != KERNEL and (match := _LEVEL.match(message)):
        level, message = match[1], message[match.end() :]
    return Record(message, source, wall_s, uptime_s, boot if isinstance(boot, str) else None, level)


def _micros(value: object) -> float | None:
    if isinstance(value, (str, int)) and str(value).isdigit() and len(str(value)) < 20:
        return int(value) / 1e6
    return None
