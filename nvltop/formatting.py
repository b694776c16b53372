"""Numbers as text: with few digits, and never wider than their column.

GB/s is 10^9 bytes per second, as in `nvidia-smi nvlink -s`; memory is in GiB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from nvltop.frozen import frozen
from nvltop.model import Maybe, Missing

UNKNOWN: Final = "?"
GB: Final = 1e9
GIB: Final = 1 << 30
PARTIAL_COUNT_WIDTH: Final = 6
"""Columns of a count whose other part could not be read, such as `1.2k+?`."""


def cell(value: Maybe[float], text: str, width: int) -> str:
    """Right-align `text`, or `?` for a missing value, in `width` columns."""
    return (UNKNOWN if isinstance(value, Missing) else text).rjust(width)[:width]


def gb_per_s(value: Maybe[float], width: int = 6) -> str:
    """Return bytes/s as GB/s with three or four digits: `0.012`, `9.87`, `178.2`."""
    if isinstance(value, Missing):
        return UNKNOWN.rjust(width)
    return _digits(value / GB, width).rjust(width)


def _digits(number: float, width: int) -> str:
    if number == 0:
        return "0"
    if number < 0.0005:
        return "<.001"
    room = width if 0 < width < 5 else 5
    # Most numbers are formatted once; one that is rounded up to another digit needs a second try.
    if number < 10:
        text, decimals = f"{number:.3f}", 3
    elif number < 100:
        text, decimals = f"{number:.2f}", 2
    else:
        decimals = 1 if number < 1000 else 0
        text = f"{number:.{decimals}f}"
    while len(text) > room and decimals:
        decimals -= 1
        text = f"{number:.{decimals}f}"
    return text


def rate(value: Maybe[float]) -> str:
    """Return bytes/s with a unit: `1.42 TB/s`, `178.2 GB/s`, `3.1 MB/s`."""
    if isinstance(value, Missing):
        return UNKNOWN
    for size, unit in ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")):
        if value >= size * 0.9995:
            return f"{_digits(value / size, 5)} {unit}"
    return f"{value:.0f} B/s"


@frozen
class Unit:
    """The unit of traffic on the screen; reports always use bytes."""

    name: str = "GB/s"
    per_byte: int = 1

    def number(self, value: Maybe[float], width: int = 6) -> str:
        """Return bytes/s as a number in this unit, formatted as by `gb_per_s()`."""
        if isinstance(value, Missing):
            return UNKNOWN.rjust(width)
        return _digits(value * self.per_byte / GB, width).rjust(width)

    def text(self, value: Maybe[float]) -> str:
        """Return bytes/s with this unit, formatted as by `rate()`."""
        if isinstance(value, Missing):
            return UNKNOWN
        return rate(value * self.per_byte).replace("B/s", self.name[1:])


BITS: Final = Unit("Gb/s", 8)
BYTES: Final = Unit()


def percent(value: Maybe[float], width: int = 3) -> str:
    """Return a share (1.0 is 100 %) as an integer percentage; `<1` if it is above 0 but rounds to 0."""
    if isinstance(value, Missing):
        return UNKNOWN.rjust(width)
    number = value * 100
    return ("<1" if 0 < number < 0.5 else f"{number:.0f}").rjust(width)


def gib(value: Maybe[float]) -> str:
    """Return bytes as GiB: `0.5G`, `71.2G`, `412G`, `2.0T`."""
    if isinstance(value, Missing):
        return UNKNOWN
    number = value / GIB
    if number >= 999.5:
        return f"{number / 1024:.1f}T"
    return f"{number:.0f}G" if number >= 99.95 else f"{number:.1f}G"


def memory(used: Maybe[float], total: Maybe[float]) -> str:
    """Return used and total memory: `71.2/80G`."""
    if isinstance(total, Missing):
        return gib(used)
    total_text = f"{total / GIB:.0f}G" if total < 999.5 * GIB else gib(total)
    if isinstance(used, Missing):
        return f"{UNKNOWN}/{total_text}"
    used_text = gib(used)
    same_unit = used_text[-1] == total_text[-1]
    return f"{used_text[:-1] if same_unit else used_text}/{total_text}"


@lru_cache(maxsize=1024)  # most counters do not change from one frame to the next
def count(value: Maybe[float], width: int = 4) -> str:
    """Return a count: `12`, `505`, `1.2k`, `36G`."""
    if isinstance(value, Missing):
        return UNKNOWN.rjust(width)
    number = float(value)
    if number < 1000:
        return f"{number:.0f}".rjust(width)
    for unit in "kMGTPE":
        number /= 1000
        if number < 9.95:
            return f"{number:.1f}{unit}".rjust(width)
        if number < 999.5:
            return f"{number:.0f}{unit}".rjust(width)
    return "lots".rjust(width)


def partial_count(value: Maybe[float], is_part: bool, width: int = 4) -> str:
    """Return a count; `+?` behind it states that a part of it could not be read: `3+?`."""
    return count(value, width) + "+?" * is_part


def small_number(value: Maybe[float]) -> str:
    """Return a number that may be below 1: `0.08`, `1.5`, `42`, `1.2k`."""
    if isinstance(value, Missing):
        return UNKNOWN
    return f"{value:.2g}" if 0 < value < 9.95 else count(value, 0)


def age(seconds: float) -> str:
    """Return a duration: `0.3s`, `42s`, `6m`, `3h`, `2d`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    number, unit = _in_unit(seconds)
    return f"{number:.0f}{unit[0]}"


def duration(seconds: float) -> str:
    """Return a duration in words: `42 s`, `6 min`, `3 hours`, `12 days`."""
    number, unit = _in_unit(seconds)
    return f"{number:.0f} {unit}"


def pending_phrase(wait_s: float) -> str:
    """Return when a condition becomes a finding: `in 12 s if it lasts`; see `Pending.wait_s`."""
    return f"in {duration(wait_s)} if it lasts" if wait_s >= 1 else "with the next readings"


def in_seconds(seconds: float) -> str:
    """Return a step or an averaging window with two significant digits: `0.25 s`, `2 s`, `2.1 s`, `134 s`.

    All texts use it, so that two of them give the same step alike.
    """
    return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"


def _in_unit(seconds: float) -> tuple[float, str]:
    """Return a duration in the unit in which all texts give it, so that two of them do not differ."""
    # Up to two minutes in seconds: 91 s rounded to 2 minutes would be a third too much.
    for limit, size, unit in ((120, 1, "s"), (5400, 60, "min"), (129600, 3600, "hours")):
        if seconds < limit:
            return seconds / size, unit
    return seconds / 86400, "days"


def spark(values: Sequence[float], scale: Maybe[float], levels: str, gap: str) -> str:
    """Return a sparkline of values against a fixed scale: one of `levels` each, `gap` for NaN.

    Any value above 0 is drawn above the lowest level; without a scale, only values of 0 can be drawn.
    """
    top = len(levels) - 1
    full = 0.0 if isinstance(scale, Missing) else scale
    if full <= 0:
        return "".join([levels[0] if value <= 0 else gap for value in values])
    return "".join(
        [
            levels[0]
            if value <= 0
            else gap
            if value != value
            else levels[math.ceil(min(1.0, value / full) * top) or 1]
            for value in values
        ]
    )
