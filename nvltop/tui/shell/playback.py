"""The keys of a replay, and what the screen is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from nvltop.model import Finding
from nvltop.record.marks import FindingMarker
from nvltop.record.replay import ReplaySource
from nvltop.record.timeline import RULES_S
from nvltop.text import clean
from nvltop.tui.render.replay_bar import ReplayState

JUMP_S: Final = 10.0
"""What the arrow keys jump."""
SPEED_FACTOR: Final = 2.0
PROGRESS_FROM_S: Final = 60.0
"""What is less behind where it was to jump is there in a moment."""


class Playback:
    """A replay under the user's hands."""

    def __init__(self, replay: ReplaySource) -> None:
        self._replay = replay
        self._generation = replay.generation
        self._marker = FindingMarker()
        self._message = ""

    def add_marks(self, findings: Sequence[Finding], mono_s: float) -> None:
        """Mark what the rules have begun to say where the replay has come to."""
        for mark in self._marker.marks(findings, mono_s):
            # Where the rules have looked already, the second time adds nothing.
            if mono_s - self._replay.timeline.start_s > RULES_S:
                self._replay.timeline.add(mark)

    def rewound(self) -> bool:
        """Whether items come from the beginning again, so that what was made of them must be dropped."""
        before, self._generation = self._generation, self._replay.generation
        return before != self._generation

    def run_command(self, what: str) -> None:
        """Obey a key."""
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
                to_s = line.start_s + 60 * minutes + seconds
        except (ValueError, TypeError, OverflowError):
            self._message = "not a time (use 1:30 or 14:02:11)"
            return
        self._message = ""
        self._replay.jump(to_s)

    def state(self) -> ReplayState:
        """Return where the replay stands."""
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
        """Say how much of a long jump is done."""
        replay, start_s = self._replay, self._replay.timeline.start_s
        if not replay.behind or replay.position_s - replay.reached_s < PROGRESS_FROM_S:
            return ""
        return f"reading, {100 * (replay.reached_s - start_s) / (replay.position_s - start_s):.0f} %"
