"""The autocorrelation of series of rates, and its peaks.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import Final, overload

from nvltop.frozen import frozen

MIN_PROMINENCE: Final = 0.3
"""Height of a peak above the valleys beside it that is required."""


@frozen
class Peak:
    """A peak of the autocorrelation."""

    lag: float
    """Position in cells, interpolated."""
    height: float
    """Correlation, 0…1."""


class Autocorrelation(Sequence[float]):
    """The autocorrelation of series with mean 0, by lag in cells.

    A lag is computed when it is first used: for clear bursts, only the lags near their period are needed.
    """

    def __init__(self, channels: Sequence[Sequence[float]], lags: int) -> None:
        """Use lags from 0 to `lags`; all channels have the same length."""
        squares = (sum(v * v for v in column) for column in zip(*channels, strict=True))
        self._channels = channels
        self._energy = list(accumulate(squares, initial=0.0))
        """Energy of the first n cells, by n."""
        self._found: list[float | None] = [None] * (min(lags, len(self._energy) - 2) + 1)

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> list[float]: ...
    def __getitem__(self, at: int | slice) -> float | list[float]:
        if isinstance(at, slice):
            return [self[lag] for lag in range(*at.indices(len(self)))]
        found = self._found[at]
        if found is None:
            found = self._found[at] = self._at(range(len(self))[at])
        return found

    def _at(self, lag: int) -> float:
        """Compute the correlation at a lag."""
        energy = self._energy
        n = len(energy) - 1
        norm = math.sqrt(energy[n - lag] * (energy[n] - energy[lag]))
        dot = sum(sum(map(mul, x, x[lag:])) for x in self._channels)
        return dot / norm if norm > 0 else 0.0

    @cached_property
    def peaks(self) -> list[Peak]:
        """The prominent local maxima, by lag; they need all lags."""
        return find_peaks(self[:])


def find_peaks(r: Sequence[float]) -> list[Peak]:
    """Return the prominent local maxima of an autocorrelation, by lag."""
    found = []
    for lag in range(2, len(r) - 1):
        if not r[lag - 1] < r[lag] >= r[lag + 1]:
            continue
        peak = _vertex(r, lag)
        left = min(r[lag // 2 : lag])
        right = min(r[lag + 1 : lag + max(2, lag // 2) + 1])
        if peak.height - max(left, right) >= MIN_PROMINENCE:
            found.append(peak)
    return found


def _vertex(r: Sequence[float], lag: int) -> Peak:
    """Return the vertex of the parabola through a maximum and its neighbours."""
    a, b, c = r[lag - 1], r[lag], r[lag + 1]
    bend = a - 2 * b + c
    shift = (a - c) / (2 * bend) if bend < 0 else 0.0
    return Peak(lag + shift, min(1.0, b - (a - c) * shift / 4))


def highest_near(r: Sequence[float], lag: float, within: float) -> Peak | None:
    """Return the highest local maximum within a distance of a lag."""
    low, high = max(1, math.ceil(lag - within)), min(len(r) - 2, math.floor(lag + within))
    tops = [_vertex(r, i) for i in range(low, high + 1) if r[i - 1] < r[i] >= r[i + 1]]
    return max(tops, key=lambda p: p.height, default=None)
