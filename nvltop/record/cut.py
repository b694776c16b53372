"""A part of a recording between two times."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nvltop.frozen import frozen
from nvltop.model import Tick
from nvltop.record.format import RecordingError
from nvltop.record.index import find_segments
from nvltop.record.positions import Position
from nvltop.record.reader import open_recording

LEAD_S: Final = 15.0
"""Time before the part from which items are read, so that there are rates at its beginning, seconds."""


@frozen
class Cut:
    """The times of a part, CLOCK_MONOTONIC of the recording, and where to begin to read."""

    from_s: float
    to_s: float
    offset: int
    """Position in the file of the segment to read from, bytes."""


def find_cut(path: str | Path, begin: Position | None, end: Position | None) -> Cut:
    """Return the part of a recording from `begin` to `end`; raise `RecordingError` if it is empty."""
    segments = find_segments(Path(path))
    first = _tick(path, 0, last=False)
    end_wall_s = None
    if any(position and position.from_end for position in (begin, end)):
        end_wall_s = _tick(path, segments[-1].offset if segments else 0, last=True).wall_s

    def mono_s(position: Position) -> float:
        return first.mono_s + position.wall_s(first.wall_s, end_wall_s) - first.wall_s

    from_s = mono_s(begin) if begin else first.mono_s
    to_s = mono_s(end) if end else float("inf")
    if to_s < from_s:
        raise RecordingError(f"{path}: --to is before --from")
    before = [s for s in segments if s.mono_s <= from_s - LEAD_S]
    return Cut(from_s, to_s, before[-1].offset if before else 0)


def _tick(path: str | Path, offset: int, last: bool) -> Tick:
    """Return the first or the last tick from a segment on."""
    found = None
    with open_recording(path, offset=offset) as recording:
        for item in recording:
            if isinstance(item, Tick):
                found = item
                if not last:
                    break
    if found is None:
        raise RecordingError(f"{path}: the recording ends before its first second")
    return found
