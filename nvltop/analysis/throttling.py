"""Share of the last seconds in which the driver throttled the clocks, by reason."""

from __future__ import annotations

from collections import deque
from dataclasses import field
from typing import Final

from nvltop.frozen import mutable
from nvltop.model import NOT_READ, Gauges, Maybe, Missing, Throttling, known

WINDOW_S: Final = 10.0
"""Length in seconds of the window of the shares; shorter until there are enough readings."""
_MAX_READINGS: Final = 64
"""Number of cached readings; gauges are read once a second."""
_MAX_EXCESS: Final = 0.05
"""Amount by which a share may exceed 1, because the times are not read at the same instant."""
_WAS_RESET: Final = Missing("the driver's count was reset")
_IMPLAUSIBLE: Final = Missing("implausible value")

NOT_THROTTLED: Final = (0.0,) * 4
"""Shares of the four reasons if none of the counts has risen."""

Times = tuple[Maybe[float], ...]


@mutable
class ThrottleTimes:
    """The throttle times of one GPU over the last seconds."""

    _readings: deque[tuple[float, Times]] = field(default_factory=lambda: deque(maxlen=_MAX_READINGS))

    def add(self, end_s: float, gauges: Gauges) -> None:
        """Add the times of a reading that ended at `end_s` (CLOCK_MONOTONIC)."""
        times = (gauges.power_cap_s, gauges.sw_thermal_s, gauges.hw_thermal_s, gauges.power_brake_s)
        if self._readings and end_s <= self._readings[-1][0]:
            return
        last = self._readings[-1][1] if self._readings else times
        # A value that has become readable gets its first share after the next reading.
        if times != last and list(map(known, times)) != list(map(known, last)):
            self._readings.clear()
        self._readings.append((end_s, times))
        while len(self._readings) > 2 and end_s - self._readings[1][0] >= WINDOW_S:
            self._readings.popleft()

    @property
    def shares(self) -> Throttling:
        """Return the shares between the oldest and the newest reading."""
        if len(self._readings) < 2:
            times = self._readings[-1][1] if self._readings else ()
            unread = [t if isinstance(t, Missing) else NOT_READ for t in times]
            return Throttling(NOT_READ, *unread)
        (start_s, before), (end_s, now) = self._readings[0], self._readings[-1]
        over_s = end_s - start_s
        if now == before and Missing not in map(type, now):
            return Throttling(round(over_s, 3), *NOT_THROTTLED)  # as in nearly all cases
        shares = [_share(a, b, over_s) for a, b in zip(before, now, strict=True)]
        return Throttling(round(over_s, 3), *shares)


def _share(before: Maybe[float], now: Maybe[float], over_s: float) -> Maybe[float]:
    if isinstance(now, Missing):
        return now
    assert known(before)
    share = (now - before) / over_s
    if share < 0:
        return _WAS_RESET
    return round(min(share, 1.0), 3) if share <= 1 + _MAX_EXCESS else _IMPLAUSIBLE
