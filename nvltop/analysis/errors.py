"""Error counters over time: lifetime, since we started, over the last minute, last change."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nvltop.model import NOT_READ, ErrorCount, LinkErrors, Maybe, Missing, known
from nvltop.model.error_kinds import INFORMATIVE

WINDOW_S: Final = 60.0
MINUTES: Final = 30
"""One-minute windows remembered."""

FULL: Final = frozenset({65535, (1 << 32) - 1, (1 << 64) - 1})
"""Where counters stop; 65535 was seen on V100."""

NONE_YET: Final = Missing("no error counter read yet")
UNREADABLE: Final = Missing("error counters could not be read")


@dataclass(slots=True)
class CounterTrack:
    """One error counter of one link."""

    total: Maybe[int] = NOT_READ
    since_start: int | None = None
    """None until a second reading, or a first, gave a baseline."""
    changed_s: float | None = None
    """CLOCK_MONOTONIC of the last increase seen."""
    first_s: float = 0.0
    reset_s: float | None = None
    """CLOCK_MONOTONIC at which it was last seen to have gone down."""
    _read_s: float = 0.0
    _steps: deque[tuple[float, int, float]] = field(default_factory=deque)
    """Increases of the last minute: when, by how much, and how fast (1/s)."""
    _minutes: int = 0
    _minute: int = 0
    """Windows with an increase, as a bit mask whose bit 0 is window number `_minute`."""
    _quiet: ErrorCount | None = None
    """What to show while nothing changes, which is nearly always."""

    def update(self, time_s: float, total: Maybe[int]) -> int:
        """Take a count; returns by how much it went up."""
        before, self.total = self.total, total
        read_s, self._read_s = self._read_s, time_s
        if before != total:
            self._quiet = None
        if isinstance(total, Missing):
            return 0
        if self.since_start is None:
            self.since_start, self.first_s = 0, time_s
            return 0
        if isinstance(before, Missing):
            return 0
        if total < before:
            # What happened meanwhile is unknown, and a new baseline is no error.
            self.reset_s = time_s
            return 0
        step = total - before
        if step:
            self.since_start += step
            self.changed_s = time_s
            self._steps.append((time_s, step, step / max(time_s - read_s, 0.1)))
            self._shift(time_s)
            self._minutes |= 1
        return step

    def _shift(self, now_s: float) -> None:
        """Make bit 0 of the mask the window of `now_s`; windows are counted from the first reading."""
        minute = int((now_s - self.first_s) // WINDOW_S)
        if minute > self._minute:
            self._minutes = (self._minutes << (minute - self._minute)) & ((1 << MINUTES) - 1)
            self._minute = minute

    def rebase(self) -> None:
        """Count from now on; the device's own counter is left alone."""
        if self.since_start is not None:
            self.since_start = 0
        self.changed_s = self.reset_s = self._quiet = None
        self._minutes = 0
        self._steps.clear()

    @property
    def quiet(self) -> bool:
        """Whether what there is to show stays the same until the next reading."""
        return self.changed_s is None and self.reset_s is None

    def at(self, now_s: float) -> ErrorCount:
        """Return what to show at `now_s`."""
        if self._quiet:
            return self._quiet
        if isinstance(self.total, Missing):
            return ErrorCount(self.total, self.total, self.total, _age(now_s, self.changed_s))
        self._shift(now_s)
        while self._steps and now_s - self._steps[0][0] > WINDOW_S:
            self._steps.popleft()
        count = ErrorCount(
            total=self.total,
            since_start=self.since_start or 0,
            per_min=float(sum(step for _, step, _ in self._steps)),
            last_change_s=_age(now_s, self.changed_s),
            minutes=self._minutes,
            peak_per_s=max((fast for _, _, fast in self._steps), default=0.0),
            reset_s=_age(now_s, self.reset_s),
        )
        if self.quiet:
            self._quiet = count
        return count


@dataclass(frozen=True, slots=True)
class Counted:
    """What the counters of one GPU come to, for those who look at what stands out."""

    errors: Mapping[int, Mapping[str, ErrorCount]]
    """By link and kind."""
    kinds: frozenset[str]
    read: bool
    """Whether any of them could be read."""
    links: tuple[int, ...]
    """Those with a counter that has moved of late, was set back or stands at its end."""

    @classmethod
    def of(cls, errors: Mapping[int, Mapping[str, ErrorCount]]) -> Counted:
        """Look through all counters."""
        return cls(
            errors,
            frozenset(kind for counts in errors.values() for kind in counts),
            any(known(e.total) for counts in errors.values() for e in counts.values()),
            tuple(link for link, counts in errors.items() if any(map(_stands_out, counts.values()))),
        )


def _stands_out(count: ErrorCount) -> bool:
    return bool(count.minutes) or count.reset_s is not None or count.total in FULL


class ErrorTable:
    """All error counters of one GPU. Most never move, so what is to be shown is kept between frames."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[int, str], CounterTrack] = {}
        self._data: LinkErrors | None = None
        self._counts: dict[int, dict[str, ErrorCount]] | None = None
        self._moving: list[tuple[int, str, CounterTrack]] = []
        """Counters whose ages grow from frame to frame."""
        self._sums: tuple[Maybe[int], Maybe[int]] = (NONE_YET, NONE_YET)

    def update(self, time_s: float, data: LinkErrors) -> None:
        """Take a reading."""
        for kind, counts in data.counts.items():
            for link, count in enumerate(counts):
                track = self._tracks.get((link, kind))
                if track is None:
                    track = self._tracks[link, kind] = CounterTrack()
                track.update(time_s, count)
        if data != self._data:
            self._data, self._counts = data, None

    def rebase(self) -> None:
        """Count from now on."""
        for track in self._tracks.values():
            track.rebase()
        self._counts = None

    def at(self, now_s: float) -> Mapping[int, Mapping[str, ErrorCount]]:
        """Return what to show at `now_s`, by link and kind."""
        if self._counts is None:
            self._counts = {}
            for (link, kind), track in self._tracks.items():
                self._counts.setdefault(link, {})[kind] = track.at(now_s)
            self._moving = [(*key, track) for key, track in self._tracks.items() if not track.quiet]
            self._sums = self._add_up()
        if self._moving:
            # Frames of before keep what they were given.
            self._counts = dict(self._counts)
        for link, kind, track in self._moving:
            self._counts[link] = {**self._counts[link], kind: track.at(now_s)}
        return self._counts

    @property
    def sums(self) -> tuple[Maybe[int], Maybe[int]]:
        """Lifetime and since the start, of the kinds that mean trouble, as of the last `at`."""
        return self._sums

    def _add_up(self) -> tuple[Maybe[int], Maybe[int]]:
        counted = [
            (t.total, t.since_start) for (_, kind), t in self._tracks.items() if kind not in INFORMATIVE
        ]
        if not counted:
            return NONE_YET, NONE_YET
        totals = [total for total, _ in counted if known(total)]
        if not totals:
            return UNREADABLE, UNREADABLE
        return sum(totals), sum(since or 0 for total, since in counted if known(total))


def _age(now_s: float, then_s: float | None) -> float | None:
    return None if then_s is None else max(0.0, now_s - then_s)
