"""Times as users write them: ISO 8601, `HH:MM[:SS]`, `+90s` after the start, `-5m` before the end."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from nvltop.frozen import frozen

UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each unit of a duration."""
MAX_S: Final = 1e11
"""Seconds above which a time is rejected; some three thousand years."""
_DURATION: Final = re.compile(r"([+-])(\d{1,12}(?:\.\d{1,9})?)(ms|s|min|m|h|d)?")
_MINUTES: Final = re.compile(r"([+-])(\d{1,6}):(\d{2})(?::(\d{2}))?")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)?")
EXAMPLES: Final = "14:02, 14:02:11, 2026-11-28T14:02:11, +90s or -5m"


@frozen
class Position:
    """A moment of a recording."""

    text: str
    """As the user wrote it."""
    offset_s: float | None = None
    """Seconds after the start, or before the end if negative; None for a time on the clock."""
    from_end: bool = False
    """Whether `offset_s` counts back from the end."""
    clock: tuple[int, int, float] | None = None
    """Hours, minutes and seconds of a time of day, in the local time zone."""
    moment_s: float | None = None
    """Unix time of a complete date and time."""

    def wall_s(self, start_s: float, end_s: float | None = None) -> float:
        """Return the Unix time of the position in a recording from `start_s` to `end_s`.

        A time of day is the first one at or after the start. Raises `ValueError` if the position counts from
        the end and the end is unknown.
        """
        if self.moment_s is not None:
            return self.moment_s
        if self.clock is not None:
            hours, minutes, seconds = self.clock
            start = datetime.fromtimestamp(start_s)
            day = start.replace(hour=hours, minute=minutes, second=0, microsecond=0) + timedelta(
                seconds=seconds
            )
            if day < start.replace(microsecond=0):
                day += timedelta(days=1)
            return day.timestamp()
        assert self.offset_s is not None
        if not self.from_end:
            return start_s + self.offset_s
        if end_s is None:
            raise ValueError(f"{self.text}: the end of the recording is not known")
        return end_s - self.offset_s


def parse_position(text: str) -> Position:
    """Parse a time as users write it. Raises `ValueError` with one line for the user."""
    text = text.strip()
    wrong = ValueError(f"invalid time {text!r} (expected e.g. {EXAMPLES})")
    if match := _DURATION.fullmatch(text):
        sign, number, unit = match.groups()
        offset_s = float(number) * UNITS_S[unit or "s"]
        if offset_s > MAX_S:
            raise wrong
        return Position(text, offset_s, sign == "-")
    if match := _MINUTES.fullmatch(text):
        sign, *parts = match.groups()
        offset_s = 0.0
        for part in parts:
            offset_s = offset_s if part is None else offset_s * 60 + int(part)
        return Position(text, offset_s, sign == "-")
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match[1]), int(match[2]), float((match[3] or "0") + (match[4] or ""))
        if hours > 23 or minutes > 59 or seconds >= 60:
            raise wrong
        return Position(text, clock=(hours, minutes, seconds))
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return Position(text, moment_s=moment.timestamp())
    except (ValueError, OverflowError, OSError):
        raise wrong from None
