"""Links with far more errors a day than the other links of the node (rule link-error-rate).

The rule link-outlier compares lifetime counts, and needs 50 errors because it does not know over which time
they accumulated. This rule knows that time, so a few errors are enough, and GPUs that were reset at different
times can be compared. A link stands out for one kind of counter if all of these hold:

1. It counted at least `MIN_COUNT` errors, in at least `MIN_TIME_S`.
2. Its rate is at least `MIN_RATIO` times the rate of all other links of the same GPU model together. One
   error is added to the count of the others, so that their rate is above 0.
3. If its errors came at random at the rate of the others, this count would have a probability of at most
   `MAX_PROBABILITY`, divided by the number of links. The probability that a Poisson variable of mean m is n
   or more is at most exp(n - m - n ln(n / m)) for n above m (Chernoff's bound).
4. Not more than `MAX_OUTLIER_SHARE` of the links, or one link, stand out: otherwise errors are common here.

Errors often come in groups, which the probability of the third condition does not know; the second
condition is there for this reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from math import log
from typing import Final, NamedTuple

from nvltop.analysis.health.outliers import (
    MAX_OUTLIER_SHARE,
    MIN_LINKS,
    OUTLIER_KINDS,
    Settled,
    SettledErrors,
)
from nvltop.analysis.uptime import DAY_S, counted_s
from nvltop.frozen import mutable
from nvltop.model import GpuFrame, known

MIN_COUNT: Final = 10
"""Number of errors below which a link does not stand out."""
MIN_TIME_S: Final = 6 * 3600.0
"""Time in seconds below which a rate is not compared."""
MIN_RATIO: Final = 10.0
"""Multiple of the rate of the other links below which a link does not stand out."""
MAX_PROBABILITY: Final = 1e-6
"""Probability, over all links, up to which a link stands out."""
REFRESH_S: Final = 60.0
"""Interval in seconds at which rates are compared while no counter changes."""


class FastLink(NamedTuple):
    """A link with a rate of errors that stands out."""

    gpu: str
    """UUID."""
    link: int
    kind: str
    total: int
    over_s: float
    """Time in seconds over which the errors accumulated."""
    others_per_day: float
    """Errors a day of one of the other links, as a mean."""

    @property
    def per_day(self) -> float:
        """Errors a day of the link."""
        return self.total / self.over_s * DAY_S


class _Count(NamedTuple):
    gpu: str
    link: int
    total: int
    over_s: float


@mutable
class ErrorRates:
    """The links of the node whose rate stands out, cached until a count changes or a minute has passed."""

    _seen: tuple[Settled, ...] = ()
    _at_s: float = 0.0
    _found: list[FastLink] = field(default_factory=list)

    def due(self, now_s: float) -> bool:
        """Return whether the rates have to be compared again although no counter has changed."""
        return not 0 <= now_s - self._at_s < REFRESH_S

    def find(self, gpus: Sequence[GpuFrame], settled: SettledErrors, now_s: float) -> list[FastLink]:
        """Return the links whose rate stands out at `now_s` (CLOCK_MONOTONIC), the highest rate first."""
        now = tuple([settled.of_gpu(g) for g in gpus])
        same = len(now) == len(self._seen) and all(a is b for a, b in zip(now, self._seen, strict=True))
        if not same or self.due(now_s):
            self._seen, self._at_s, self._found = now, now_s, _find(gpus, settled)
        return self._found


def _find(gpus: Sequence[GpuFrame], settled: SettledErrors) -> list[FastLink]:
    found: dict[tuple[str, int], FastLink] = {}
    for alike in settled.by_model(gpus):
        for kind in OUTLIER_KINDS:
            for link in _standing_out(kind, _counts(alike, kind)):
                found.setdefault((link.gpu, link.link), link)
    return sorted(found.values(), key=lambda f: -f.per_day)


def _counts(gpus: Sequence[tuple[GpuFrame, Settled]], kind: str) -> list[_Count]:
    """Return the counts of all links and their times; none if no link counted `MIN_COUNT` errors."""
    if not any(total >= MIN_COUNT for _, settled in gpus for total, _, _ in settled[kind]):
        return []
    return [
        _Count(g.gpu.uuid, link, total, over_s)
        for g, settled in gpus
        for total, link, error in settled[kind]
        if known(over_s := counted_s(error, g.uptime_s)) and over_s > 0
    ]


def _standing_out(kind: str, counts: Sequence[_Count]) -> list[FastLink]:
    """Return the links that stand out for one kind of counter."""
    if len(counts) < MIN_LINKS or not any(c.total >= MIN_COUNT and c.over_s >= MIN_TIME_S for c in counts):
        return []
    total, time_s = sum(c.total for c in counts), sum(c.over_s for c in counts)
    found = []
    for c in counts:
        rest, rest_s = total - c.total + 1, time_s - c.over_s
        expected = rest / rest_s * c.over_s
        if (
            c.total >= MIN_COUNT
            and c.over_s >= MIN_TIME_S
            and c.total >= MIN_RATIO * expected
            and _log_probability(c.total, expected) <= log(MAX_PROBABILITY / len(counts))
        ):
            found.append(FastLink(c.gpu, c.link, kind, c.total, c.over_s, (rest - 1) / rest_s * DAY_S))
    return found if len(found) <= max(1, MAX_OUTLIER_SHARE * len(counts)) else []


def _log_probability(count: int, expected: float) -> float:
    """Return an upper bound of the logarithm of the probability of `count` or more events."""
    return count - expected - count * log(count / expected) if count > expected else 0.0
