"""How long a GPU's links carry traffic, and how long they are at their limit, with what cannot be known.

Pure. A reading is a mean: a burst that fills none of them may have any rate. So each burst is either
resolved (three readings or more, of which the inner ones show its rate) or counted on one side only: it
was at the limit for no time at least, and for what it moved divided by the limit at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from statistics import median
from typing import Final

from nvltop.analysis.activity.bursts import ranges_above
from nvltop.analysis.activity.communication import measure_communication
from nvltop.analysis.activity.usage_trace import LimitBounds, UsageSpans
from nvltop.model import Maybe, Missing, known

EDGE: Final = 0.15
"""Share of the bursts' level below which there is silence."""
QUIET: Final = 0.004
"""Share of NCCL max below which there is no traffic to speak of."""
READ: Final = 0.75
"""Share of the window that must have been read."""
STEADY: Final = 0.06
"""Readings in a row that differ by no more than this share show a steady rate."""
READING_S: Final = 0.5
"""Longer readings must differ by less."""
VERY_STEADY: Final = 0.025
FEW: Final = 2
STRETCH: Final = 8
LONG: Final = 12
"""How many it takes, and from how many readings without a pause on it takes the longer stretch."""
MOSTLY: Final = 0.6
"""Unless so many of them show the same rate, below which pauses shorter than a reading only dip."""
SIMILAR: Final = 0.25
"""Bursts whose volumes differ by less are of the same kind."""
RESOLVED: Final = 3
"""Readings that a burst must touch so that one of them lies wholly inside it."""

MOSTLY_SHORT: Final = 2
"""Bursts of fewer readings to one of more, from which the level of the traffic is taken from the former."""

GAPS: Final = Missing("too many readings are missing")


@dataclass(frozen=True, slots=True)
class LinkUsage:
    """What one GPU's links did over a window; shares of its length."""

    seconds: float
    mean: float
    """Of NCCL max."""
    busy: float
    """Share of the time with traffic; for bursts that are not resolved, at most."""
    unresolved: float
    """Of that, the share in bursts that are not resolved."""
    at: float
    """At the limit of a ring, at least."""
    near: float
    """At or near the limit, at least."""
    most: float
    """At or near the limit, at most."""
    level: float
    """Rate while there is traffic, over NCCL max; for bursts that are not resolved, at least."""
    tx: float
    rx: float
    """Bytes/s while there is traffic."""


@dataclass(slots=True)
class _Sum:
    """Seconds, added up burst by burst."""

    bounds: LimitBounds
    at: float = 0.0
    near: float = 0.0
    most: float = 0.0
    busy: float = 0.0
    unresolved: float = 0.0

    def take(self, seconds: float, rate: float) -> None:
        """Take so many seconds at a known rate."""
        self.busy += seconds
        if rate >= self.bounds.near:
            self.near += seconds
            self.most += seconds
            if rate >= self.bounds.at:
                self.at += seconds

    def doubt(self, moved: float, seconds: float) -> None:
        """Take a burst of unknown rate that moved so much within so many seconds."""
        self.most += min(seconds, moved / self.bounds.near)
        self.busy += seconds
        self.unresolved += seconds


