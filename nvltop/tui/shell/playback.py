"""The keys of a replay, and its state for the screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from nvltop.model import Finding
from nvltop.record.marks import FindingMarker
from nvltop.record.replay import ReplaySource
from nvltop.text import clean
from nvltop.tui.render.replay_bar import ReplayState

GO_TO_EXAMPLES: Final = "1:30 from the beginning, or a time of day such as 14:02:11"
JUMP_S: Final = 10.0
"""Distance that the arrow keys jump, seconds."""
SPEED_FACTOR: Final = 2.0
PROGRESS_FROM_S: Final = 60.0
"""Distance of a jump, in seconds, from which its progress is shown."""


class Playback:
    """A replay that the user controls."""

    def __init__(self, replay: ReplaySource) -> None:
        self._replay = replay
        self._generation = replay.generation
        self._marker = FindingMarker()
        self._message = ""

    @property
    def speed(self) -> float:
        """Recorded seconds per second."""
        return self._replay.speed

    def add_marks(self, findings: Sequence[Finding], mono_s: float) -> None:
        """Mark new findings on the timeline, at the position of the replay."""
        for mark in self._marker.marks(findings, mono_s):
            # The timeline already has the findings of its first part.
            if mono_s - self._replay.timeline.start_s > self._replay.timeline.rules_s:
                self._replay.timeline.add(mark)

    def rewound(self) -> bool:
        """Whether the replay has restarted from the beginning since the last call."""
        before, self._generation = self._generation, self._replay.generation
        return before != self._generation

    def run_command(self, what: str) -> None:
        """Run the command of a key."""
        replay = self._replay
        self._message = ""
        if what == "pause":
            replay.pause(not replay.paused)
        elif what == "step":
            replay.step()
        elif what == "faster":
            replay.speed *= SPEED_FACTOR
        elif what == "slower":
            replay.speed /= SPEED_FACTOR
        elif what in ("back", "forward"):
            replay.jump(replay.position_s + (JUMP_S if what == "forward" else -JUMP_S))
        else:
            mark = replay.jump_to_mark(forward=what == "next")
            self._message = (
                clean(mark.text) if mark else f"no {'later' if what == 'next' else 'earlier'} event"
            )

    def go_to(self, text: str) -> None:
        """Jump to `M:SS` or seconds from the beginning, or to a time of day `H:MM:SS`."""
        line = self._replay.timeline
        try:
            parts = [int(part) for part in text.strip().split(":")]
            if len(parts) == 3:
                hours, minutes, seconds = parts
                begin = datetime.fromtimestamp(line.start_wall_s)
                moment = begin.replace(hour=hours, minute=minutes, second=seconds, microsecond=0)
                if moment < begin.replace(microsecond=0):
                    moment += timedelta(days=1)  # a recording that goes past midnight
                to_s = line.at_wall(moment.timestamp())
            else:
                minutes, seconds = parts if len(parts) == 2 else (0, *parts)
                if min(parts) < 0 or (len(parts) == 2 and seconds > 59):
                    raise ValueError(text)
                to_s = line.start_s + 60 * minutes + seconds
        except (ValueError, TypeError, OverflowError):
            self._message = "not a time (use 1:30 or 14:02:11)"
            return
        length_s = int(line.end_s - line.start_s)
        after = to_s >= line.end_s + 1
        self._message = f"it ends at {length_s // 60}:{length_s % 60:02}" if after else ""
        self._replay.jump(to_s)

    def jump(self, position_s: float) -> None:
        """Jump to a position, in seconds from the start of the recording."""
        self._message = ""
        self._replay.jump(self._replay.timeline.start_s + position_s)

    def state(self) -> ReplayState:
        """Return the position and the state of the replay."""
        line = self._replay.timeline
        return ReplayState(
            position_s=self._replay.position_s - line.start_s,
            length_s=line.end_s - line.start_s,
            speed=self._replay.speed,
            paused=self._replay.paused,
            marks=tuple(max(0.0, mark.mono_s - line.start_s) for mark in line.marks),
            message=self._behind() or self._message,
        )

    def _behind(self) -> str:
        """Return the progress of a long jump; empty if there is none."""
        replay, start_s = self._replay, self._replay.timeline.start_s
        if not replay.behind or replay.position_s - replay.reached_s < PROGRESS_FROM_S:
            return ""
        return f"reading, {100 * (replay.reached_s - start_s) / (replay.position_s - start_s):.0f} %"
