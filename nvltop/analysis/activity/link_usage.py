"""How long the links of a GPU carry traffic and how long they are at their limit, as lower and upper bounds.

Pure. A reading is a mean value, so a burst that does not fill a reading may have had any rate. A burst of
three readings or more is resolved: its inner readings show its rate. For any other burst only bounds are
known: the time at the limit is at least 0, and at most its volume divided by the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from operator import mul
from typing import Final

from nvltop.analysis.activity.bursts import SILENCE_SHARE, base_level, burst_level, ranges_above
from nvltop.analysis.activity.communication import measure_communication
from nvltop.analysis.activity.traffic_series import MIN_READ_SHARE, TOO_MANY_GAPS
from nvltop.analysis.activity.usage_trace import LimitBounds, UsageSpans
from nvltop.analysis.nan import has_nan
from nvltop.frozen import frozen, mutable
from nvltop.median import median
from nvltop.model import Maybe, known

MIN_TRAFFIC_SHARE: Final = 0.004
"""Share of NCCL max below which there is no traffic."""
MAX_STEADY_SPREAD: Final = 0.06
"""Spread of consecutive readings, over the highest, below which their rate is steady."""
FULL_SPREAD_READING_S: Final = 0.5
"""Length of a reading above which a smaller spread is allowed, seconds."""
MAX_COMMON_SPREAD: Final = 0.025
"""Distance from the highest rate of a long burst, as a share of it, below which readings share that rate."""
MIN_STEADY: Final = 2
"""Number of consecutive similar readings that make a steady rate."""
MIN_STEADY_LONG: Final = 8
"""Number of consecutive similar readings that make a steady rate in a long burst."""
LONG_BURST: Final = 12
"""Number of readings from which a burst is long."""
MIN_COMMON_SHARE: Final = 0.6
"""Share of the readings of a long burst with the same rate above which the others only contain pauses."""
SIMILAR_VOLUME: Final = 0.25
"""Relative difference of volumes below which two bursts are of the same kind."""
MOST_OF_LEVEL: Final = 0.75
"""Share of the burst level above which a reading is filled by a burst."""
MIN_FILLED: Final = 2.0
"""Number of consecutive readings that a burst must fill, on the mean, so that all bursts show their rate."""
MIN_RESOLVED: Final = 3
"""Number of readings that a burst must touch so that one of them lies completely inside it."""
MIN_UNRESOLVED: Final = 0.01
"""Share of the time in unresolved bursts up to which they have the rate of the others: one at the edge of the
window."""


@frozen
class LinkUsage:
    """The use of one GPU's links over a window; times are shares of the window."""

    seconds: float
    """Length of the window that was read."""
    mean: float
    """Mean rate, as a share of NCCL max."""
    busy: float
    """Share of the time with traffic; an upper bound for unresolved bursts."""
    unresolved: float
    """Share of the time in unresolved bursts."""
    at_ring_limit: float
    """Share of the time at the limit of a ring, lower bound."""
    at_limit: float
    """Share of the time at the limit, lower bound."""
    at_limit_most: float
    """Share of the time at the limit, upper bound."""
    level: float
    """Mean rate while there is traffic, as a share of NCCL max; a lower bound for unresolved bursts."""
    gpu_rate: float
    """Bytes/s over all links of the GPU in the busier direction at that level."""
    sent: float
    """Mean TX over the sum of mean TX and RX, all readings alike."""
    balance: float
    """Mean rate of the direction with less, over that of the other; 1 without traffic."""
    contrast: float
    """Mean rate weighted by the data moved, as a share of NCCL max; lower if readings are longer."""
    burst_readings: float
    """Median number of consecutive readings with most of that rate."""
    reading_s: float
    """Mean length of the readings, seconds."""


