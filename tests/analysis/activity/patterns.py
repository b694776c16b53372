"""Traffic of jobs with a known answer: periods of constant rate that are read like counters."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass
class Drawn:
    """Traffic in one direction, with the interface of `nvltop.nvml.simulated.traffic.Flow`."""

    base: float = 0.0
    starts: list[float] = field(default_factory=lambda: [0.0])
    sums: list[float] = field(default_factory=lambda: [0.0])
    levels: list[float] = field(default_factory=lambda: [0.0])

    def burst(self, start: float, length: float, level: float) -> None:
        """Add a burst after the existing traffic."""
        assert start >= self.starts[-1], (start, self.starts[-1])
        for at, to in ((start, level), (start + length, 0.0)):
            self.sums.append(self.sums[-1] + self.levels[-1] * (at - self.starts[-1]))
            self.starts.append(at)
            self.levels.append(to)

    def rate(self, t: float) -> float:
        return self.base + self.levels[bisect_right(self.starts, t) - 1]

    def integral(self, t: float) -> float:
        i = bisect_right(self.starts, t) - 1
        return self.base * t + self.sums[i] + self.levels[i] * (t - self.starts[i])


def cells(
    flow: Drawn, start: float, step: float, count: int, noise: float = 0.0, seed: int = 1
) -> list[float]:
    """Return the mean rates of `count` cells."""
    rng = random.Random(seed)
    moved = [flow.integral(start + i * step) for i in range(count + 1)]
    return [(b - a) / step * (1 + noise * rng.gauss(0, 1)) for a, b in pairwise(moved)]


Step = Callable[[Drawn, float, float, int], None]


def steps(
    period: float, seconds: float, jitter: float = 0.0, seed: int = 1
) -> Iterator[tuple[float, float, int]]:
    """Yield start, length and number of each step."""
    rng = random.Random(seed)
    t, k = 0.37, 0
    while t < seconds:
        length = period * max(0.3, 1 + jitter * rng.gauss(0, 1))
        yield t, length, k
        t += length
        k += 1


def plain(
    period: float,
    duty: float = 0.3,
    jitter: float = 0.0,
    seconds: float = 260.0,
    base: float = 0.0,
    seed: int = 1,
) -> Drawn:
    """Return traffic with one burst per step."""
    flow = Drawn(base)
    for t, length, _ in steps(period, seconds, jitter, seed):
        flow.burst(t + (1 - duty) * length, 0.999 * duty * length, 100.0)
    return flow


def accumulated(
    period: float,
    micro: int,
    small: float = 0.4,
    gap: float = 0.0,
    jitter: float = 0.0,
    seconds: float = 260.0,
    seed: int = 1,
) -> Drawn:
    """Return traffic with small bursts, and a big burst before the `gap` at the end of the step."""
    flow = Drawn()
    for t, length, _ in steps(period, seconds, jitter, seed):
        part = (1 - gap) * length / micro
        for m in range(micro):
            flow.burst(t + (m + 0.6) * part, 0.35 * part, 100.0 if m == micro - 1 else 100.0 * small)
    return flow


def paused(
    period: float,
    every: int,
    pause: float,
    duty: float = 0.3,
    jitter: float = 0.0,
    seconds: float = 260.0,
    eval_level: float = 0.0,
    seed: int = 1,
) -> Drawn:
    """Return traffic with one burst per step and a pause every `every` steps.

    The pause is a checkpoint or, with `eval_level`, an evaluation.
    """
    flow = Drawn()
    rng = random.Random(seed)
    t, k = 0.37, 0
    while t < seconds:
        length = period * (1 + jitter * rng.gauss(0, 1))
        flow.burst(t + (1 - duty) * length, 0.99 * duty * length, 100.0)
        t += length
        k += 1
        if k % every == 0:
            if eval_level:
                u = t
                while u + 0.4 < t + pause:
                    flow.burst(u + 0.1, 0.2, eval_level)
                    u += 0.45
            t += pause
    return flow


def two_bursts(
    period: float,
    second: float = 0.7,
    apart: float = 0.5,
    jitter: float = 0.0,
    seconds: float = 260.0,
    seed: int = 1,
) -> Drawn:
    """Return traffic with a burst in the forward and in the backward pass of each step."""
    flow = Drawn()
    for t, length, _ in steps(period, seconds, jitter, seed):
        flow.burst(t + 0.05 * length, 0.2 * length, 100.0)
        flow.burst(t + (0.05 + apart) * length, 0.2 * length, 100.0 * second)
    return flow


def random_bursts(mean_gap: float, seconds: float = 260.0, seed: int = 1) -> Drawn:
    """Return bursts without a pattern."""
    rng = random.Random(seed)
    flow = Drawn()
    t = 0.1
    while t < seconds:
        length = rng.uniform(0.1, 0.5) * mean_gap
        flow.burst(t, length, rng.uniform(30, 100))
        t += length + rng.expovariate(1 / mean_gap)
    return flow
