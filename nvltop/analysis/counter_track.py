"""One error counter over time: lifetime, since the start of nvltop, over the last minute, last change."""

from __future__ import annotations

import math
from collections import deque
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Final

from nvltop.frozen import mutable
from nvltop.model import NOT_READ, ErrorCount, Maybe, Missing

ERROR_WINDOW_S: Final = 60.0
"""Length of the window of `ErrorCount.per_min`, seconds."""
HISTORY_MINUTES: Final = 30
"""Number of one-minute windows in the history."""
MAX_DATED_S: Final = 600.0
"""Seconds without a count after which an increase is not attributed to a minute (our own choice)."""
HOUR_S: Final = 3600.0
HOUR_STEP_S: Final = 60.0
"""Increases of the last hour that are less than this apart, in seconds, are counted as one."""
UNREAD_MINUTE: Final = Missing("not read for more than a minute before this count")


class Increases:
    """The increases of one counter during the last minute and the last hour."""

    __slots__ = ("_fastest", "_hour", "_minute", "_undated_s", "hour_sum", "minute_sum")

    def __init__(self) -> None:
        self._minute: deque[tuple[float, int]] = deque()
        """Time and amount of each increase."""
        self.minute_sum = 0
        self._fastest: deque[tuple[float, float]] = deque()
        """Time and rate in 1/s of the increases of the last minute that no later one equals or exceeds."""
        self._hour: deque[tuple[float, int]] = deque()
        """Time of the first increase of each minute, and their sum."""
        self.hour_sum = 0
        self._undated_s = -math.inf
        """Time of the last increase that may be more than a minute older."""

    def add(self, time_s: float, step: int, over_s: float) -> None:
        """Add an increase by `step`, which happened in the `over_s` seconds up to `time_s`."""
        if over_s > ERROR_WINDOW_S:
            self._undated_s = time_s
        else:
            per_s = step / max(over_s, 0.1)
            self._minute.append((time_s, step))
            self.minute_sum += step
            while self._fastest and self._fastest[-1][1] <= per_s:
                self._fastest.pop()
            self._fastest.append((time_s, per_s))
        self.hour_sum += step
        if self._hour and time_s - self._hour[-1][0] < HOUR_STEP_S:
            time_s, before = self._hour.pop()
            step += before
        self._hour.append((time_s, step))

    def drop_old(self, now_s: float) -> None:
        """Drop the increases that are more than a minute, or an hour, old."""
        while self._minute and now_s - self._minute[0][0] > ERROR_WINDOW_S:
            self.minute_sum -= self._minute.popleft()[1]
        while self._fastest and now_s - self._fastest[0][0] > ERROR_WINDOW_S:
            self._fastest.popleft()
        while self._hour and now_s - self._hour[0][0] > HOUR_S:
            self.hour_sum -= self._hour.popleft()[1]

    def per_min(self, now_s: float) -> Maybe[float]:
        """Return the increases of the last minute."""
        return UNREAD_MINUTE if now_s - self._undated_s <= ERROR_WINDOW_S else float(self.minute_sum)

    @property
    def peak_per_s(self) -> float:
        """Highest rate of the last minute."""
        return self._fastest[0][1] if self._fastest else 0.0


NO_INCREASES: Final = Increases()


