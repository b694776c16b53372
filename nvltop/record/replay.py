"""Plays a recording as if it were live: a source of items with a clock that can be stopped and moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from nvltop.model import Item, RecordedSource, Tick, time_of
from nvltop.record.chunks import Progress
from nvltop.record.format import Mark, RecordingError
from nvltop.record.reader import RecordingReader, open_recording
from nvltop.record.timeline import Timeline, open_timeline

MIN_SPEED: Final = 0.25
MAX_SPEED: Final = 64.0
LEAD_S: Final = 15.0
"""Time before the target of a jump from which items are read, so that there are rates, seconds."""
SKIP_S: Final = 300.0
"""Distance of a jump forwards above which the items between are not read, seconds."""
BATCH: Final = 200
"""Items given at a time, so that a long jump does not stop the screen."""


class ReplaySource(RecordedSource):
    """The items of a recording, when their time has come.

    Times are those of the recording. After a jump back or far forward the items begin at another place:
    `generation` has grown then, and everything derived from earlier items must be dropped.
    """

    def __init__(
        self,
        path: str | Path,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find the length and marks of the file, with `progress`; raise `RecordingError` if it is not one."""
        self.path = Path(path)
        self.timeline: Timeline = open_timeline(path, progress)
        self._paused = False
        self.generation = 0
        self.error: RecordingError | None = None
        """Why the rest of the file could not be read, if it changed after it was opened."""
        self._clock = clock
        self._clock_s = clock()
        self._speed = 1.0
        self._position_s = self.timeline.start_s
        self._stepping = False
        self._begin()

    def _begin(self, at_s: float | None = None) -> None:
        """Read from the beginning, or from the segment that is `LEAD_S` before a time."""
        segment = None if at_s is None else self.timeline.segment_before(at_s - LEAD_S)
        self._recording: RecordingReader | None = None
        self._items: Iterator[Item] = iter(())
        try:
            self._recording = open_recording(self.path, offset=segment.offset if segment else 0)
            self._items = iter(self._recording)
        except RecordingError as error:
            self.error = error
        self._reached_s = segment.mono_s if segment else self.timeline.start_s
        self._tick: Tick | None = None
        self._next = self._read()

    def fileno(self) -> int:
        """Return -1: only the clock says when items are due."""
        return -1

    def set_interval(self, interval_s: float) -> None:
        """Do nothing: what was read was read."""

    def close(self) -> None:
        """Close the file."""
        if self._recording:
            self._recording.close()

    def drain(self) -> list[Item]:
        """Return the items that have become due, at most `BATCH`; see `behind`."""
        self._advance()
        items: list[Item] = []
        while self._next is not None and len(items) < BATCH and (self._stepping or self.behind):
            item = self._next
            items.append(item)
            self._reached_s = max(self._reached_s, time_of(item))
            self._next = self._read()
            if isinstance(item, Tick):
                self._tick = item
                if self._stepping:
                    self._stepping = False
                    self._position_s = self._reached_s
        if self._next is None:
            self._stepping = False
        return items

    def tick(self) -> Tick:
        """Return the recording's clock, and the state of the worker as it was then."""
        now_s = self._reached_s if self.behind else max(self._position_s, self._reached_s)
        if self._tick is None:
            wall_s = self.timeline.start_wall_s + now_s - self.timeline.start_s
            return Tick(now_s, wall_s, 1.0, "replay")
        if now_s <= self._tick.mono_s:
            return self._tick
        return replace(self._tick, mono_s=now_s, wall_s=self._tick.wall_s + now_s - self._tick.mono_s)

    @property
    def position_s(self) -> float:
        """Where the replay is, in seconds of the recording's CLOCK_MONOTONIC."""
        self._advance()
        return self._position_s

    @property
    def behind(self) -> bool:
        """Whether more items are due; draining again brings them."""
        return self._next is not None and max(self._reached_s, time_of(self._next)) <= self._position_s

    @property
    def reached_s(self) -> float:
        """How far the items given so far go; `position_s` is farther while it is `behind`."""
        return self._reached_s

    @property
    def ended(self) -> bool:
        """Whether all items have been given."""
        return self._next is None

    @property
    def speed(self) -> float:
        """Recorded seconds per second, 0.25 to 64."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._advance()
        self._speed = min(max(speed, MIN_SPEED), MAX_SPEED)

    @property
    def paused(self) -> bool:
        """Whether the clock stands."""
        return self._paused

    def pause(self, paused: bool = True) -> None:
        """Stop the clock, or let it run again."""
        self._advance()
        self._paused = paused

    def step(self) -> None:
        """Pause, and go on to the next picture."""
        self.pause()
        self._stepping = True

    def jump(self, to_s: float) -> None:
        """Go to a time of the recording's CLOCK_MONOTONIC."""
        self._advance()
        self._position_s = min(max(to_s, self.timeline.start_s), self.timeline.end_s)
        self._stepping = False
        segment = self.timeline.segment_before(self._position_s - LEAD_S)
        is_far = segment is not None and segment.mono_s > self._reached_s + SKIP_S
        if self._position_s < self._reached_s or is_far:
            self.close()
            self.generation += 1
            self._begin(self._position_s)

    def jump_to_mark(self, forward: bool = True) -> Mark | None:
        """Go to the next mark, or the one before, and return it; None if there is none."""
        now_s = self.position_s
        marks = self.timeline.marks
        found = (
            next((m for m in marks if m.mono_s > now_s), None)
            if forward
            else next((m for m in reversed(marks) if m.mono_s < now_s), None)
        )
        if found:
            self.jump(found.mono_s)
        return found

    def _advance(self) -> None:
        now_s = self._clock()
        if not self._paused:
            moved = (now_s - self._clock_s) * self._speed
            self._position_s = min(self._position_s + moved, self.timeline.end_s)
        self._clock_s = now_s

    def _read(self) -> Item | None:
        try:
            return next(self._items, None)
        except RecordingError as error:
            self.error = error
            return None
