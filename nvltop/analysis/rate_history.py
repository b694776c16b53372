"""The rates of every GPU, link and NIC port over the last day, in bounded memory.

All readings of the last five minutes are kept as they were read (`RateHistory.readings` and `cell_means`).
Older ones are in buckets: 15 s for an hour, and five minutes for a day. Series that are read together share
their rows of values. A reading therefore costs a few list operations per GPU, however many links the GPU has.
Memory: 528 floats (2.1 kB) per series for the buckets after a day, half of it after an hour, and the
readings, see `recent_readings.py`; a DGX H100 has 320 series, which take about 2.4 MB.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import add
from typing import Final

from nvltop.analysis.link_states import rates_by_link
from nvltop.analysis.nan import all_or_nan
from nvltop.analysis.recent_readings import MAX_VALUES, RECENT_S, Readings, RecentReadings
from nvltop.model import Frame, Maybe

FINE_SECONDS: Final = 300
"""Length of the history with a resolution of one second, seconds."""
RESOLUTIONS: Final = ((1, FINE_SECONDS), (15, 240), (300, 288))
"""Length of a bucket in seconds and number of buckets, finest first; those of one second are not stored."""

ALIGN_SLACK_S: Final = 0.01
"""Time by which cells end before the readings: a reading that is a little early then still fills its cell."""

SeriesKey = tuple[str, "int | None", str]
"""For GPUs: UUID, link index (None for the whole GPU), and `tx`, `rx`, `pcie_tx` or `pcie_rx`.

