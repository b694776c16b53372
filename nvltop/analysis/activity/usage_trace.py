"""The NVLink traffic of one GPU over the last 90 seconds, span by span, as a share of NCCL max.

Shares are those of the most used links and the busier direction. On boards without NVSwitches the links to
each remote GPU are a limit of their own: a ring may fill two of twelve links while the GPU's mean is low.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

from nvltop.analysis.activity.traffic_series import MIN_READ_SHARE, PeerTraffic, TrafficSpan
from nvltop.analysis.nan import has_nan
from nvltop.analysis.rates import MIN_GAP_S

HISTORY_S: Final = 90.0
"""Length of the trace, seconds: the longest window of whole steps (two of 40 s), and some slack."""

TRIM_SPANS: Final = 64
"""Number of spans after which old spans are removed."""


class LimitBounds(NamedTuple):
    """Shares of NCCL max above which links are at their limit; see `limit_bounds`."""

    limit: float
    """Share above which links count as at their limit."""
    ring_limit: float
    """Share above which links are at the limit of a ring."""
    nvls_rate: float
    """Share that an NVLS all-reduce reaches; 0 on boards without NVLS."""


class UsageSpans(NamedTuple):
    """Consecutive spans as columns, oldest first; shares are NaN where unknown."""

    gpu_limit: float
    """Rate of all links of the GPU that a share of 1 stands for, bytes/s; NaN if it stands for some links."""
    seconds: list[float]
    shares: list[float]
    """Shares of NCCL max of the busier direction of the most used links."""
    tx: list[float]
    """Bytes/s sent over all links of the GPU."""
    rx: list[float]
    """Bytes/s received over all links of the GPU."""

    @property
    def read_s(self) -> list[float]:
        """Return the lengths of the spans that were read, seconds."""
        if not has_nan(self.shares):
            return self.seconds
        return [s for s, share in zip(self.seconds, self.shares, strict=True) if share == share]


class NewTraffic(NamedTuple):
    """The traffic of a GPU in a short time, such as since the last evaluation."""

    first_s: float
    """Start of the first span with traffic (CLOCK_MONOTONIC); infinite without traffic."""
    last_s: float
    """End of the last span with traffic; minus infinity without traffic."""
    volume_s: float
    """Volume of all spans, in seconds at NCCL max."""


class UsageTrace:
    """The spans of one GPU, newest last, in packed columns."""

    __slots__ = (
        "_limits",
        "_pending_s",
        "_rx",
        "_seconds",
        "_shares",
        "_starts_s",
        "_tx",
        "at_limit_s",
        "gpu_limit",
        "newest_s",
        "oldest_s",
        "read_s",
        "remotes",
        "resumed_s",
    )

    def __init__(self) -> None:
        self._starts_s, self._seconds, self._shares = array("d"), array("d"), array("d")
        self._tx, self._rx = array("f"), array("f")
        self.at_limit_s = 0.0
        """Seconds at the limit since the start of the monitor."""
        self.newest_s = self.oldest_s = -math.inf
        """End of the newest span, and start of the oldest one (CLOCK_MONOTONIC)."""
        self.read_s = self.resumed_s = -math.inf
        """End of the newest span that was read, and start of the first one after a long time without any."""
        self.remotes: dict[str, float] = {}
        """Share of NCCL max of the links to each remote GPU, smoothed over about a minute.

        Empty behind NVSwitches.
        """
        self.gpu_limit = 0.0
        """Rate of all links of the GPU in one direction that a share of 1 stands for, bytes/s."""
        self._limits: dict[str, float] = {}
        """Rate in one direction that a share of 1 stands for, bytes/s, of the links to each remote GPU."""
        self._pending_s = 0.0
        """Length of the newest span if no part of it is counted as at the limit; else 0."""

    def add(self, span: TrafficSpan, practical: float, ceiling: float, limit: float) -> None:
        """Add a span; `practical` is NCCL max of all links in bytes/s, `ceiling` its share of the speed."""
        seconds = span.end_s - span.start_s
        if seconds <= 0 or practical <= 0:
            return
        self.gpu_limit = practical
        tx, rx = span.tx_bytes_per_s, span.rx_bytes_per_s
        share = (rx if rx > tx else tx) / practical
        for peer in span.peers:
            share = max(share, self._add_peer(peer, seconds, ceiling))
        if share != share or rx != rx:
            share = math.nan
        if share == share:
            if span.start_s - self.read_s > MIN_GAP_S:
                self.resumed_s = span.start_s
            self.read_s = span.end_s
        if not self._starts_s:
            self.oldest_s = span.start_s
        self._count(seconds, share, limit)
        self._starts_s.append(span.start_s)
        self._seconds.append(seconds)
        self._shares.append(share)
        self._tx.append(tx)
        self._rx.append(rx)
        self.newest_s = span.end_s
        if len(self._starts_s) % TRIM_SPANS == 0:
            old = bisect_left(self._starts_s, span.end_s - HISTORY_S)
            for column in (self._starts_s, self._seconds, self._shares, self._tx, self._rx):
                del column[:old]

    def _add_peer(self, peer: PeerTraffic, seconds: float, ceiling: float) -> float:
        """Add the traffic to one remote GPU, and return its share of NCCL max on these links."""
        practical = peer.speed_bytes_per_s * ceiling
        share = max(peer.tx_bytes_per_s, peer.rx_bytes_per_s) / practical if practical > 0 else 0.0
        if share != share:
            return 0.0
        self._limits[peer.remote] = practical
        before = self.remotes.get(peer.remote, 0.0)
        self.remotes[peer.remote] = before + min(1.0, seconds / 60.0) * (share - before)
        return share

    def _count(self, seconds: float, share: float, limit: float) -> None:
        """Add to the seconds at the limit.

        A span next to one at the limit contains the edge of a burst, and counts in part.
        """
        before = self._shares[-1] if self._shares else 0.0
        if share >= limit:
            self.at_limit_s += seconds
            if self._pending_s and before == before:
                self.at_limit_s += self._pending_s * min(1.0, before / share)
            self._pending_s = 0.0
        elif before >= limit and share == share:
            self.at_limit_s += seconds * min(1.0, share / before)
            self._pending_s = 0.0
        else:
            self._pending_s = seconds

    def _indices(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Return the indices of the first span whose centre lies between two times, and after the last."""
        starts_s, seconds = self._starts_s, self._seconds
        first, last = bisect_left(starts_s, start_s), bisect_left(starts_s, end_s)
        if first and starts_s[first - 1] + seconds[first - 1] / 2 >= start_s:
            first -= 1
        while last > first and starts_s[last - 1] + seconds[last - 1] / 2 > end_s:
            last -= 1
        return first, last

    def between(self, start_s: float, end_s: float) -> UsageSpans:
        """Return the spans whose centre lies between two times."""
        first, last = self._indices(start_s, end_s)
        columns = (self._seconds, self._shares, self._tx, self._rx)
        limit = math.nan if self.remotes else self.gpu_limit
        return UsageSpans(limit, *(column[first:last].tolist() for column in columns))

    def traffic_between(self, start_s: float, end_s: float, threshold: float) -> NewTraffic:
        """Return the traffic between two times; spans with a share up to `threshold` are without traffic."""
        first_s, last_s, volume_s = math.inf, -math.inf, 0.0
        for i in range(*self._indices(start_s, end_s)):
            share, seconds = self._shares[i], self._seconds[i]
            if share == share:
                volume_s += share * seconds
            if share > threshold:
                begin_s = self._starts_s[i]
                first_s, last_s = (begin_s if begin_s < first_s else first_s), begin_s + seconds
        return NewTraffic(first_s, last_s, volume_s)

    def mean_share(self, start_s: float, end_s: float) -> float:
        """Return the mean share between two times; NaN if less than 90 % of the time was read."""
        starts_s, seconds = self._starts_s, self._seconds
        i, count = bisect_right(starts_s, start_s) - 1, len(starts_s)
        total = covered = 0.0
        while 0 <= i < count and (begin_s := starts_s[i]) < end_s:
            until_s = begin_s + seconds[i]
            shared_s = (until_s if until_s < end_s else end_s) - (begin_s if begin_s > start_s else start_s)
            if shared_s > 0:
                total += self._shares[i] * shared_s
                covered += shared_s
            i += 1
        return total / covered if covered >= 0.9 * (end_s - start_s) else math.nan

    @property
    def remote(self) -> str | None:
        """UUID of the GPU at the other end of the most used links; None behind NVSwitches."""
        return max(self.remotes, key=self.remotes.__getitem__, default=None)

    @property
    def limit(self) -> float:
        """Rate of the most used links in one direction that a share of 1 stands for, bytes/s."""
        return (
            self._limits[max(self.remotes, key=self.remotes.__getitem__)] if self.remotes else self.gpu_limit
        )


def after_gap(traces: Mapping[str, UsageTrace], start_s: float, end_s: float) -> float:
    """Return the start of a window, after a gap in the readings if too much of the window was not read."""
    resumed_s = min(t.resumed_s for t in traces.values())
    if resumed_s <= start_s:
        return start_s
    read_s = max(sum(t.between(start_s, end_s).read_s) for t in traces.values())
    return start_s if read_s >= MIN_READ_SHARE * (end_s - start_s) else resumed_s
