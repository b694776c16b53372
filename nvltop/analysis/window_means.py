"""Mean rates of one GPU over a window: the last step of its job, or two seconds.

A single reading of a job that moves data in bursts shows either a burst or a pause. A table row therefore
shows the mean over one complete window, and changes once per window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import Final, NamedTuple

from nvltop.analysis.nan import all_or_nan, has_nan, or_nan
from nvltop.model import LinkSpan, Maybe, Missing

DEFAULT_WINDOW_S: Final = 2.0
"""Length of the window if no step is known, seconds."""
MIN_WINDOW_S: Final = 0.5
"""Shortest window, seconds: a number that changes more often cannot be read."""
MAX_JOIN_GAP_S: Final = 0.02
"""Largest gap between two consecutive spans, seconds."""


class _Part(NamedTuple):
    """A part of a window in which the rates are constant, in bytes/s."""

    seconds: float
    tx: float
    """TX of the whole GPU, NaN where unknown."""
    rx: float
    rates: Sequence[Maybe[float]]
    """Rate of each counter."""


class Window:
    """The traffic of one GPU between two times."""

    __slots__ = ("_by_counter", "_parts", "_width", "means", "peaks", "span_s")

    def __init__(self, start_s: float, end_s: float, parts: Sequence[_Part], width: int) -> None:
        """Add up `parts`, those with traffic, of a GPU with `width` counters."""
        self.span_s = start_s, end_s
        self._parts, self._width = parts, width
        lengths_s = [part.seconds for part in parts]
        rates = [part.tx for part in parts], [part.rx for part in parts]
        self.means = [sum(map(mul, values, lengths_s)) / (end_s - start_s) for values in rates]
        """Mean TX and RX of the whole GPU, NaN where a part of the time is unknown."""
        # An unknown part may have had the peak.
        self.peaks = [math.nan if has_nan(values) else max(values, default=0.0) for values in rates]
        """Highest TX and RX of the whole GPU in any span."""
        self._by_counter: Sequence[float] | None = None

    @property
    def silent(self) -> bool:
        """Whether there was no traffic in the whole window."""
        return not self._parts

    @property
    def by_counter(self) -> Sequence[float]:
        """Mean rate of each counter, NaN where a part of the time is unknown."""
        # Computed at the first use: a screen shows the links of one GPU, or none.
        if self._by_counter is None:
            moved = [0.0] * self._width
            for part in self._parts:
                rates = all_or_nan(part.rates)
                moved = [m + rate * part.seconds for m, rate in zip(moved, rates, strict=True)]
            seconds = self.span_s[1] - self.span_s[0]
            self._by_counter = [m / seconds for m in moved]
        return self._by_counter


class WindowMeans:
    """Cuts the spans of one GPU into windows."""

    __slots__ = ("_complete", "_parts", "_start_s", "_until_s", "_width", "is_step", "window", "window_s")

    def __init__(self) -> None:
        self.window_s = DEFAULT_WINDOW_S
        """Length of the next window."""
        self.is_step = False
        """Whether the window is a whole number of steps of the GPU's job."""
        self.window: Window | None = None
        """The last complete window, or the readings so far of the first window."""
        self._complete = False
        """Whether a window has been completed; until then `window` covers the readings so far."""
        self._start_s = self._until_s = 0.0
        self._parts: list[_Part] = []
        """The parts of the current window that have traffic."""
        self._width = -1
        """Number of counters in the current window."""

    def set_window(self, step_s: float | None) -> None:
        """Set the length of the window to the step of the job, or to two seconds if None."""
        self.is_step = step_s is not None
        self.window_s = DEFAULT_WINDOW_S
        if step_s is not None:
            # Use several steps if one is too short to be read.
            self.window_s = step_s * -(-MIN_WINDOW_S // step_s)

    def add(self, span: LinkSpan) -> None:
        """Add a span with constant rates."""
        start_s, end_s, rates = span.start_s, span.end_s, span.rates
        tx, rx = or_nan(span.tx_bytes_per_s), or_nan(span.rx_bytes_per_s)
        if tx != tx and rx != rx and all(isinstance(rate, Missing) for rate in rates):
            # Nothing was read: start a new window after the span.
            self._start_window(end_s, len(rates))
            self._complete, self.window = False, None
            return
        moves = bool(tx or rx or any(rates))
        begins = self._complete and moves and self.window is not None and self.window.silent
        if len(rates) != self._width or not -1.0 < start_s - self._until_s < MAX_JOIN_GAP_S or begins:
            # After a gap, and when traffic begins, the means cover the readings until a window is complete.
            self._start_window(start_s, len(rates))
            self._complete = False
        while end_s - self._start_s >= self.window_s and start_s < end_s:
            # A span that is longer than the window is a window of its own.
            cut_s = min(end_s, max(self._start_s + self.window_s, start_s))
            if end_s - start_s >= self.window_s:
                cut_s = end_s
            if moves and cut_s > start_s:
                self._parts.append(_Part(cut_s - start_s, tx, rx, rates))
            self._publish(cut_s)
            self._complete = True
            self._start_window(cut_s, len(rates))
            start_s = cut_s
        if start_s < end_s:
            if moves:
                self._parts.append(_Part(end_s - start_s, tx, rx, rates))
            if not self._complete:
                self._publish(end_s)
        self._until_s = end_s

    def _start_window(self, at_s: float, width: int) -> None:
        """Start a window of a GPU with `width` counters."""
        self._start_s = self._until_s = at_s
        self._parts, self._width = [], width

    def _publish(self, end_s: float) -> None:
        """Show the current window up to `end_s`."""
        self.window = Window(self._start_s, end_s, tuple(self._parts), self._width)
