"""The share of its speed that a GPU used over the last seconds."""

from __future__ import annotations

from array import array
from typing import Final

WINDOW_S: Final = 10.0
"""Length of the window, seconds: a pause between two steps must not look like the end of the job."""


class RollingShare:
    """The share of the speed over the spans of the last `WINDOW_S` seconds, in packed columns."""

    __slots__ = ("_ends_s", "_lengths_s", "_used_s")

    def __init__(self) -> None:
        self._ends_s, self._lengths_s = array("d"), array("d")
        self._used_s = array("d")
        """Share of the speed in each span times the length of the span."""

    def add(self, start_s: float, end_s: float, share: float | None) -> None:
        """Add a span with its share of the speed, or None if the share is not known."""
        old = 0
        while old < len(self._ends_s) and end_s - self._ends_s[old] > WINDOW_S:
            old += 1
        if old:
            for column in (self._ends_s, self._lengths_s, self._used_s):
                del column[:old]
        if share is not None and end_s > start_s:
            length_s = end_s - start_s
            self._ends_s.append(end_s)
            self._lengths_s.append(length_s)
            self._used_s.append(length_s * share)

    @property
    def mean(self) -> tuple[float | None, float]:
        """Mean share of the speed, or None if it is not known, and the total length of the spans."""
        seconds = sum(self._lengths_s)
        return (sum(self._used_s) / seconds if seconds else None), seconds