@mutable
class _BurstTimes:
    """Sums of seconds over bursts; unless stated otherwise, the fields are as in `LinkUsage`."""

    bounds: LimitBounds
    at_ring_limit: float = 0.0
    at_limit: float = 0.0
    at_limit_most: float = 0.0
    known: float = 0.0
    """Seconds at a known rate."""
    unresolved: float = 0.0
    moved: float = 0.0
    """Volume at known rates, in seconds at NCCL max."""
    moved_unresolved: float = 0.0
    """Volume of unresolved bursts, in seconds at NCCL max."""

    def add_known(self, seconds: float, rate: float, moved: float | None = None) -> None:
        """Add `seconds` at a known rate or above, in which `moved` was moved if not all were at that rate."""
        self.known += seconds
        self.moved += seconds * rate if moved is None else moved
        if rate >= self.bounds.limit:
            self.at_limit += seconds
            self.at_limit_most += seconds
            if rate >= self.bounds.ring_limit:
                self.at_ring_limit += seconds

    def add_unresolved(self, moved: float, seconds: float) -> None:
        """Add a burst of unknown rate and volume `moved` within `seconds`; its mean is below the limit."""
        self.at_limit_most += moved / self.bounds.limit
        self.unresolved += seconds
        self.moved_unresolved += moved

    def add_all_unresolved(self, rates: Sequence[float], seconds: Sequence[float]) -> None:
        """Add consecutive readings of bursts of unknown rate; `rates` are their means, below the limit."""
        moved = list(map(mul, seconds, rates))
        self.at_limit_most = sum([volume / self.bounds.limit for volume in moved], self.at_limit_most)
        self.unresolved = sum(seconds, self.unresolved)
        self.moved_unresolved = sum(moved, self.moved_unresolved)

    def busy_and_level(self, read_s: float) -> tuple[float, float]:
        """Return the seconds with traffic, and the mean rate meanwhile."""
        if self.known and self.unresolved <= MIN_UNRESOLVED * read_s:
            level = self.moved / self.known
            return self.known + self.moved_unresolved / level, level
        busy_s = self.known + self.unresolved
        return busy_s, (self.moved + self.moved_unresolved) / busy_s


def measure_usage(spans: UsageSpans, bounds: LimitBounds) -> Maybe[LinkUsage]:
    """Return the link usage of one GPU over the spans of a window."""
    seconds = spans.seconds
    read_s, total_s = sum(spans.read_s), sum(seconds)
    if not seconds or read_s < MIN_READ_SHARE * total_s:
        return TOO_MANY_GAPS
    shares, tx, rx = _without_gaps(spans)
    volume = sum(map(mul, seconds, shares))
    mean, reading_s = volume / read_s, total_s / len(seconds)
    if max(shares) <= MIN_TRAFFIC_SHARE:
        return _usage_without_traffic(read_s, mean, mean / bounds.limit, reading_s)
    high = burst_level(shares)
    times = _add_bursts(seconds, shares, high, bounds)
    busy_s, level = times.busy_and_level(read_s)
    busy, unresolved = busy_s / read_s, times.unresolved / read_s
    filled = [b - a for a, b in ranges_above(shares, MOST_OF_LEVEL * high)]
    if sum(filled) / len(filled) < MIN_FILLED and max(shares) >= bounds.limit:
        # Some bursts reach the limit, and their readings do not show that the others do not.
        times.at_limit_most = max(times.at_limit_most, mean * read_s / bounds.limit)
    if unresolved > MIN_UNRESOLVED:
        # Similar bursts still show their length if some of them fill a reading.
        estimate = measure_communication(spans.shares, 1.0)
        if known(estimate) and estimate.share:
            busy, level, unresolved = estimate.share, estimate.rate, 0.0
    sent, received, gpu_limit = sum(tx), sum(rx), spans.gpu_limit
    if gpu_limit != gpu_limit:
        gpu_limit = sum(map(mul, seconds, map(max, tx, rx))) / volume
    return LinkUsage(
        seconds=read_s,
        mean=mean,
        busy=min(1.0, busy),
        unresolved=min(1.0, unresolved),
        at_ring_limit=min(1.0, times.at_ring_limit / read_s),
        at_limit=min(1.0, times.at_limit / read_s),
        at_limit_most=min(1.0, times.at_limit_most / read_s),
        level=level,
        gpu_rate=level * gpu_limit,
        sent=sent / (sent + received),
        balance=min(sent, received) / max(sent, received),
        contrast=high,
        burst_readings=median(filled),
        reading_s=reading_s,
    )


