"""Traffic over time whose integral is known exactly, so that a shown rate can be held against it.

Pure. Rates are bytes/s, times seconds since the node was switched on, integrals bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol


class Flow(Protocol):
    """Traffic in one direction."""

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same at all times."""

    level: float = 0.0

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""
        return self.level

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""
        return self.level * t


@dataclass(frozen=True, slots=True)
class Bursts:
    """`high` for a `duty` share of each period, then `low`; the high part trembles by `noise`.

    The tremble is a sine that does not fit the period, so no two bursts are alike; its integral over
    whole periods is a sum of cosines with a closed form (the Dirichlet kernel).
    """

    low: float
    high: float
    period_s: float
    duty: float
    phase_s: float = 0.0
    noise: float = 0.0
    frequency: float = 7.3
    """Of the tremble, in rad/s."""
    _at_zero: float = field(init=False, repr=False)
    """What the phase skips, which `moved` is asked for too often to work it out anew."""

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
        whole, rest = divmod(s, self.period_s)
        on_s = self.duty * self.period_s
        high_s = whole * on_s + min(rest, on_s)
        flat = self.high * high_s + self.low * (s - high_s)
        if not self.noise:
            return flat
        w, p = self.frequency, self.period_s
        tremble = _cosines(int(whole), w * p, 0.0) - _cosines(int(whole), w * p, w * on_s)
        start = whole * p
        tremble += math.cos(w * start) - math.cos(w * (start + min(rest, on_s)))
        return flat + self.high * self.noise * tremble / w


@dataclass(frozen=True, slots=True)
class Cycle:
    """Levels that follow one another in each period.

    `parts` holds the end of each part, in seconds from the start of the period, and its level; the last
    end is the length of the period.
    """

    parts: tuple[tuple[float, float], ...]
    phase_s: float = 0.0

    def rate(self, t: float) -> float:
        """Return the level at `t`."""
        since_s = (t + self.phase_s) % self.parts[-1][0]
        return next((level for end_s, level in self.parts if since_s < end_s), self.parts[0][1])

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        return self._since(t + self.phase_s) - self._since(self.phase_s)

    def _since(self, s: float) -> float:
        whole, rest = divmod(s, self.parts[-1][0])
        return whole * self._within(self.parts[-1][0]) + self._within(rest)

    def _within(self, rest: float) -> float:
        begins = (0.0, *(end_s for end_s, _ in self.parts))
        return sum(
            level * max(0.0, min(rest, end_s) - begin_s)
            for begin_s, (end_s, level) in zip(begins, self.parts, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Sine:
    """A sine around 0, for noise on top of something else."""

    amplitude: float
    frequency: float
    """In rad/s."""
    phase: float = 0.0
    """In rad."""

    def rate(self, t: float) -> float:
        """Return the level at `t`."""
        return self.amplitude * math.sin(self.frequency * t + self.phase)

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        turned = math.cos(self.phase) - math.cos(self.frequency * t + self.phase)
        return self.amplitude * turned / self.frequency


class Sum:
    """Several flows added up, each times its factor."""

    def __init__(self, *flows: Flow, factors: tuple[float, ...] | None = None) -> None:
        self._flows = tuple(zip(flows, factors or (1.0,) * len(flows), strict=True))

    def rate(self, t: float) -> float:
        """Return the sum at `t`."""
        return sum(factor * flow.rate(t) for flow, factor in self._flows)

    def integral(self, t: float) -> float:
        """Return the integral from 0 to `t`."""
        return sum(factor * flow.integral(t) for flow, factor in self._flows)


@dataclass(frozen=True, slots=True)
class Switched:
    """One flow up to a time, another from then on."""

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


@dataclass(frozen=True, slots=True)
class Stopped:
    """Another flow, which stops for good."""

    flow: Flow
    end_s: float

    def rate(self, t: float) -> float:
        """Return bytes/s at `t`."""
        return self.flow.rate(t) if t < self.end_s else 0.0

    def integral(self, t: float) -> float:
        """Return the bytes moved from 0 to `t`."""
        return self.flow.integral(min(t, self.end_s))


def _cosines(n: int, step: float, start: float) -> float:
    """Return the sum of cos(start + k·step) for k from 0 to n-1."""
    half = math.sin(step / 2)
    if abs(half) < 1e-12:
        return n * math.cos(start)
    return math.sin(n * step / 2) / half * math.cos(start + (n - 1) * step / 2)