def measure_usage(spans: UsageSpans, bounds: LimitBounds) -> Maybe[LinkUsage]:
    """Work out the load of one GPU over the spans of a window."""
    shares, seconds = spans.shares, spans.seconds
    read_s = total_s = sum(seconds)
    held = shares
    if sum(shares) != sum(shares):
        read_s = sum(d for d, w in zip(seconds, shares, strict=True) if w == w)
        held = [w if w == w else 0.0 for w in shares]
    if not shares or read_s < READ * total_s:
        return GAPS
    mean = sum(map(mul, seconds, held)) / read_s
    if max(held) < QUIET:
        return LinkUsage(read_s, mean, 0.0, 0.0, 0.0, 0.0, mean / bounds.near, mean, 0.0, 0.0)
    high = sum(map(mul, held, held)) / sum(held)
    low = sorted(held)[len(held) // 50]
    found = ranges_above(held, max(EDGE * high, QUIET))
    times = _Sum(bounds)
    kinds: list[tuple[float, float]] = []
    """Volume and rate of each resolved burst."""
    rates: list[float] = []
    """Of the inner readings of all resolved bursts; the next three are their sums."""
    inner_s = tx = rx = 0.0
    short: list[tuple[int, int]] = []
    for a, b in found:
        if b - a < RESOLVED:
            short.append((a, b))
            continue
        rate = _resolve(seconds, held, a, b, low, times)
        kinds.append((_volume(seconds, held, a, b), rate))
        inner = slice(a + 1, b - 1)
        rates += held[inner]
        inner_s += sum(seconds[inner])
        tx += sum(map(mul, spans.tx[inner], seconds[inner]))
        rx += sum(map(mul, spans.rx[inner], seconds[inner]))
    # A few bursts that are cut otherwise by chance do not stand for all.
    mostly_short = len(short) > MOSTLY_SHORT * len(kinds)
    if mostly_short:
        rates, inner_s, tx, rx = [], 0.0, 0.0, 0.0
    for a, b in short:
        _estimate(seconds, held, a, b, kinds, times)
        if mostly_short:
            rates += held[a:b]
            inner_s += sum(seconds[a:b])
            tx += sum(map(mul, spans.tx[a:b], seconds[a:b]))
            rx += sum(map(mul, spans.rx[a:b], seconds[a:b]))
    busy, rate, unresolved = times.busy / read_s, median(rates), times.unresolved / read_s
    if unresolved:
        # Bursts that are alike still show how long they are, if some of them fill a reading.
        estimate = measure_communication(shares, 1.0)
        if known(estimate) and estimate.share:
            busy, rate, unresolved = estimate.share, estimate.rate, 0.0
    return LinkUsage(
        seconds=read_s,
        mean=mean,
        busy=min(1.0, busy),
        unresolved=min(1.0, unresolved),
        at=min(1.0, times.at / read_s),
        near=min(1.0, times.near / read_s),
        most=min(1.0, times.most / read_s),
        level=rate,
        tx=tx / inner_s,
        rx=rx / inner_s,
    )


def _volume(seconds: Sequence[float], shares: Sequence[float], a: int, b: int) -> float:
    """Return what a burst moved, with the readings beside it, in seconds at NCCL max."""
    reach = slice(max(0, a - 1), b + 1)
    return math.fsum(map(mul, seconds[reach], shares[reach]))


def _resolve(
    seconds: Sequence[float], shares: Sequence[float], a: int, b: int, low: float, times: _Sum
) -> float:
    """Add up a burst of three readings or more; returns the rate at which it moved most.

    `low` is what flows between the bursts.
    """
    near = times.bounds.near
    inner = shares[a + 1 : b - 1]
    least, most = min(inner), max(inner)
    # Nearly all bursts are either at the limit or steady, and are added up as a whole.
    if least >= times.bounds.at or (b - a < LONG and most < near and most - least <= STEADY * most):
        times.take(math.fsum(seconds[a + 1 : b - 1]), least)
    else:
        steady = _steady(inner, min(1.0, READING_S / (math.fsum(seconds[a:b]) / (b - a))))
        for i, is_steady in enumerate(steady, start=a + 1):
            rate, span_s = shares[i], seconds[i]
            if rate >= near or is_steady:
                times.take(span_s, rate)
                continue
            left = shares[i - 1] if i > a + 1 and steady[i - a - 2] else 0.0
            right = shares[i + 1] if i < b - 2 and steady[i - a] else 0.0
            beside = max(shares[i - 1], shares[i + 1])
            beside = beside if beside >= near else max(left, right)
            if beside > rate:
                # A pause shorter than a reading.
                times.take(span_s * rate / beside, beside)
            else:
                times.doubt(span_s * rate, span_s)
    for i, beside in ((a, inner[0]), (b - 1, inner[-1])):
        # The burst begins or ends within this reading, at the rate that the next one shows.
        rate, span_s = shares[i], seconds[i]
        times.take(span_s * min(1.0, rate / beside), max(rate, beside))
    for i, beside in ((a - 1, inner[0]), (b, inner[-1])):
        # Or so late or early in the one beside it that this hardly shows.
        if 0 <= i < len(shares) and shares[i] > low:
            times.take(seconds[i] * min(1.0, (shares[i] - low) / beside), beside)
    return math.fsum(map(mul, inner, inner)) / sum(inner)


def _steady(rates: Sequence[float], strictness: float) -> list[bool]:
    """Say which readings belong to a stretch of a steady rate.

    Fast bursts beat with the readings, so that a few of these may look alike: of traffic that goes on for
    long, a stretch must be longer to count. And the longer the readings, the more they even out: what may
    differ is multiplied by `strictness`.
    """
    needed = FEW
    if len(rates) >= LONG:
        top = sorted(rates)[-1 - len(rates) // 10]
        alike = [abs(rate - top) <= strictness * VERY_STEADY * top for rate in rates]
        if sum(alike) >= MOSTLY * len(rates):
            return alike
        needed = STRETCH
    found = [False] * len(rates)
    begin = 0
    while begin < len(rates):
        end, least, most = begin + 1, rates[begin], rates[begin]
        while end < len(rates):
            least, most = min(least, rates[end]), max(most, rates[end])
            if most - least > strictness * STEADY * most:
                break
            end += 1
        if end - begin >= needed:
            found[begin:end] = [True] * (end - begin)
            begin = end
        else:
            begin += 1
    return found


def _estimate(
    seconds: Sequence[float],
    shares: Sequence[float],
    a: int,
    b: int,
    kinds: Sequence[tuple[float, float]],
    times: _Sum,
) -> None:
    """Add up a burst of one or two readings: at the rate of longer ones of its kind, if there are any."""
    volume = _volume(seconds, shares, a, b)
    alike = [rate for moved, rate in kinds if abs(moved - volume) <= SIMILAR * volume]
    if alike:
        rate = median(alike)
        times.take(min(sum(seconds[max(0, a - 1) : b + 1]), volume / rate), rate)
        return
    for i in range(a, b):
        if shares[i] >= times.bounds.near:
            times.take(seconds[i], shares[i])
        else:
            times.doubt(seconds[i] * shares[i], seconds[i])