For NICs: device, port, and `tx` or `rx`.
"""

BlockName = tuple[str, "int | str"]
"""UUID of a GPU and group (`links` or `pcie`), or device and port of a NIC."""
LINKS: Final = ("tx", "rx")
PCIE: Final = ("pcie_tx", "pcie_rx")
"""Names of the two directions in a `SeriesKey`."""

TimeSpan = tuple[float, float]
"""Start and end, CLOCK_MONOTONIC."""


class _Buckets:
    """Time-aligned buckets that are over, each a row of mean values; the newest of them are kept."""

    __slots__ = ("_means", "_size", "bucket_s", "newest", "width")

    def __init__(self, bucket_s: int, size: int, width: int) -> None:
        self.bucket_s, self._size, self.width = bucket_s, size, width
        self._means = array("f")
        self.newest = -1
        """Number of the newest bucket."""

    def store(self, bucket: int, row: Sequence[float]) -> None:
        """Store the means of a later bucket, NaN where unknown; those since the newest one are unknown."""
        skipped = min(bucket - self.newest - 1, self._size) if self._means else 0
        self._means.extend(array("f", [math.nan]) * (skipped * self.width))
        self._means.extend(row)
        del self._means[: max(0, len(self._means) - self._size * self.width)]
        self.newest = bucket

    def means_up_to(self, column: int, newest: int, count: int) -> list[float]:
        """Return the means of the `count` buckets up to `newest`, oldest first, NaN where unknown."""
        means = self._means[column :: self.width]
        oldest, first = self.newest + 1 - len(means), newest + 1 - count
        before = min(count, max(0, oldest - first))
        after = min(count - before, max(0, newest - self.newest))
        stored = means[max(0, first - oldest) : max(0, newest + 1 - oldest)]
        return [*[math.nan] * before, *stored, *[math.nan] * after]


class SeriesBlock:
    """The readings and buckets of series that are read together.

    The readings of a bucket are added up once, when it is over.
    """

    __slots__ = ("_current", "_moved", "_read_s", "buckets", "end_s", "recent", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.recent = RecentReadings(width, MAX_VALUES // width)
        self.buckets = tuple(_Buckets(bucket_s, size, width) for bucket_s, size in RESOLUTIONS[1:])
        self.end_s = -math.inf
        """End of the newest span."""
        self._current = -1
        """Number of the shorter bucket that is not over."""
        self._moved, self._read_s = array("d", bytes(8 * width)), array("d", bytes(8 * width))
        """Bytes of each series in the longer bucket that is not over, and the seconds in which they were
        read, both without the current shorter bucket."""

    def add(self, start_s: float, end_s: float, values: Sequence[float]) -> None:
        """Add a span."""
        self.end_s = end_s
        self.recent.add(start_s, end_s, values)
        bucket_s = self.buckets[0].bucket_s
        if self._current < 0:
            self._current = int(start_s // bucket_s)
        bucket = int(end_s // bucket_s)
        while bucket > self._current:
            over, self._current = self._current, max(self._current + 1, bucket - FINE_SECONDS // bucket_s)
            self._store(over)

    def _store(self, bucket: int) -> None:
        """Store a shorter bucket that is over, and the longer one if that is over too."""
        short, long = self.buckets
        moved, read_s = self._sums(range(self.width), bucket)
        short.store(bucket, list(map(_mean, moved, read_s)))
        self._moved = array("d", list(map(add, self._moved, moved)))
        self._read_s = array("d", list(map(add, self._read_s, read_s)))
        per_long = long.bucket_s // short.bucket_s
        if self._current // per_long > bucket // per_long:
            long.store(bucket // per_long, list(map(_mean, self._moved, self._read_s)))
            self._moved, self._read_s = array("d", bytes(8 * self.width)), array("d", bytes(8 * self.width))

    def _sums(self, columns: Sequence[int], bucket: int) -> tuple[list[float], list[float]]:
        """Return the bytes of some series in a shorter bucket, and the seconds in which they were read."""
        bucket_s = self.buckets[0].bucket_s
        return self.recent.sums(columns, bucket * bucket_s, (bucket + 1) * bucket_s)

    def means_up_to(self, resolution: int, column: int, newest: int, count: int) -> list[float]:
        """Return the means of the `count` buckets up to `newest`, oldest first, with the current one."""
        if not resolution:
            return self.recent.cell_means((column,), 0.0, 1.0, newest - count + 1, count, 0.0)[0]
        buckets = self.buckets[resolution - 1]
        means = buckets.means_up_to(column, newest, count)
        current = self._current * self.buckets[0].bucket_s // buckets.bucket_s
        back = newest - current
        if 0 <= back < count:
            [moved], [read_s] = self._sums((column,), self._current)
            if buckets is not self.buckets[0]:
                moved, read_s = moved + self._moved[column], read_s + self._read_s[column]
            means[-1 - back] = _mean(moved, read_s)
        return means


def _mean(moved: float, read_s: float) -> float:
    return moved / read_s if read_s else math.nan


class RateHistory:
    """Series of rates, by key, in buckets of the monotonic clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        """CLOCK_MONOTONIC of the newest frame."""
        self.generation = 0
        """Number of times that series were added, or replaced by others with the same keys."""
        self._blocks: dict[BlockName, SeriesBlock] = {}
        self._columns: dict[SeriesKey, tuple[SeriesBlock, int]] = {}
        self.origin_s: float | None = None
        """Start of cell 0 of `cell_means`, CLOCK_MONOTONIC; None before the first reading.

        It is just before the end of the first reading of the links, or of PCIe on a node without links. Cells
        of the length of a reading are therefore aligned to the readings.
        """

    def add(self, frame: Frame) -> None:
        """Add the new spans of a frame."""
        self.now_s = max(self.now_s, frame.tick.mono_s)
        for gpu in frame.gpus:
            uuid = gpu.gpu.uuid
            newest_s = self._end_s((uuid, "links"))
            # A frame contains spans of several seconds, oldest first; most have been added already.
            first = len(gpu.spans)
            while first and gpu.spans[first - 1].end_s > newest_s:
                first -= 1
            for span in gpu.spans[first:]:
                if span.end_s > newest_s and span.end_s > span.start_s:
                    newest_s = span.end_s
                    self._set_origin(newest_s)
                    tx, rx = rates_by_link(gpu.links, span.rates if len(span.rates) > 2 else ())
                    values = (span.tx_bytes_per_s, *tx, span.rx_bytes_per_s, *rx)
                    self._add((uuid, "links"), LINKS, (span.start_s, span.end_s), values)
            span_s = gpu.pcie_span_s
            if span_s and span_s[1] > max(span_s[0], self._end_s((uuid, "pcie"))):
                values = (gpu.pcie.tx_bytes_per_s, gpu.pcie.rx_bytes_per_s)
                if not gpu.links:
                    self._set_origin(span_s[1])
                self._add((uuid, "pcie"), PCIE, span_s, values)
        for nic in frame.nics:
            name = nic.nic.device, nic.port.port
            newest_s = self._end_s(name)
            for nic_span in nic.spans:
                if nic_span.end_s > newest_s:
                    rates = nic_span.tx_bytes_per_s, nic_span.rx_bytes_per_s
                    self._add(name, LINKS, (nic_span.start_s, nic_span.end_s), rates)

    @property
    def bucket(self) -> int:
        """Number of the current second."""
        return int(self.now_s)

    def _set_origin(self, end_s: float) -> None:
        """Align cells to a reading that ended at `end_s`, unless they are aligned already."""
        if self.origin_s is None:
            self.origin_s = end_s - ALIGN_SLACK_S

    def _end_s(self, name: BlockName) -> float:
        """Return the end of the newest span of a block, CLOCK_MONOTONIC."""
        block = self._blocks.get(name)
        return block.end_s if block else -math.inf

    def _add(
        self, name: BlockName, directions: tuple[str, str], span_s: TimeSpan, values: Sequence[Maybe[float]]
    ) -> None:
        """Add the rates of a span: those of all parts in one direction, then in the other."""
        block = self._blocks.get(name)
        if block is None or block.width != len(values):
            block = self._new_block(name, directions, len(values))
        block.add(*span_s, all_or_nan(values))

    def _new_block(self, name: BlockName, directions: tuple[str, str], width: int) -> SeriesBlock:
        """Return an empty block, which replaces a block of this name."""
        self.generation += 1
        block = self._blocks[name] = SeriesBlock(width)
        owner, what = name
        parts = (what,) if isinstance(what, int) else (None, *range(width // 2 - 1))
        for column, (direction, part) in enumerate(
            (direction, part) for direction in directions for part in parts
        ):
            self._columns[owner, part, direction] = block, column
        max_rows = MAX_VALUES // sum(b.width for b in self._blocks.values())
        for each in self._blocks.values():
            each.recent.max_rows = max_rows
        return block

    def readings(self, key: SeriesKey, seconds: float = RECENT_S) -> Readings:
        """Return the readings of a series that end in the `seconds` before its newest one, oldest first.

        There is a reading for each refresh of the counters, with its start and its end; readings are not
        aligned between GPUs. Unknown rates are NaN.
        """
        block, column = self._columns.get(key, (None, 0))
        if block is None:
            return Readings(array("d"), array("d"), array("f"))
        return block.recent.since(column, block.end_s - seconds)

    def cell_at(self, time_s: float, cell_s: float) -> int:
        """Return the number of the cell of `cell_s` seconds that contains a time (CLOCK_MONOTONIC)."""
        return math.floor((time_s - (self.origin_s or 0.0)) / cell_s)

    def cell_means(self, keys: Sequence[SeriesKey], cell_s: float, newest: int, count: int) -> list[float]:
        """Return the sum of some series in bytes/s, as means of the `count` cells up to cell `newest`.

        Cell n lasts from `origin_s` + n x `cell_s` for `cell_s` seconds, for all series alike; `cell_s` may
        be as short as a reading, within the last five minutes. A cell is NaN if it is not over and less than
        half of it was read, or if any series is unknown in it.
        """
        sums = [0.0 if keys else math.nan] * count
        for key in keys:
            if key not in self._columns:
                return [math.nan] * count
            block, column = self._columns[key]
            [means] = self.means_of(block, (column,), cell_s, newest, count)
            if len(keys) == 1:
                return means
            sums = list(map(add, sums, means))
        return sums

    def means_of(
        self, source: SeriesBlock, columns: Sequence[int], cell_s: float, newest: int, count: int
    ) -> list[list[float]]:
        """Return the means of some series that are read together, each as `cell_means` does."""
        first = newest - count + 1
        return source.recent.cell_means(columns, self.origin_s or 0.0, cell_s, first, count)

    def read_until_s(self, keys: Sequence[SeriesKey]) -> float:
        """Return the end of the newest reading of all of some series: cells up to there are final."""
        if len(keys) == 1:
            found = self._columns.get(keys[0])
            return found[0].end_s if found else -math.inf
        ends_s = [self._columns[key][0].end_s for key in keys if key in self._columns]
        return min(ends_s, default=-math.inf)

    def place(self, key: SeriesKey) -> tuple[SeriesBlock, int] | None:
        """Return where a series is: what is read together with it, and its column there; None if nowhere.

        It is the same until `generation` changes.
        """
        return self._columns.get(key)

    def second_means(self, key: SeriesKey, newest: int, count: int) -> list[float]:
        """Return the means of the `count` seconds up to `newest` in bytes/s, oldest first.

        NaN where unknown.
        """
        return self._means_up_to(key, 0, newest, count)

    def _means_up_to(self, key: SeriesKey, resolution: int, newest: int, count: int) -> list[float]:
        block, column = self._columns.get(key, (None, 0))
        return block.means_up_to(resolution, column, newest, count) if block else [math.nan] * count

    def sum_over(self, keys: Sequence[SeriesKey], seconds: float) -> tuple[int, list[float]]:
        """Return the length of a bucket and the sum of some series over the last `seconds`, by bucket.

        Oldest first, without the current bucket; NaN where any of the series is unknown.
        """
        resolution = next(
            (i for i, (bucket_s, size) in enumerate(RESOLUTIONS) if bucket_s * size >= seconds),
            len(RESOLUTIONS) - 1,
        )
        bucket_s = RESOLUTIONS[resolution][0]
        count = max(2, min(RESOLUTIONS[resolution][1] - 1, round(seconds / bucket_s)))
        newest = self.bucket // bucket_s - 1
        sums = [0.0 if keys else math.nan] * count
        for key in keys:
            values = self._means_up_to(key, resolution, newest, count)
            sums = [a + b for a, b in zip(sums, values, strict=True)]
        return bucket_s, sums
