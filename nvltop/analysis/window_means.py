"""Mean rates of one GPU over whole windows: the last step of its job, or two seconds.

A single reading of a job that moves data in bursts is either a burst or a pause. What a row of a table
shows is therefore a mean over one whole window, which changes once a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Final

DEFAULT_WINDOW_S: Final = 2.0
"""Window where no step is known, seconds."""
MIN_WINDOW_S: Final = 0.5
"""Shortest window: a number that changes more often cannot be read."""
JOIN_S: Final = 0.02
"""Spans that lie at most this far apart follow each other."""


class WindowMeans:
    """Collects the spans of one GPU; each is a row of values in bytes/s, NaN where one is unknown."""

    __slots__ = (
        "_begun_s",
        "_moved",
        "_peaks",
        "_until_s",
        "_whole",
        "is_step",
        "means",
        "peaks",
        "span_s",
        "window_s",
    )

    def __init__(self) -> None:
        self.window_s = DEFAULT_WINDOW_S
        """Length of the next window."""
        self.is_step = False
        """Whether that is a step of the GPU's job."""
        self.span_s: tuple[float, float] | None = None
        """CLOCK_MONOTONIC of the start and the end of what `means` is of."""
        self.means: Sequence[float] = ()
        """Of each value over the last whole window, or of the readings so far in the first one."""
        self.peaks: Sequence[float] = ()
        """The highest value that each had in a span of that window."""
        self._whole = False
        """Whether a window is over; until then the means are over the readings so far."""
        self._begun_s = self._until_s = 0.0
        self._moved: list[float] = []
        """Bytes moved in the window that is not over yet."""
        self._peaks: list[float] = []

    def set_window(self, step_s: float | None) -> None:
        """Use the step of the job, or two seconds if None."""
        self.is_step = step_s is not None
        self.window_s = DEFAULT_WINDOW_S
        if step_s is not None:
            # Several steps where one is too short to be read.
            self.window_s = step_s * -(-MIN_WINDOW_S // step_s)

    def add(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        """Take a span; its values hold for the whole of it."""
        if all(value != value for value in values):
            # Nothing could be read: what comes after is a window of its own.
            self._begin(end_s, len(values))
            self._whole, self.means, self.peaks, self.span_s = False, (), (), None
            return
        starts = self._whole and not any(self.means) and any(values)
        if len(values) != len(self._moved) or not -1.0 < start_s - self._until_s < JOIN_S or starts:
            # After a gap, and when traffic begins, the means follow the readings until a window is whole.
            self._begin(start_s, len(values))
            self._whole = False
        while end_s - self._begun_s >= self.window_s and start_s < end_s:
            # A span that is longer than the window is a window by itself.
            cut_s = min(end_s, max(self._begun_s + self.window_s, start_s))
            if end_s - start_s >= self.window_s:
                cut_s = end_s
            self._extend(start_s, cut_s, values)
            self._publish(cut_s)
            self._whole = True
            self._begin(cut_s, len(values))
            start_s = cut_s
        if start_s < end_s:
            self._extend(start_s, end_s, values)
            if not self._whole:
                self._publish(end_s)
        self._until_s = end_s

    def _begin(self, at_s: float, width: int) -> None:
        self._begun_s = self._until_s = at_s
        self._moved = [0.0] * width
        self._peaks = [0.0] * width

    def _extend(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        seconds = end_s - start_s
        self._moved = list(map(add, self._moved, [value * seconds for value in values]))
        # Not a number stays: it compares as false.
        self._peaks = [
            peak if peak >= value else value for peak, value in zip(self._peaks, values, strict=True)
        ]

    def _publish(self, end_s: float) -> None:
        seconds = end_s - self._begun_s
        self.span_s = self._begun_s, end_s
        self.means = [moved / seconds for moved in self._moved]
        self.peaks = self._peaks
