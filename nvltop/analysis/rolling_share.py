"""How much of its speed a GPU has used over the last seconds, worked out when a span comes."""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import Final

ROLLING_WINDOW_S: Final = 10.0
"""Long enough for the pauses between the steps of a job not to look like its end."""
_LENGTH: Final = itemgetter(1)
_USED: Final = itemgetter(2)


class RollingShare:
    """The spans of the last seconds."""

    __slots__ = ("_spans", "_used", "seconds")

    def __init__(self) -> None:
        self._spans: deque[tuple[float, float, float]] = deque()
        """End of each, its length, and its share of speed times that length."""
        self.seconds: float = 0
        """How long they are together."""
        self._used: float = 0

    def add(self, start_s: float, end_s: float, share: float | None) -> None:
        """Let time pass up to the end of a span; its share of speed counts if it is known."""
        spans = self._spans
        while spans and end_s - spans[0][0] > ROLLING_WINDOW_S:
            spans.popleft()
        if share is not None and end_s > start_s:
            spans.append((end_s, end_s - start_s, (end_s - start_s) * share))
        self.seconds = sum(map(_LENGTH, spans))
        self._used = sum(map(_USED, spans))

    @property
    def share(self) -> float | None:
        """Mean share of the speed; None if nothing is known."""
        return self._used / self.seconds if self.seconds else None
