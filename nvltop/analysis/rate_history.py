"""What was drawn a while ago: rates of every GPU and link, in bounded memory.

Three rings: the last five minutes by the second, the last hour by 15 s, the last day by five minutes.
Series whose values come together share their rings, a bucket being a row of them: so a reading costs
a few list operations a GPU, however many links it has. Memory: 828 floats a series, 3.3 kB; a DGX H100
has 320 series, about 1.1 MB, and no more however long it runs.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

from nvltop.analysis.link_states import by_link
from nvltop.model import Frame, Maybe, Missing

FINE_SECONDS: Final = 300
RINGS: Final = ((1, FINE_SECONDS), (15, 240), (300, 288))
"""Seconds of a bucket and number of buckets, finest first."""

SeriesKey = tuple[str, "int | None", str]
"""(GPU UUID, link index or None for the GPU as a whole, `tx`, `rx`, `pcie_tx` or `pcie_rx`), or for NICs
(device, port, `tx` or `rx`)."""

Span = tuple[float, float]
"""Start and end, CLOCK_MONOTONIC."""


def _kept(value: float) -> float:
    """Return a value as the rings keep it, so that it is drawn alike while its bucket fills and after."""
    return array("f", [value])[0]


class _Buckets:
    """Means of time-aligned buckets, each a row of values; the newest bucket still fills."""

    __slots__ = ("_means", "_size", "_spans", "_sums", "filling", "step", "width")

    def __init__(self, step: int, size: int, width: int) -> None:
        self.step, self._size, self.width = step, size, width
        self._means = array("f", [math.nan]) * (size * width)
        self._sums = [0.0] * width
        self._spans = [0] * width
        """Seconds of which each sum is; less than the bucket's where something is unknown."""
        self.filling = -1
        """Number of the bucket that fills."""

    def add(self, second: int, values: Sequence[float]) -> None:
        """Take the means of the next second, NaN where unknown."""
        bucket = second // self.step
        if bucket > self.filling:
            self._turn(bucket)
        self._sums = [s + v if v == v else s for s, v in zip(self._sums, values, strict=True)]
        self._spans = [t + (v == v) for t, v in zip(self._spans, values, strict=True)]

    def row(self) -> list[float]:
        """Return the means of the bucket that fills."""
        return [s / t if t > 0 else math.nan for s, t in zip(self._sums, self._spans, strict=True)]

    def _turn(self, bucket: int) -> None:
        """Close the bucket that fills, and begin another; those between are unknown."""
        if self.filling >= 0:
            self._put(self.filling, array("f", self.row()))
            nothing = array("f", [math.nan]) * self.width
            for skipped in range(max(self.filling + 1, bucket - self._size + 1), bucket):
                self._put(skipped, nothing)
        self._sums = [0.0] * self.width
        self._spans = [0] * self.width
        self.filling = bucket

    def _put(self, bucket: int, row: array[float]) -> None:
        at = bucket % self._size * self.width
        self._means[at : at + self.width] = row

    def mean(self, bucket: int, column: int) -> float:
        """Return the mean of a bucket, NaN if nothing is known of it."""
        if bucket == self.filling:
            span = self._spans[column]
            return _kept(self._sums[column] / span) if span > 0 else math.nan
        if not 0 < self.filling - bucket < self._size or bucket < 0:
            return math.nan
        return self._means[bucket % self._size * self.width + column]

    def tail(self, column: int, newest: int, count: int) -> list[float]:
        """Return the means of `count` buckets up to the newest, oldest first."""
        oldest, closed = newest - count + 1, min(newest, self.filling - 1)
        if not max(0, self.filling - self._size + 1) <= oldest <= closed:
            return [self.mean(bucket, column) for bucket in range(oldest, newest + 1)]
        first = oldest % self._size * self.width + column
        last = closed % self._size * self.width + column
        if first <= last:
            means = self._means[first : last + 1 : self.width]
        else:
            means = self._means[first :: self.width] + self._means[column : last + 1 : self.width]
        return [*means, *(self.mean(bucket, column) for bucket in range(closed + 1, newest + 1))]


