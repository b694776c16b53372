"""The timeline of a recording: where the replay is, and where something happened."""

from __future__ import annotations

from dataclasses import dataclass

from nvltop.tui.render.row import TextRun

MIN_BAR_WIDTH = 10


@dataclass(frozen=True, slots=True)
class ReplayState:
    """Where a replay stands; times in seconds from the recording's begin."""

    position_s: float
    length_s: float
    speed: float
    paused: bool
    marks: tuple[float, ...] = ()
    message: str = ""
    """What the mark that was jumped to is about, or how far a long jump is."""


def timeline(playing: ReplayState, width: int) -> list[TextRun]:
    """Draw state, time, and a bar with a mark wherever something happened, in `width` columns at most."""
    state = "PAUSED" if playing.paused else f"x{playing.speed:g}"
    words = f" {state} {_clock(playing.position_s)}/{_clock(playing.length_s)} "
    spans: list[TextRun] = [(" REPLAY ", "paused"), (words, "bold")]
    left = width - len(" REPLAY ") - len(words) - 2
    if playing.message and left > len(playing.message) + MIN_BAR_WIDTH:
        left -= len(playing.message) + 1
    if left < MIN_BAR_WIDTH:
        return spans
    length_s = max(playing.length_s, 1e-9)
    here = min(left - 1, int(playing.position_s / length_s * left))
    cells = [("=" if i < here else "-", "tx" if i < here else "shadow") for i in range(left)]
    for mark_s in playing.marks:
        cells[min(left - 1, int(mark_s / length_s * left))] = ("!", "warn")
    cells[here] = ("|", "bold")
    spans += [("[", "bracket"), *cells, ("]", "bracket")]
    if playing.message:
        spans.append((" " + playing.message, "warn"))
    return spans


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
