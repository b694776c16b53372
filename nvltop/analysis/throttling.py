"""In which share of the last seconds the driver throttled the clocks, and for what. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from nvltop.model import NOT_READ, Gauges, Maybe, Missing, Throttling, known

OVER_S: Final = 10.0
"""Seconds that the shares are over, once the readings go back as far."""
_MOST: Final = 64
"""Readings kept; gauges are read once a second."""
_ROUNDING: Final = 0.05
"""By how much a share may exceed 1, as the times are not read at the same instant."""
_WAS_RESET: Final = Missing("the driver's count was reset")
_IMPLAUSIBLE: Final = Missing("implausible value")

Times = tuple[Maybe[float], ...]


@dataclass(slots=True)
class ThrottleTimes:
    """The throttle times of one GPU over the last seconds."""

    _kept: deque[tuple[float, Times]] = field(default_factory=lambda: deque(maxlen=_MOST))

    def add(self, end_s: float, gauges: Gauges) -> None:
        """Take the times of a reading that ended at `end_s` (CLOCK_MONOTONIC)."""
        times = (gauges.power_cap_s, gauges.sw_thermal_s, gauges.hw_thermal_s, gauges.power_brake_s)
        if self._kept and end_s <= self._kept[-1][0]:
            return
        if self._kept and list(map(known, times)) != list(map(known, self._kept[-1][1])):
            # What can be read now and could not before has its first share after the next reading.
            self._kept.clear()
        self._kept.append((end_s, times))
        while len(self._kept) > 2 and end_s - self._kept[1][0] >= OVER_S:
            self._kept.popleft()

    @property
    def shares(self) -> Throttling:
        """Return the shares between the oldest and the newest reading."""
        if len(self._kept) < 2:
            times = self._kept[-1][1] if self._kept else ()
            unread = [t if isinstance(t, Missing) else NOT_READ for t in times]
            return Throttling(NOT_READ, *unread)
        (start_s, before), (end_s, now) = self._kept[0], self._kept[-1]
        over_s = end_s - start_s
        shares = [_share(a, b, over_s) for a, b in zip(before, now, strict=True)]
        return Throttling(round(over_s, 3), *shares)


def _share(before: Maybe[float], now: Maybe[float], over_s: float) -> Maybe[float]:
    if isinstance(now, Missing):
        return now
    assert known(before)
    share = (now - before) / over_s
    if share < 0:
        return _WAS_RESET
    return round(min(share, 1.0), 3) if share <= 1 + _ROUNDING else _IMPLAUSIBLE
