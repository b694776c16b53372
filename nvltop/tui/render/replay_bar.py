"""The timeline of a recording: the position of the replay, and marks of events."""

from __future__ import annotations

from nvltop.frozen import frozen
from nvltop.tui.render.row import TextRun

MIN_BAR_WIDTH = 10
"""Columns below which the bar is left out."""


@frozen
class ReplayState:
    """The position and state of a replay; times in seconds since the start of the recording."""

    position_s: float
    length_s: float
    speed: float
    paused: bool
    marks: tuple[float, ...] = ()
    message: str = ""
    """Description of the mark that the replay jumped to, or progress of a long jump."""


def timeline(replay: ReplayState, width: int) -> list[TextRun]:
    """Return state, time, and a bar with a mark for each event, in at most `width` columns."""
    state = "PAUSED" if replay.paused else f"x{replay.speed:g}"
    state_text = f" {state} {_clock(replay.position_s)}/{_clock(replay.length_s)} "
    spans: list[TextRun] = [(" REPLAY ", "paused"), (state_text, "bold")]
    bar_width = width - len(" REPLAY ") - len(state_text) - 2
    if replay.message and bar_width > len(replay.message) + MIN_BAR_WIDTH:
        bar_width -= len(replay.message) + 1
    if bar_width < MIN_BAR_WIDTH:
        return spans
    length_s = max(replay.length_s, 1e-9)
    position = min(bar_width - 1, int(replay.position_s / length_s * bar_width))
    cells = [("=" if i < position else "-", "tx" if i < position else "shadow") for i in range(bar_width)]
    for mark_s in replay.marks:
        cells[min(bar_width - 1, int(mark_s / length_s * bar_width))] = ("!", "warn")
    cells[position] = ("|", "bold")
    spans += [("[", "bracket"), *cells, ("]", "bracket")]
    if replay.message:
        spans.append((" " + replay.message, "warn"))
    return spans


def position_at(replay: ReplayState, width: int, x: int) -> float | None:
    """Return the position in the recording at column `x` of the timeline; None outside the bar."""
    texts = [text for text, _ in timeline(replay, width)]
    if "[" not in texts:
        return None
    start = sum(len(text) for text in texts[: texts.index("[") + 1])
    end = sum(len(text) for text in texts[: texts.index("]")])
    return replay.length_s * (x - start) / max(1, end - start) if start <= x < end else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
