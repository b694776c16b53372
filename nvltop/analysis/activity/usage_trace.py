"""The NVLink traffic of one GPU over the last two minutes, span by span, as a share of NCCL max.

Shares are those of the most used links and the busier direction. On boards without NVSwitches the links to
each remote GPU are a limit of their own: a ring may fill two of twelve links while the GPU's mean is low.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple

from nvltop.analysis.activity.traffic_series import PeerTraffic, TrafficSpan

HISTORY_S: Final = 130.0
"""Length of the trace, seconds: two periods of the longest step (60 s), and some slack."""

TRIM_SPANS: Final = 64
"""Number of spans after which old spans are removed."""


class LimitBounds(NamedTuple):
    """Shares of NCCL max above which links are at their limit; see `limit_bounds`."""

    near: float
    """Share above which links are at or near their limit."""
    at: float
    """Share above which links are at the limit of a ring."""
    nvls: float
    """Share that an NVLS all-reduce reaches; 0 on boards without NVLS."""


class UsageSpans(NamedTuple):
    """Consecutive spans as columns, oldest first; shares are NaN where unknown."""

    starts_s: list[float]
    seconds: list[float]
    shares: list[float]
    """Shares of NCCL max of the busier direction of the most used links."""
    tx: list[float]
    """Bytes/s sent over all links of the GPU."""
    rx: list[float]
    """Bytes/s received over all links of the GPU."""


class UsageTrace:
    """The spans of one GPU, newest last."""

    __slots__ = ("_pending_s", "_spans", "at_limit_s", "newest_s", "oldest_s", "remotes")

    def __init__(self) -> None:
        self._spans = UsageSpans([], [], [], [], [])
        self.at_limit_s = 0.0
        """Seconds at or near the limit since the start of the monitor."""
        self.newest_s = self.oldest_s = -math.inf
        """End of the newest span, and start of the oldest one (CLOCK_MONOTONIC)."""
        self.remotes: dict[str, float] = {}
        """Share of NCCL max of the links to each remote GPU, smoothed over about a minute.

        Empty behind NVSwitches.
        """
        self._pending_s = 0.0
        """Length of the newest span if no part of it is counted as at the limit; else 0."""

    def add(self, span: TrafficSpan, practical: float, ceiling: float, near: float) -> None:
        """Add a span; `practical` is NCCL max of all links in bytes/s, `ceiling` its share of the speed."""
        seconds = span.end_s - span.start_s
        if seconds <= 0 or practical <= 0:
            return
        share = max(span.tx_bytes_per_s, span.rx_bytes_per_s) / practical
        for peer in span.peers:
            share = max(share, self._add_peer(peer, seconds, ceiling))
        if share != share or span.rx_bytes_per_s != span.rx_bytes_per_s:
            share = math.nan
        spans = self._spans
        if not spans.starts_s:
            self.oldest_s = span.start_s
        self._count(seconds, share, near)
        values = (span.start_s, seconds, share, span.tx_bytes_per_s, span.rx_bytes_per_s)
        for column, value in zip(spans, values, strict=True):
            column.append(value)
        self.newest_s = span.end_s
        if len(spans.starts_s) % TRIM_SPANS == 0:
            old = bisect_left(spans.starts_s, span.end_s - HISTORY_S)
            for column in spans:
                del column[:old]

    def _add_peer(self, peer: PeerTraffic, seconds: float, ceiling: float) -> float:
        """Add the traffic to one remote GPU, and return its share of NCCL max on these links."""
        practical = peer.speed_bytes_per_s * ceiling
        share = max(peer.tx_bytes_per_s, peer.rx_bytes_per_s) / practical if practical > 0 else 0.0
        if share != share:
            return 0.0
        before = self.remotes.get(peer.remote, 0.0)
        self.remotes[peer.remote] = before + min(1.0, seconds / 60.0) * (share - before)
        return share

    def _count(self, seconds: float, share: float, near: float) -> None:
        """Add to the seconds at the limit.

        A span next to one at the limit contains the edge of a burst, and counts in part.
        """
        before = self._spans.shares[-1] if self._spans.shares else 0.0
        if share >= near:
            self.at_limit_s += seconds
            if self._pending_s and before == before:
                self.at_limit_s += self._pending_s * min(1.0, before / share)
            self._pending_s = 0.0
        elif before >= near and share == share:
            self.at_limit_s += seconds * min(1.0, share / before)
            self._pending_s = 0.0
        else:
            self._pending_s = seconds

    def between(self, start_s: float, end_s: float) -> UsageSpans:
        """Return the spans whose centre lies between two times."""
        spans = self._spans
        starts_s, seconds = spans.starts_s, spans.seconds
        first, last = bisect_left(starts_s, start_s), bisect_left(starts_s, end_s)
        if first and starts_s[first - 1] + seconds[first - 1] / 2 >= start_s:
            first -= 1
        while last > first and starts_s[last - 1] + seconds[last - 1] / 2 > end_s:
            last -= 1
        return UsageSpans(*(column[first:last] for column in spans))

    @property
    def remote(self) -> str | None:
        """UUID of the GPU at the other end of the most used links; None behind NVSwitches."""
        return max(self.remotes, key=self.remotes.__getitem__, default=None)


def mean_between(spans: UsageSpans, start_s: float, end_s: float) -> float:
    """Return the mean share between two times; NaN if less than 90 % of the time was read."""
    i = bisect_right(spans.starts_s, start_s) - 1
    total = covered = 0.0
    while 0 <= i < len(spans.starts_s) and spans.starts_s[i] < end_s:
        begin = spans.starts_s[i]
        seconds = min(end_s, begin + spans.seconds[i]) - max(start_s, begin)
        if seconds > 0:
            total += spans.shares[i] * seconds
            covered += seconds
        i += 1
    return total / covered if covered >= 0.9 * (end_s - start_s) else math.nan
