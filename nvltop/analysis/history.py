"""What was drawn a while ago: rates of every GPU and link, in bounded memory.

Three rings a series: the last five minutes by the second, the last hour by 15 s, the last day by five
minutes. Memory: 828 buckets of two floats, 8 kB a series with all overhead; a DGX H100 has 320 series,
about 2.6 MB, and no more however long it runs.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

from nvltop.model import Frame, Maybe, known

SECONDS: Final = 300
RINGS: Final = ((1, SECONDS), (15, 240), (300, 288))
"""Seconds of a bucket and number of buckets, finest first."""

Key = tuple[str, "int | None", str]
"""(GPU UUID, link index or None for the GPU as a whole, `tx`, `rx`, `pcie_tx` or `pcie_rx`), or for NICs
(device, port, `tx` or `rx`)."""


class _Ring:
    """Mean of each time-aligned bucket; what a span moved is spread over the buckets that it crosses."""

    __slots__ = ("_size", "_spans", "_step", "_sums", "newest")

    def __init__(self, step: int, size: int) -> None:
        self._step, self._size = step, size
        self._sums = array("f", bytes(4 * size))
        self._spans = array("f", bytes(4 * size))
        self.newest = 0

    def add(self, start_s: float, end_s: float, rate: float) -> None:
        step = self._step
        start_s = max(start_s, end_s - (self._size - 1) * step)
        bucket = int(start_s // step)
        while bucket * step < end_s:
            seconds = min(end_s, (bucket + 1) * step) - max(start_s, bucket * step)
            if seconds > 0:
                if bucket > self.newest:
                    self.forget_up_to(bucket)
                i = bucket % self._size
                self._sums[i] += rate * seconds
                self._spans[i] += seconds
            bucket += 1

    def forget_up_to(self, bucket: int) -> None:
        size = self._size
        for b in range(max(self.newest + 1, bucket - size + 1), bucket + 1):
            self._sums[b % size] = self._spans[b % size] = 0.0
        self.newest = max(self.newest, bucket)

    def mean(self, bucket: int) -> float:
        """Return the mean of a bucket, NaN if nothing is known of it."""
        if not 0 <= self.newest - bucket < self._size or bucket < 0:
            return math.nan
        span = self._spans[bucket % self._size]
        return self._sums[bucket % self._size] / span if span > 0 else math.nan

    def tail(self, newest: int, count: int) -> list[float]:
        # Looking changes nothing: a second that a look had ended would never reach the coarser rings.
        return [self.mean(b) for b in range(newest - count + 1, newest + 1)]


class _Series:
    """The rings of one series; a coarser one takes the seconds of the finest as they end."""

    __slots__ = ("rings",)

    def __init__(self) -> None:
        self.rings = tuple(_Ring(step, size) for step, size in RINGS)

    def add(self, start_s: float, end_s: float, rate: float) -> None:
        seconds = self.rings[0]
        before = seconds.newest
        seconds.add(start_s, end_s, rate)
        for second in range(max(before, seconds.newest - SECONDS + 1), seconds.newest):
            mean = seconds.mean(second)
            if mean == mean:
                for ring in self.rings[1:]:
                    ring.add(second, second + 1, mean)


class History:
    """Series of rates, by key, in buckets of the monotonic clock."""

    def __init__(self) -> None:
        self.bucket = 0
        """Number of the current second; pictures shift when it changes."""
        self._series: dict[Key, _Series] = {}
        self._ends: dict[Key, float] = {}

    def add(self, frame: Frame) -> None:
        """Take what is new in a frame."""
        self.bucket = max(self.bucket, int(frame.tick.mono_s))
        for gpu in frame.gpus:
            uuid = gpu.gpu.uuid
            if gpu.span_s:
                start, end = gpu.span_s
                if self._ends.get((uuid, None, "tx")) != end:
                    self._ends[uuid, None, "tx"] = end
                    self._put((uuid, None, "tx"), start, end, gpu.nvlink.tx_bytes_per_s)
                    self._put((uuid, None, "rx"), start, end, gpu.nvlink.rx_bytes_per_s)
                    for link in gpu.links:
                        self._put((uuid, link.index, "tx"), start, end, link.tx_bytes_per_s)
                        self._put((uuid, link.index, "rx"), start, end, link.rx_bytes_per_s)
            if gpu.pcie_span_s and self._ends.get((uuid, None, "pcie")) != gpu.pcie_span_s[1]:
                start, end = gpu.pcie_span_s
                self._ends[uuid, None, "pcie"] = end
                self._put((uuid, None, "pcie_tx"), start, end, gpu.pcie.tx_bytes_per_s)
                self._put((uuid, None, "pcie_rx"), start, end, gpu.pcie.rx_bytes_per_s)

        for nic in frame.nics:
            key = (nic.nic.device, nic.port.port, "tx")
            if nic.span_s and self._ends.get(key) != nic.span_s[1]:
                start, end = nic.span_s
                self._ends[key] = end
                self._put(key, start, end, nic.tx_bytes_per_s)
                self._put((*key[:2], "rx"), start, end, nic.rx_bytes_per_s)

    def _put(self, key: Key, start_s: float, end_s: float, rate: Maybe[float]) -> None:
        if known(rate) and end_s > start_s:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series()
            series.add(start_s, end_s, rate)

    def tail(self, key: Key, count: int) -> list[float]:
        """Return the last `count` seconds in bytes/s, oldest first; NaN where nothing is known."""
        series = self._series.get(key)
        return series.rings[0].tail(self.bucket, count) if series else [math.nan] * count

    def span(self, keys: Sequence[Key], seconds: float) -> tuple[int, list[float]]:
        """Return the sum of some series over the last `seconds`, and how many seconds one value is of.

        Oldest first, without the bucket that still fills; NaN where any of the series is unknown.
        """
        ring = next((i for i, (step, size) in enumerate(RINGS) if step * size >= seconds), len(RINGS) - 1)
        step = RINGS[ring][0]
        count = max(2, min(RINGS[ring][1] - 1, round(seconds / step)))
        newest = self.bucket // step - 1
        sums = [0.0 if keys else math.nan] * count
        for key in keys:
            series = self._series.get(key)
            values = series.rings[ring].tail(newest, count) if series else [math.nan] * count
            sums = [a + b for a, b in zip(sums, values, strict=True)]
        return step, sums
