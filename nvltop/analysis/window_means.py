"""Mean rates of one GPU over a window: the last step of its job, or two seconds.

A single reading of a job that moves data in bursts shows either a burst or a pause. A table row therefore
shows the mean over one complete window, and changes once per window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DEFAULT_WINDOW_S: Final = 2.0
"""Length of the window if no step is known, seconds."""
MIN_WINDOW_S: Final = 0.5
"""Shortest window, seconds: a number that changes more often cannot be read."""
MAX_JOIN_GAP_S: Final = 0.02
"""Largest gap between two consecutive spans, seconds."""
PEAKS: Final = 2
"""Number of leading values of a row whose peaks are kept: TX and RX of the whole GPU."""


class WindowMeans:
    """Collects the spans of one GPU: rows of values in bytes/s, NaN where unknown."""

    __slots__ = (
        "_complete",
        "_moved",
        "_peaks",
        "_start_s",
        "_until_s",
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
        """Whether the window is a whole number of steps of the GPU's job."""
        self.span_s: tuple[float, float] | None = None
        """Start and end of the window of `means`, CLOCK_MONOTONIC."""
        self.means: Sequence[float] = ()
        """Means over the last complete window, or over the readings so far in the first window."""
        self.peaks: Sequence[float] = ()
        """Highest of each of the first `PEAKS` values of any span in the same window."""
        self._complete = False
        """Whether a window has been completed; until then `means` covers the readings so far."""
        self._start_s = self._until_s = 0.0
        self._moved: list[float] = []
        """Bytes moved in the current window."""
        self._peaks: list[float] = []

    def set_window(self, step_s: float | None) -> None:
        """Set the length of the window to the step of the job, or to two seconds if None."""
        self.is_step = step_s is not None
        self.window_s = DEFAULT_WINDOW_S
        if step_s is not None:
            # Use several steps if one is too short to be read.
            self.window_s = step_s * -(-MIN_WINDOW_S // step_s)

    def add(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        """Add a span with constant values."""
        if all(value != value for value in values):
            # Nothing was read: start a new window after the span.
            self._start_window(end_s, len(values))
            self._complete, self.means, self.peaks, self.span_s = False, (), (), None
            return
        begins = self._complete and not any(self.means) and any(values)
        if len(values) != len(self._moved) or not -1.0 < start_s - self._until_s < MAX_JOIN_GAP_S or begins:
            # After a gap, and when traffic begins, the means cover the readings until a window is complete.
            self._start_window(start_s, len(values))
            self._complete = False
        while end_s - self._start_s >= self.window_s and start_s < end_s:
            # A span that is longer than the window is a window of its own.
            cut_s = min(end_s, max(self._start_s + self.window_s, start_s))
            if end_s - start_s >= self.window_s:
                cut_s = end_s
            self._add_part(start_s, cut_s, values)
            self._publish(cut_s)
            self._complete = True
            self._start_window(cut_s, len(values))
            start_s = cut_s
        if start_s < end_s:
            self._add_part(start_s, end_s, values)
            if not self._complete:
                self._publish(end_s)
        self._until_s = end_s

    def _start_window(self, at_s: float, width: int) -> None:
        """Start a window of `width` values."""
        self._start_s = self._until_s = at_s
        self._moved = [0.0] * width
        self._peaks = [0.0] * min(width, PEAKS)

    def _add_part(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        """Add a span, or a part of it, to the current window."""
        if not any(values):
            return
        seconds = end_s - start_s
        self._moved = [moved + value * seconds for moved, value in zip(self._moved, values, strict=True)]
        # NaN stays: an unknown part of the window may have had the peak.
        self._peaks = [
            peak if peak >= value or peak != peak else value
            for peak, value in zip(self._peaks, values, strict=False)
        ]

    def _publish(self, end_s: float) -> None:
        """Set the results to those of the current window up to `end_s`."""
        seconds = end_s - self._start_s
        self.span_s = self._start_s, end_s
        self.means = [moved / seconds for moved in self._moved]
        self.peaks = self._peaks
