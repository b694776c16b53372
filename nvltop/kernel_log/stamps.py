"""Time stamps of log lines, in the forms that dmesg, syslog, journalctl and the fabric manager write."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)"
    r"(?:[.,](\d{1,9}))?\s?(Z|UTC|GMT|[+-]\d\d:?\d\d)?(?=[\s\]]|$)"
)
DAY_S: Final = 86400.0


def fraction(digits: str | None) -> float:
    """Return the fraction of a second given by the digits after the decimal point."""
    return int(digits) / 10 ** len(digits) if digits else 0.0


@lru_cache(maxsize=64)
def _offset(text: str | None) -> timezone | None:
    if not text:
        return None
    if text in ("Z", "UTC", "GMT"):
        return timezone.utc
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


@lru_cache(maxsize=1024)
def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int, zone: str | None) -> float:
    # A stamp without a zone is local time; log readers write a leap second as 60.
    moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=_offset(zone))
    return moment.timestamp()


def iso(match: re.Match[str]) -> float | None:
    """Return the Unix time of a match of `ISO`; None for a date that does not exist."""
    try:
        numbers = [int(match[i]) for i in range(1, 7)]
        return _seconds(*numbers, match[8]) + fraction(match[7])
    except (ValueError, OverflowError):
        return None


def spelled(year: str | int, month: str, day: str, clock: str) -> float | None:
    """Return the Unix time of a stamp such as `Jul 23 2024 07:53:55`, in local time."""
    number = MONTHS.get(month[:3].capitalize())
    hour, minute, second = clock[:2], clock[3:5], clock[6:8]
    try:
        whole = _seconds(int(year), number or 0, int(day), int(hour), int(minute), int(second), None)
    except (ValueError, OverflowError):
        return None
    return whole + fraction(clock[9:] or None)


def without_year(month: str, day: str, clock: str, newest_s: float) -> float | None:
    """Return the latest Unix time, not after `newest_s`, that matches a stamp without a year."""
    try:
        year = datetime.fromtimestamp(newest_s).year
    except (ValueError, OverflowError, OSError):
        return None
    # Leap days exist only in some years.
    for candidate in range(year, year - 9, -1):
        moment = spelled(candidate, month, day, clock)
        if moment is not None and moment <= newest_s + DAY_S:
            return moment
    return None