def _usage_without_traffic(seconds: float, mean: float, at_limit_most: float, reading_s: float) -> LinkUsage:
    """Return the usage of links that carried next to nothing; the arguments are fields of it."""
    return LinkUsage(
        seconds=seconds,
        mean=mean,
        busy=0.0,
        unresolved=0.0,
        at_ring_limit=0.0,
        at_limit=0.0,
        at_limit_most=at_limit_most,
        level=0.0,
        gpu_rate=0.0,
        sent=0.5,
        balance=1.0,
        contrast=mean,
        burst_readings=0.0,
        reading_s=reading_s,
    )


def _without_gaps(spans: UsageSpans) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    """Return the shares, and TX and RX, with 0 for the spans that were not read."""
    shares, columns = spans.shares, (spans.shares, spans.tx, spans.rx)
    if not has_nan(shares):
        return columns
    filled, tx, rx = (
        [v if share == share else 0.0 for v, share in zip(column, shares, strict=True)] for column in columns
    )
    return filled, tx, rx


def _add_bursts(
    seconds: Sequence[float], shares: Sequence[float], high: float, bounds: LimitBounds
) -> _BurstTimes:
    """Return the sums over all bursts; `high` is their level."""
    low = base_level(shares)
    found = ranges_above(shares, max(SILENCE_SHARE * high, MIN_TRAFFIC_SHARE))
    resolved = [(a, b) for a, b in found if b - a >= MIN_RESOLVED]
    short = [(a, b) for a, b in found if b - a < MIN_RESOLVED]
    times = _BurstTimes(bounds)
    for a, b in resolved:
        _add_resolved(seconds, shares, a, b, low, times)
    if not short:
        return times
    moved = list(map(mul, seconds, shares))
    volumes = [_volume(moved, a, b) for a, b in resolved]
    for a, b in short:
        volume = _volume(moved, a, b)
        alike = [
            burst_level(shares[c + 1 : d - 1])
            for (c, d), other in zip(resolved, volumes, strict=True)
            if abs(other - volume) <= SIMILAR_VOLUME * volume
        ]
        _add_short(seconds, shares, a, b, volume, alike, times)
    return times


def _volume(moved: Sequence[float], a: int, b: int) -> float:
    """Return the volume of a burst including the adjacent readings, in seconds at NCCL max."""
    return sum(moved[max(0, a - 1) : b + 1])


def _add_resolved(
    seconds: Sequence[float], shares: Sequence[float], a: int, b: int, low: float, times: _BurstTimes
) -> None:
    """Add a burst of three readings or more to `times`; `low` is the rate between the bursts."""
    limit, ring_limit = times.bounds.limit, times.bounds.ring_limit
    inner = shares[a + 1 : b - 1]
    least, most = min(inner), max(inner)
    # The usual case: all inner readings count alike, and are added at once.
    if (least >= limit and (least >= ring_limit or most < ring_limit)) or (
        b - a < LONG_BURST and most < limit and most - least <= MAX_STEADY_SPREAD * most
    ):
        inner_s = seconds[a + 1 : b - 1]
        times.add_known(sum(inner_s), least, sum(map(mul, inner_s, inner)))
    else:
        steady = _steady_readings(inner, min(1.0, FULL_SPREAD_READING_S / (sum(seconds[a:b]) / (b - a))))
        _add_unlike(seconds, shares, a, b, steady, times)
    for i, outside, beside in ((a, a - 1, inner[0]), (b - 1, b, inner[-1])):
        # The burst begins or ends within this reading, and has the rate of the adjacent inner reading.
        rate, span_s = shares[i], seconds[i]
        if rate > beside:
            times.add_known(span_s, rate)
            span_s = 0.0
        filled_s = span_s * rate / beside
        # It may also have begun or ended just inside the reading before or after.
        if 0 <= outside < len(shares) and shares[outside] > low:
            filled_s += seconds[outside] * min(1.0, (shares[outside] - low) / beside)
        times.add_known(filled_s, beside)


