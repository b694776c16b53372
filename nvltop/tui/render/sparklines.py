"""Sparklines that are extended from second to second instead of being drawn again."""

from __future__ import annotations

from typing import NamedTuple

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.model import Maybe
from nvltop.tui.render.glyphs import Glyphs, spark


class _Sparkline(NamedTuple):
    """A cached sparkline."""

    newest: int
    """Number of the second that the last character shows."""
    settled: int
    """Number of the last second whose value was final."""
    scale: Maybe[float]
    text: str


class Sparklines:
    """The sparklines of the screen, by series."""

    def __init__(self) -> None:
        self._lines: dict[SeriesKey, _Sparkline] = {}
        self._source: tuple[RateHistory, Glyphs] | None = None

    def draw(
        self, history: RateHistory, glyphs: Glyphs, key: SeriesKey, count: int, scale: Maybe[float]
    ) -> str:
        """Return the sparkline of the last `count` complete seconds of a series.

        The current second is left out: sparklines that changed with every frame would make up most of the
        output to the terminal.
        """
        newest = history.bucket - 1
        if self._source is None or self._source[0] is not history or self._source[1] is not glyphs:
            self._lines.clear()
            self._source = history, glyphs
        line = self._lines.get(key)
        if (
            line is None
            or (len(line.text), line.scale) != (count, scale)
            or not 0 <= newest - line.newest < count
        ):
            line = _Sparkline(newest - count, newest - count, scale, "")
        if line.newest < newest:
            # The line moves left. Its characters are reused, except those of seconds that were not final.
            first = max(newest - count, min(line.newest, line.settled))
            kept = line.text[: len(line.text) - (line.newest - first)]
            added = spark(history.second_means(key, newest, newest - first), scale, glyphs)
            line = _Sparkline(newest, min(newest, history.settled(key)), scale, (kept + added)[-count:])
            self._lines[key] = line
        return line.text
