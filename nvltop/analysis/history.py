"""What was drawn a while ago: rates per second of every GPU and link, in bounded memory.

Memory: `SECONDS` floats per series; a DGX H100 has 304 series, about 0.4 MB.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Final

from nvltop.model import Frame, Maybe, known

SECONDS: Final = 300

Key = tuple[str, "int | None", str]
"""(GPU UUID, link index or None for the GPU as a whole, `tx`, `rx`, `pcie_tx` or `pcie_rx`)."""


@dataclass(slots=True)
class _Series:
    """Mean of each time-aligned second; a second's integral is spread from the spans that cross it."""

    sums: array[float] = field(default_factory=lambda: array("f", bytes(4 * SECONDS)))
    spans: array[float] = field(default_factory=lambda: array("f", bytes(4 * SECONDS)))
    newest: int = 0

    def add(self, start_s: float, end_s: float, rate: float) -> None:
        start_s = max(start_s, end_s - SECONDS + 1)
        bucket = int(start_s)
        while bucket < end_s:
            seconds = min(end_s, bucket + 1) - max(start_s, bucket)
            if seconds > 0:
                self._forget_up_to(bucket)
                i = bucket % SECONDS
                self.sums[i] += rate * seconds
                self.spans[i] += seconds
            bucket += 1

    def _forget_up_to(self, bucket: int) -> None:
        for b in range(max(self.newest + 1, bucket - SECONDS + 1), bucket + 1):
            self.sums[b % SECONDS] = self.spans[b % SECONDS] = 0.0
        self.newest = max(self.newest, bucket)

    def tail(self, newest: int, count: int) -> list[float]:
        self._forget_up_to(newest)
        out = []
        for b in range(newest - count + 1, newest + 1):
            span = self.spans[b % SECONDS] if newest - b < SECONDS and b >= 0 else 0.0
            out.append(self.sums[b % SECONDS] / span if span > 0 else math.nan)
        return out


class History:
    """Series of rates, by key, in buckets of one second of the monotonic clock."""

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

    def _put(self, key: Key, start_s: float, end_s: float, rate: Maybe[float]) -> None:
        if known(rate) and end_s > start_s:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series()
            series.add(start_s, end_s, rate)

    def tail(self, key: Key, count: int) -> list[float]:
        """Return the last `count` seconds in bytes/s, oldest first; NaN where nothing is known."""
        series = self._series.get(key)
        return series.tail(self.bucket, count) if series else [math.nan] * count
