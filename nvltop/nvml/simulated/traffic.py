"""Traffic over time with an exact integral, with which tests compare the displayed rates.

Pure. Rates are in bytes/s, times in seconds since the machine was switched on, and integrals in bytes.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import Protocol

from nvltop.frozen import frozen


class Flow(Protocol):
    """Traffic in one direction."""

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""


@frozen
class Constant:
    """A constant level."""

    level: float = 0.0

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""
        return self.level

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""
        return self.level * t


@frozen
class Bursts:
    """`high` for a share `duty` of each period, then `low`, with relative noise on the high part.

    The noise is a sine that is not a multiple of the period, so all bursts differ. Its integral over
    complete periods is a sum of cosines with a closed form (the Dirichlet kernel).
    """

    low: float
    high: float
    period_s: float
    duty: float
    phase_s: float = 0.0
    noise: float = 0.0
    frequency: float = 7.3
    """Frequency of the noise, rad/s."""
    _last: tuple[int, float, float] = field(default=(-1, 0.0, 0.0), init=False, repr=False, compare=False)
    """A number of complete periods, the noise in all of them, and the cosine at their end.

    Only a time in another period needs them afresh.
    """
    _at_zero: float = field(init=False, repr=False)
    """Integral over the phase, cached for `integral`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_at_zero", self._since(self.phase_s))

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""
        s = t + self.phase_s
        if s % self.period_s >= self.duty * self.period_s:
            return self.low
        return self.high * (1 + self.noise * math.sin(self.frequency * s))

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""
        return self._since(t + self.phase_s) - self._at_zero

    def _since(self, s: float) -> float:
        p = self.period_s
        periods, rest = divmod(s, p)
        on_s = self.duty * p
        burst_s = rest if rest < on_s else on_s
        high_s = periods * on_s + burst_s
        flat = self.high * high_s + self.low * (s - high_s)
        if not self.noise:
            return flat
        w = self.frequency
        start = periods * p
        if (last := self._last)[0] != periods:
            last = int(periods), self._noise_of(int(periods), w * p, w * on_s), math.cos(w * start)
            object.__setattr__(self, "_last", last)
        noise = last[1] + (last[2] - math.cos(w * (start + burst_s)))
        return flat + self.high * self.noise * noise / w

    @staticmethod
    def _noise_of(n: int, step: float, length: float) -> float:
        """Return the sum of cos(k·step) - cos(length + k·step) for k from 0 to n-1."""
        half = math.sin(step / 2)
        if abs(half) < 1e-12:
            return n - n * math.cos(length)
        share, phase = math.sin(n * step / 2) / half, (n - 1) * step / 2
        return share * math.cos(phase) - share * math.cos(length + phase)


@frozen
class Cycle:
    """A sequence of levels that repeats in each period.

    `parts` holds the end of each part, in seconds from the start of the period, and its level; the last
    end is the length of the period.
    """

    parts: tuple[tuple[float, float], ...]
    phase_s: float = 0.0
    _whole: float = field(init=False, repr=False)
    """Integral over a period."""
    _at_zero: float = field(init=False, repr=False)
    """Integral over the phase."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_whole", self._within(self.parts[-1][0]))
        object.__setattr__(self, "_at_zero", self._since(self.phase_s))

    def rate(self, t: float) -> float:
        """Return the level at `t`."""
        since_s = (t + self.phase_s) % self.parts[-1][0]
        for end_s, level in self.parts:
            if since_s < end_s:
                return level
        return self.parts[0][1]

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        return self._since(t + self.phase_s) - self._at_zero

    def _since(self, s: float) -> float:
        periods, rest = divmod(s, self.parts[-1][0])
        return periods * self._whole + self._within(rest)

    def _within(self, rest: float) -> float:
        total = begin_s = 0.0
        for end_s, level in self.parts:
            if rest <= begin_s:
                break
            total += level * (min(rest, end_s) - begin_s)
            begin_s = end_s
        return total


@frozen
class Sine:
    """A sine around 0, to add noise to a flow."""

    amplitude: float
    frequency: float
    """Frequency, rad/s."""
    phase: float = 0.0
    """Phase, rad."""

    def rate(self, t: float) -> float:
        """Return the level at `t`."""
        return self.amplitude * math.sin(self.frequency * t + self.phase)

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        change = math.cos(self.phase) - math.cos(self.frequency * t + self.phase)
        return self.amplitude * change / self.frequency


class Sum:
    """A sum of flows, each multiplied by a factor."""

    def __init__(self, *flows: Flow, factors: tuple[float, ...] | None = None) -> None:
        self._flows = tuple(zip(flows, factors or (1.0,) * len(flows), strict=True))

    def rate(self, t: float) -> float:
        """Return the sum at `t`."""
        return sum([factor * flow.rate(t) for flow, factor in self._flows])

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        return sum([factor * flow.integral(t) for flow, factor in self._flows])


@frozen
class Switched:
    """One flow up to a time, and another one after it."""

    first: Flow
    end_s: float
    second: Flow

    def rate(self, t: float) -> float:
        """Return the level at `t`."""
        return (self.first if t < self.end_s else self.second).rate(t)

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        if t < self.end_s:
            return self.first.integral(t)
        return self.first.integral(self.end_s) + self.second.integral(t) - self.second.integral(self.end_s)


@frozen
class Stopped:
    """A flow that stops at a time."""

    flow: Flow
    end_s: float

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""
        return self.flow.rate(t) if t < self.end_s else 0.0

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""
        return self.flow.integral(min(t, self.end_s))