def _add_unlike(
    seconds: Sequence[float],
    shares: Sequence[float],
    a: int,
    b: int,
    steady: Sequence[bool],
    times: _BurstTimes,
) -> None:
    """Add the inner readings of a burst that do not count alike, unless none of them shows a rate."""
    limit = times.bounds.limit
    if max(shares[a:b]) < limit and not any(steady):
        times.add_all_unresolved(shares[a + 1 : b - 1], seconds[a + 1 : b - 1])
        return
    for i, is_steady in enumerate(steady, start=a + 1):
        rate, span_s = shares[i], seconds[i]
        if rate >= limit or is_steady:
            times.add_known(span_s, rate)
            continue
        left, right = shares[i - 1], shares[i + 1]
        if left < limit and right < limit:
            left = left if i > a + 1 and steady[i - a - 2] else 0.0
            right = right if i < b - 2 and steady[i - a] else 0.0
        beside = left if left > right else right
        if beside > rate:
            # The reading contains a pause that is shorter than the reading.
            times.add_known(span_s * rate / beside, beside)
        else:
            times.add_unresolved(span_s * rate, span_s)


def _steady_readings(rates: Sequence[float], strictness: float) -> list[bool]:
    """Return for each reading whether it belongs to a run of readings with a steady rate.

    Bursts faster than the readings make some consecutive readings similar by chance. In a long burst the run
    must therefore be longer. Long readings average more, so the allowed spread is multiplied by `strictness`.
    """
    needed, spread = MIN_STEADY, strictness * MAX_STEADY_SPREAD
    found = [False] * len(rates)
    if len(rates) >= LONG_BURST:
        ranked = sorted(rates)
        top = ranked[-1 - len(rates) // 10]
        margin = strictness * MAX_COMMON_SPREAD * top
        # Most of the readings can only be alike if the lowest one of the highest `MIN_COMMON_SHARE` is.
        if ranked[-ceil(MIN_COMMON_SHARE * len(rates))] - top >= -margin:
            alike = [abs(rate - top) <= margin for rate in rates]
            if sum(alike) >= MIN_COMMON_SHARE * len(rates):
                return alike
        needed = MIN_STEADY_LONG
        if not _may_be_steady(rates, spread, needed):
            return found
    begin = 0
    while begin < len(rates):
        end, least, most = begin + 1, rates[begin], rates[begin]
        while end < len(rates):
            rate = rates[end]
            least, most = (rate if rate < least else least), (rate if rate > most else most)
            if most - least > spread * most:
                break
            end += 1
        if end - begin >= needed:
            found[begin:end] = [True] * (end - begin)
            begin = end
        else:
            begin += 1
    return found


def _may_be_steady(rates: Sequence[float], spread: float, needed: int) -> bool:
    """Return whether a run of `needed` rates may be within a relative `spread`.

    Such a run contains one of every `needed` rates, so that the others need not be looked at one by one.
    """
    for middle in range(needed - 1, len(rates), needed):
        rate = rates[middle]
        begin, end = middle, middle + 1
        while begin > 0 and _alike(rates[begin - 1], rate, spread):
            begin -= 1
        while end < len(rates) and _alike(rates[end], rate, spread):
            end += 1
        if end - begin >= needed:
            return True
    return False


def _alike(a: float, b: float, spread: float) -> bool:
    """Return whether two rates are within a relative `spread`."""
    return abs(a - b) <= spread * (a if a > b else b)


def _add_short(
    seconds: Sequence[float],
    shares: Sequence[float],
    a: int,
    b: int,
    volume: float,
    alike: Sequence[float],
    times: _BurstTimes,
) -> None:
    """Add a burst of one or two readings to `times`; `alike` are the rates of resolved ones of its volume."""
    if alike:
        rate = median(alike)
        times.add_known(min(sum(seconds[max(0, a - 1) : b + 1]), volume / rate), rate)
        return
    for i in range(a, b):
        if shares[i] >= times.bounds.limit:
            times.add_known(seconds[i], shares[i])
        else:
            times.add_unresolved(seconds[i] * shares[i], seconds[i])