@mutable
class CounterTrack:
    """One error counter of one link."""

    total: Maybe[int] = NOT_READ
    since_start: int | None = None
    """Increases since the first reading; None before it."""
    changed_s: float | None = None
    """CLOCK_MONOTONIC of the last increase."""
    first_s: float = 0.0
    reset_s: float | None = None
    """CLOCK_MONOTONIC of the last reset: the counter decreased, or the driver initialised the GPU again."""
    _restarted: bool = False
    """Whether the last count was read before the driver initialised the GPU again."""
    _read_s: float = 0.0
    _last_known: tuple[int, float] | None = None
    """The last count before one that could not be read, and the time of its last reading."""
    _increases: Increases | None = None
    """Increases of the last hour; None before the first, as for nearly all counters."""
    _minutes: int = 0
    _minute: int = 0
    """Windows with an increase: a bit mask whose bit 0 is window number `_minute`."""
    _cached: ErrorCount | None = None
    """Cached count while nothing changes, which is nearly always."""

    def update(self, time_s: float, total: Maybe[int], read_s: float = 0.0) -> int:
        """Add a count; return its increase.

        A caller may leave out counts that equal the one before; `read_s` is then the time of the last one.
        """
        before, self.total = self.total, total
        read_s, self._read_s = max(read_s, self._read_s), time_s
        if before != total:
            self._cached = None
        if isinstance(total, Missing):
            if not isinstance(before, Missing):
                self._last_known = before, read_s
            return 0
        restarted, self._restarted = self._restarted, False
        if self.since_start is None:
            self.since_start, self.first_s = 0, time_s
            return 0
        if isinstance(before, Missing):
            assert self._last_known is not None
            before, read_s = self._last_known
        if total < before:
            # Any increase since then is unknown, and a new baseline is not an error.
            self.reset_s = time_s if not restarted or self.reset_s is None else self.reset_s
            return 0
        if restarted:
            return 0
        step = total - before
        if step:
            self.since_start += step
            self.changed_s = time_s
            self._increases = self._increases or Increases()
            self._increases.add(time_s, step, time_s - read_s)
            self._shift(time_s)
            if time_s - read_s <= MAX_DATED_S:
                self._minutes |= 1
        return step

    def restart(self, initialised_s: float, read_s: float = 0.0) -> None:
        """Note that the driver initialised the GPU again at a time (CLOCK_MONOTONIC): the counter was reset.

        The next count is not compared with one from before that time. For `read_s`, see `update`.
        """
        if self.since_start is None or (self.reset_s is not None and self.reset_s >= initialised_s):
            return
        read_s = max(read_s, self._read_s)
        if isinstance(self.total, Missing) and self._last_known:
            read_s = self._last_known[1]
        self._restarted = read_s <= initialised_s
        self.reset_s, self._cached = initialised_s, None

    def _shift(self, now_s: float) -> None:
        """Shift the mask so that bit 0 is the window of `now_s`; windows count from the first reading."""
        minute = int((now_s - self.first_s) // ERROR_WINDOW_S)
        if minute > self._minute:
            self._minutes = (self._minutes << (minute - self._minute)) & ((1 << HISTORY_MINUTES) - 1)
            self._minute = minute

    def copy(self) -> CounterTrack:
        """Return a track with the same history, to which other counts can be added."""
        return replace(self, _increases=deepcopy(self._increases))

    @property
    def was_read(self) -> bool:
        """Whether the counter could be read before or can be now."""
        return self.since_start is not None

    @property
    def steady(self) -> bool:
        """Whether the displayed count stays constant until the next reading."""
        if self.changed_s is not None or self.reset_s is not None:
            return False
        return self._last_known is None or not self._old_count

    @property
    def _old_count(self) -> int:
        """The last count of a counter that cannot be read now; 0 without one."""
        return self._last_known[0] if self._last_known and isinstance(self.total, Missing) else 0

    def at(self, now_s: float) -> ErrorCount:
        """Return the count at `now_s`."""
        if self._cached:
            return self._cached
        if isinstance(self.total, Missing):
            old = self._last_known if self._old_count else None
            last_known = (old[0], max(0.0, now_s - old[1])) if old else None
            changed = _age(now_s, self.changed_s)
            why = self.total
            return ErrorCount(why, why, why, changed, last_hour=why, last_known=last_known)
        if self.changed_s is None and self.reset_s is None:
            self._cached = _unchanged(self.total)
            return self._cached
        self._shift(now_s)
        recent = self._increases or NO_INCREASES
        recent.drop_old(now_s)
        return ErrorCount(
            total=self.total,
            since_start=self.since_start or 0,
            per_min=recent.per_min(now_s),
            last_change_s=_age(now_s, self.changed_s),
            minutes=self._minutes,
            window_s=min(ERROR_WINDOW_S, now_s - self.first_s),
            peak_per_s=recent.peak_per_s,
            reset_s=_age(now_s, self.reset_s),
            last_hour=recent.hour_sum,
        )


# Nearly all counters stay 0. A node with 8 x 36 links has 2880 of them, and an `ErrorCount` takes 150 bytes.
@lru_cache(maxsize=256)
def _unchanged(total: int) -> ErrorCount:
    """Return the count of a counter that neither increased nor was reset since nvltop started."""
    return ErrorCount(total, since_start=0, per_min=0.0, last_change_s=None)


def _age(now_s: float, then_s: float | None) -> float | None:
    return None if then_s is None else max(0.0, now_s - then_s)
