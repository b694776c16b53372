"""Time stamps of log lines, in the forms that dmesg, syslog, journalctl and the fabric manager write."""

from __future__ import annotations

import datetime as dt
import re
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
def _offset(text: str | None) -> dt.timezone | None:
    if not text:
        return None
    if text in ("Z", "UTC", "GMT"):
        return dt.timezone.utc
    sign = -1 if text[0] == "-" else 1
    return dt.timezone(sign * dt.timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


@lru_cache(maxsize=1024)
def _hour(year: int, month: int, day: int, hour: int, zone: str | None) -> float:
    """Return the Unix time at which an hour began; consecutive lines of a log share it."""
    # A stamp without a zone is local time; clocks are changed at whole hours.
    return dt.datetime(year, month, day, hour, tzinfo=_offset(zone)).timestamp()


def _in_hour(minute: int, second: int) -> float:
    """Return the seconds since the hour began; log readers write a leap second as 60."""
    if minute > 59 or second > 60:
        raise ValueError("not a time of day")
    return 60.0 * minute + min(second, 59)


def iso(
    year: str, month: str, day: str, hour: str, minute: str, second: str, digits: str | None, zone: str | None
) -> float | None:
    """Return the Unix time of the groups of `ISO`; None for a date that does not exist."""
    try:
        began_s = _hour(int(year), int(month), int(day), int(hour), zone)
        return began_s + _in_hour(int(minute), int(second)) + fraction(digits)
    except (ValueError, OverflowError):
        return None


def spelled(year: str | int, month: str, day: str, clock: str) -> float | None:
    """Return the Unix time of a stamp such as `Jul 23 2024 07:53:55`, in local time."""
    try:
        began_s = _hour(int(year), MONTHS.get(month[:3].capitalize(), 0), int(day), int(clock[:2]), None)
        return began_s + _in_hour(int(clock[3:5]), int(clock[6:8])) + fraction(clock[9:])
    except (ValueError, OverflowError):
        return None


def without_year(month: str, day: str, clock: str, newest_s: float) -> float | None:
    """Return the latest Unix time, not after `newest_s`, that matches a stamp without a year."""
    for year in _years(newest_s):
        moment = spelled(year, month, day, clock)
        if moment is not None and moment <= newest_s + DAY_S:
            return moment
    return None


@lru_cache(maxsize=16)
def _years(newest_s: float) -> range:
    """Return the years in which a line can have been written, the latest first; leap days need nine."""
    try:
        year = dt.datetime.fromtimestamp(newest_s).year
    except (ValueError, OverflowError, OSError):
        return range(0)
    return range(year, year - 9, -1)