class _SeriesBlock:
    """The rings of series whose values come together, and the second that still fills.

    Spans are added up when their second is over: once for all of them, not each as it comes.
    """

    __slots__ = ("_second", "_spans", "_values", "end_s", "rings", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.rings = tuple(_Buckets(step, size, width) for step, size in RINGS)
        self.end_s = -math.inf
        """Of the last span taken."""
        self._second = -1
        """Number of the second that fills."""
        self._spans: list[float] = []
        """How much of it each span takes that has come."""
        self._values: list[Sequence[float]] = []
        """What held over each of them; NaN where unknown."""

    def add(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        """Spread a span over the seconds that it crosses."""
        self.end_s = end_s
        start_s = max(start_s, end_s - (FINE_SECONDS - 1))
        second = int(start_s)
        while second < end_s:
            seconds = min(end_s, second + 1) - max(start_s, second)
            if seconds > 0:
                if second > self._second:
                    self._close(second)
                if second == self._second:
                    self._spans.append(seconds)
                    self._values.append(values)
            second += 1

    def _close(self, next_second: int) -> None:
        """Give the second that ends to the rings."""
        if self._spans:
            sums, whole_s = [0.0] * self.width, sum(self._spans)
            for values, seconds in zip(self._values, self._spans, strict=True):
                sums = [total + value * seconds for total, value in zip(sums, values, strict=True)]
            # A sum that something unknown went into is not a number.
            row = [total / whole_s if total == total else self._mean(i) for i, total in enumerate(sums)]
            for ring in self.rings:
                ring.add(self._second, row)
        self._second, self._spans, self._values = next_second, [], []

    @property
    def settled(self) -> int:
        """Number of the last second of which nothing more comes."""
        return self._second - 1

    def tail(self, ring: int, column: int, newest: int, count: int) -> list[float]:
        """Return the means of `count` buckets up to the newest, oldest first; seconds may still fill."""
        means = self.rings[ring].tail(column, newest, count)
        back = newest - self._second
        if ring == 0 and 0 <= back < count and self._spans:
            means[-1 - back] = self._mean(column)
        return means

    def _mean(self, column: int) -> float:
        """Return a mean of the second that fills, NaN if nothing is known of it."""
        values = [values[column] for values in self._values]
        held = [(v, s) for v, s in zip(values, self._spans, strict=True) if v == v]
        return _kept(sum(v * s for v, s in held) / sum(s for _, s in held)) if held else math.nan


class RateHistory:
    """Series of rates, by key, in buckets of the monotonic clock."""

    def __init__(self) -> None:
        self.bucket = 0
        """Number of the current second; pictures shift when it changes."""
        self._blocks: dict[tuple[str, str], _SeriesBlock] = {}
        """By GPU and by what is read together: `links` or `pcie`."""
        self._places: dict[SeriesKey, tuple[_SeriesBlock, int]] = {}

    def add(self, frame: Frame) -> None:
        """Take what is new in a frame."""
        self.bucket = max(self.bucket, int(frame.tick.mono_s))
        for gpu in frame.gpus:
            uuid = gpu.gpu.uuid
            for span in gpu.spans:
                if span_s := self._fresh((uuid, "links"), (span.start_s, span.end_s)):
                    tx, rx = by_link(gpu.links, span.rates if len(span.rates) > 2 else ())
                    values = [span.tx_bytes_per_s, *tx, span.rx_bytes_per_s, *rx]
                    self._take((uuid, "links"), (None, *range(len(tx))), ("tx", "rx"), span_s, values)
            if span_s := self._fresh((uuid, "pcie"), gpu.pcie_span_s):
                values = [gpu.pcie.tx_bytes_per_s, gpu.pcie.rx_bytes_per_s]
                self._take((uuid, "pcie"), (None,), ("pcie_tx", "pcie_rx"), span_s, values)
        for nic in frame.nics:
            name = nic.nic.device, f"port {nic.port.port}"
            if span_s := self._fresh(name, nic.span_s):
                values = [nic.tx_bytes_per_s, nic.rx_bytes_per_s]
                self._take(name, (nic.port.port,), ("tx", "rx"), span_s, values)

    def _fresh(self, name: tuple[str, str], span_s: Span | None) -> Span | None:
        """Return a span if it has not been taken yet."""
        block = self._blocks.get(name)
        taken = block is not None and span_s is not None and block.end_s >= span_s[1]
        return None if span_s is None or span_s[1] <= span_s[0] or taken else span_s

    def _take(
        self,
        name: tuple[str, str],
        parts: Sequence[int | None],
        ways: tuple[str, str],
        span_s: Span,
        values: Sequence[Maybe[float]],
    ) -> None:
        """Take what each part moved over a span, one way and then the other."""
        block = self._blocks.get(name)
        if block is None or block.width != len(values):
            block = self._blocks[name] = _SeriesBlock(len(values))
            for column, (way, part) in enumerate((way, part) for way in ways for part in parts):
                self._places[name[0], part, way] = block, column
        block.add(*span_s, [math.nan if isinstance(v, Missing) else v for v in values])

    def second_means(self, key: SeriesKey, newest: int, count: int) -> list[float]:
        """Return the means of `count` seconds up to number `newest` in bytes/s, oldest first.

        NaN where nothing is known.
        """
        return self._tail(key, 0, newest, count)

    def settled(self, key: SeriesKey) -> int:
        """Return the number of the last second whose mean does not change any more."""
        block, _ = self._places.get(key, (None, 0))
        return block.settled if block else -1

    def _tail(self, key: SeriesKey, ring: int, newest: int, count: int) -> list[float]:
        block, column = self._places.get(key, (None, 0))
        return block.tail(ring, column, newest, count) if block else [math.nan] * count

    def sum_over(self, keys: Sequence[SeriesKey], seconds: float) -> tuple[int, list[float]]:
        """Return the sum of some series over the last `seconds`, and how many seconds one value is of.

        Oldest first, without the bucket that still fills; NaN where any of the series is unknown.
        """
        ring = next((i for i, (step, size) in enumerate(RINGS) if step * size >= seconds), len(RINGS) - 1)
        step = RINGS[ring][0]
        count = max(2, min(RINGS[ring][1] - 1, round(seconds / step)))
        newest = self.bucket // step - 1
        sums = [0.0 if keys else math.nan] * count
        for key in keys:
            values = self._tail(key, ring, newest, count)
            sums = [a + b for a, b in zip(sums, values, strict=True)]
        return step, sums
