"""The share of its speed that a GPU used over the last seconds."""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import Final

WINDOW_S: Final = 10.0
"""Length of the window, seconds: a pause between two steps must not look like the end of the job."""
_LENGTH: Final = itemgetter(1)
_USED: Final = itemgetter(2)


class RollingShare:
    """The share of the speed over the spans of the last `WINDOW_S` seconds."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: deque[tuple[float, float, float]] = deque()
        """End of each span, its length, and its share of the speed times that length."""

    def add(self, start_s: float, end_s: float, share: float | None) -> None:
        """Add a span with its share of the speed, or None if the share is not known."""
        spans = self._spans
        while spans and end_s - spans[0][0] > WINDOW_S:
            spans.popleft()
        if share is not None and end_s > start_s:
            spans.append((end_s, end_s - start_s, (end_s - start_s) * share))

    @property
    def mean(self) -> tuple[float | None, float]:
        """Mean share of the speed, or None if it is not known, and the total length of the spans."""
        seconds: float = sum(map(_LENGTH, self._spans))
        return (sum(map(_USED, self._spans)) / seconds if seconds else None), seconds
