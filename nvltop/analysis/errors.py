"""The error counters of one GPU: their counts, sums and summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from nvltop.analysis.counter_track import CounterTrack
from nvltop.frozen import frozen
from nvltop.model import NOT_SUPPORTED, ErrorCount, Maybe, Missing, known
from nvltop.model.error_kinds import INFORMATIVE
from nvltop.model.missing import UNSUPPORTED

SATURATED: Final = frozenset({65535, (1 << 32) - 1, (1 << 64) - 1})
"""Values at which a counter stops counting; 65535 was observed on V100."""

NO_COUNTER_READ: Final = Missing("no error counter read yet")
COUNTERS_UNREADABLE: Final = Missing("error counters could not be read")


def has_risen(kind: str, error: ErrorCount) -> bool:
    """Return whether a counter has counted errors since the start; informative kinds do not count errors."""
    return known(error.since_start) and error.since_start > 0 and kind not in INFORMATIVE


@frozen
class ErrorSummary:
    """Summary of the error counters of one GPU, for rules about counters that stand out."""

    errors: Mapping[int, Mapping[str, ErrorCount]]
    """Counts by link and kind."""
    kinds: frozenset[str]
    read: bool
    """Whether any counter could be read."""
    links: tuple[int, ...]
    """Links with a counter that increased recently, was reset or is saturated."""

    @classmethod
    def of(cls, errors: Mapping[int, Mapping[str, ErrorCount]]) -> ErrorSummary:
        """Return the summary of all counters."""
        return cls(
            errors,
            frozenset(kind for counts in errors.values() for kind in counts),
            any(known(e.total) for counts in errors.values() for e in counts.values()),
            tuple(link for link, counts in errors.items() if any(map(_stands_out, counts.values()))),
        )


def _stands_out(count: ErrorCount) -> bool:
    return bool(count.minutes) or count.reset_s is not None or count.total in SATURATED


class ErrorSums(NamedTuple):
    """Sums of the error counters of one GPU, without informative kinds."""

    total: Maybe[int]
    """Lifetime count of the counters that could be read."""
    since_start: Maybe[int]
    unread_part: Missing | None = None
    """Why a counter could not be read; None if all were read, or none."""


class ErrorTable:
    """All error counters of one GPU; most never change, so their counts are cached between frames."""

    def __init__(self) -> None:
        self._tracks: dict[str, list[CounterTrack]] = {}
        """By kind, then by link. Counters of a kind whose counts have always been equal are one object: on a
        node with 8 x 36 links, 2880 counters that stay 0 are 80 tracks."""
        self._last: Mapping[str, Sequence[Maybe[int]]] = {}
        """The last reading, by kind; empty if the next one must be compared counter by counter."""
        self._read_s: dict[str, float] = {}
        """CLOCK_MONOTONIC of the last reading of each kind."""
        self._counts: dict[int, dict[str, ErrorCount]] = {}
        self._due: dict[tuple[int, str], CounterTrack] = {}
        """Counters whose counts differ at the next frame: they were read, or contain ages."""
        self._is_read = False
        """Whether a reading has arrived; it has no kinds if the driver supports no error counter."""
        self._sums: ErrorSums | None = None
        self._down: AbstractSet[int] = frozenset()
        """Links that were down at the last sum."""

    def update(self, time_s: float, counts_by_kind: Mapping[str, Sequence[Maybe[int]]]) -> None:
        """Add a reading: the counts of all links, by kind."""
        if not self._is_read:
            self._is_read, self._sums = True, None
        before, self._last = self._last, counts_by_kind
        if counts_by_kind is before:
            self._read_s |= dict.fromkeys(counts_by_kind, time_s)
            return
        for kind, counts in counts_by_kind.items():
            read_s, self._read_s[kind] = self._read_s.get(kind, 0.0), time_s
            if counts == before.get(kind):
                continue
            self._sums = None
            tracks = self._tracks[kind] = _separated(self._tracks.get(kind, ()), counts)
            for track, count in {id(t): (t, c) for t, c in zip(tracks, counts, strict=False)}.values():
                track.update(time_s, count, read_s)
            for link in range(len(counts)):
                self._due[link, kind] = tracks[link]

    def fail(self, time_s: float, why: Missing) -> None:
        """Note that no counter could be read at `time_s`: earlier counts are not those of now."""
        self.update(time_s, {kind: (why,) * len(tracks) for kind, tracks in self._tracks.items()})

    def restart(self, initialised_s: float) -> None:
        """Note that the driver initialised the GPU again at a time (CLOCK_MONOTONIC)."""
        for kind, tracks in self._tracks.items():
            for track in {id(track): track for track in tracks}.values():
                track.restart(initialised_s, self._read_s[kind])
        self._last, self._due, self._sums = {}, dict(self._by_link()), None

    def _by_link(self) -> Iterator[tuple[tuple[int, str], CounterTrack]]:
        """Yield link, kind and track of each counter."""
        for kind, tracks in self._tracks.items():
            for link, track in enumerate(tracks):
                yield (link, kind), track

    def at(self, now_s: float) -> Mapping[int, Mapping[str, ErrorCount]]:
        """Return the counts at `now_s`, by link and kind."""
        if self._due:
            # Earlier frames keep their counts.
            changed: dict[int, dict[str, ErrorCount]] = {}
            for (link, kind), track in self._due.items():
                if link not in changed:
                    changed[link] = dict(self._counts.get(link, ()))
                changed[link][kind] = track.at(now_s)
            # Links with the same counts share them.
            shared: dict[tuple[object, ...], dict[str, ErrorCount]] = {}
            for link, counts in changed.items():
                changed[link] = shared.setdefault((*counts, *map(id, counts.values())), counts)
            self._counts = {**self._counts, **changed}
            self._due = {key: track for key, track in self._due.items() if not track.steady}
        return self._counts

    def sums(self, down: AbstractSet[int]) -> ErrorSums:
        """Return the sums of the errors of all links, without informative kinds.

        `down` are the links that are down: a counter of theirs that was never read is not a part of the sums.
        """
        if self._sums is None or down != self._down:
            self._sums, self._down = self._add_up(down), down
        return self._sums

    def _add_up(self, down: AbstractSet[int]) -> ErrorSums:
        counted = [
            (link, t)
            for kind, tracks in self._tracks.items()
            if kind not in INFORMATIVE
            for link, t in enumerate(tracks)
        ]
        if not counted:
            why = NOT_SUPPORTED if self._is_read else NO_COUNTER_READ
            return ErrorSums(why, why)
        unread = [
            t.total
            for link, t in counted
            if isinstance(t.total, Missing)
            and (t.was_read or (t.total not in UNSUPPORTED and link not in down))
        ]
        read = [(t.total, t.since_start or 0) for _, t in counted if known(t.total)]
        if not read:
            why = _common_reason(unread or [t.total for _, t in counted if isinstance(t.total, Missing)])
            return ErrorSums(why, why)
        part = _common_reason(unread) if unread else None
        return ErrorSums(sum(total for total, _ in read), sum(since for _, since in read), part)


def _common_reason(reasons: Sequence[Missing]) -> Missing:
    return reasons[0] if len(set(reasons)) == 1 else COUNTERS_UNREADABLE


def _separated(tracks: Sequence[CounterTrack], counts: Sequence[Maybe[int]]) -> list[CounterTrack]:
    """Return the tracks of a kind by link, with copies where links share a track and their counts now differ.

    Links that have no track yet share one if their counts are equal; those without a count keep theirs.
    """
    unread = tracks[len(counts) :]
    in_use = set(map(id, unread))
    found: dict[tuple[int, Maybe[int]], CounterTrack] = {}
    separated = []
    for link, count in enumerate(counts):
        before = tracks[link] if link < len(tracks) else None
        key = id(before), count
        track = found.get(key)
        if track is None:
            track = CounterTrack() if before is None else before.copy() if id(before) in in_use else before
            found[key] = track
            in_use.add(id(before))
        separated.append(track)
    return [*separated, *unread]
