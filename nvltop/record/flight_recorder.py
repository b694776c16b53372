"""A recording of the last minutes in memory, so that a snapshot shows what led up to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from nvltop.model import ComputeActivity, Item, LinkCounters, Maybe, Missing, Reading, Tick
from nvltop.record.compression import gzip_part
from nvltop.record.journal import Journal
from nvltop.record.redact import Redactor

MAX_BYTES: Final = 17 << 18
"""Size limit of the compressed recording, bytes: about half an hour of a DGX H100 at work."""
FULL_SHARE: Final = 0.45
"""Share of the limit for the newest segments, which hold all items: 0.21 MB a minute of a DGX H100."""
BATCH: Final = 128
"""Number of items that are encoded together, which takes some milliseconds. One by one, between other work,
each would cost three times as much."""
SAMPLE_S: Final = 1.0
"""Time between two recorded readings of link counters in the older part, seconds."""
EARLY_SHARE: Final = 0.9
"""Share of `SAMPLE_S` after which the next reading is recorded."""
MAX_GAP_S: Final = 0.01
"""Longest gap between two spans of compute activity that are joined, seconds."""
PACK_BYTES: Final = 1 << 16
"""Number of bytes that are compressed together, which takes some milliseconds."""
SEGMENT_S: Final = 45.0
"""Length of a segment, seconds. Each can be read alone; the oldest is dropped first."""
FULL_SEGMENTS: Final = 7
"""Number of segments with all items. The newest is incomplete, so they hold at least the last 270 s.

The step period is found in the traffic of 256 s."""


def join(before: Reading, after: Reading) -> Reading | None:
    """Return compute activity over two adjacent spans; None if they are not adjacent."""
    a, b = before.data, after.data
    assert isinstance(a, ComputeActivity)
    assert isinstance(b, ComputeActivity)
    a_s, b_s = before.end_s - before.start_s, after.end_s - after.start_s
    if (
        (a.source, a.note) != (b.source, b.note)
        or not 0 <= after.start_s - before.end_s < MAX_GAP_S
        or b_s <= 0
    ):
        return None

    def mean(x: Maybe[float], y: Maybe[float]) -> Maybe[float]:
        if isinstance(x, Missing) or isinstance(y, Missing):
            return x if isinstance(x, Missing) else y
        return round((a_s * x + b_s * y) / (a_s + b_s), 3)

    data = replace(b, sm=mean(a.sm, b.sm), tensor=mean(a.tensor, b.tensor), dram=mean(a.dram, b.dram))
    return replace(after, start_s=before.start_s, data=data)


class _Tier:
    """Segments of one recording in memory, compressed, with the oldest ones dropped."""

    def __init__(self, removed: tuple[str, ...], limit: int, most: int | None = None) -> None:
        """Keep at most `limit` bytes, and at most `most` segments, but always the newest segment."""
        self._journal = Journal(removed)
        self._limit = limit
        self._most = most
        self._segments: deque[list[bytes]] = deque()
        self._size = 0
        """Size of the compressed parts of all segments, bytes."""
        self._open: list[bytes] = []
        self._open_size = 0
        self.begin()

    def begin(self) -> None:
        """Begin a segment."""
        self.pack()
        self._segments.append([])
        while self._most is not None and len(self._segments) > self._most:
            self._drop()
        self._put(self._journal.begin())

    def write(self, item: Item) -> None:
        """Add an item to the newest segment."""
        self._put(self._journal.lines(item))

    @property
    def size(self) -> int:
        """Size of all segments, bytes."""
        return self._size + self._open_size

    def parts(self, without_newest: int = 0) -> tuple[list[bytes], int]:
        """Return the compressed parts of all but the newest segments, and the number of all segments."""
        self.pack()
        count = max(0, len(self._segments) - without_newest)
        return [part for segment in islice(self._segments, count) for part in segment], len(self._segments)

    def _put(self, lines: list[bytes]) -> None:
        self._open += lines
        self._open_size += sum(map(len, lines))
        while len(self._segments) > 1 and self.size > self._limit:
            self._drop()
        if self._open_size >= PACK_BYTES:
            self.pack()

    def _drop(self) -> None:
        self._size -= sum(map(len, self._segments.popleft()))

    def pack(self) -> None:
        """Compress what the newest segment has so far."""
        if self._open:
            part = gzip_part(b"".join(self._open))
            self._segments[-1].append(part)
            self._size += len(part)
            self._open, self._open_size = [], 0


class FlightRecorder:
    """Redacts and encodes items in batches: the last minutes all of them, one per second before that.

    Both tiers have the same segments, so that the newest ones of one can follow the older ones of the other.
    """

    def __init__(self, redact: Redactor, limit: int = MAX_BYTES) -> None:
        self._redact = redact
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        full_limit = int(self._limit * FULL_SHARE)
        self._thinned = _Tier(self._redact.removed, self._limit - full_limit)
        self._full = _Tier(self._redact.removed, full_limit, FULL_SEGMENTS)
        self._begin_s: float | None = None
        """Time of the first tick of the newest segment."""
        self._taken_s: dict[str, float] = {}
        """Time of the last recorded counters of each GPU, and of the last tick."""
        self._joining: dict[str, Reading] = {}
        """Compute activity of each GPU that covers less than a second so far."""
        self._waiting: list[Item] = []
        """The newest items, not encoded yet."""

    def clear(self) -> None:
        """Remove everything, as after a jump in a replay."""
        self._reset()

    def write(self, *items: Item) -> None:
        """Add items."""
        self._waiting += items
        if len(self._waiting) >= BATCH:
            self._catch_up()

    def _catch_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for raw in waiting:
            item = self._redact(raw)
            self._full.write(item)
            for thinned in self._thin(item):
                self._thinned.write(thinned)
            if isinstance(item, Tick):
                self._begin_s = item.mono_s if self._begin_s is None else self._begin_s
                if item.mono_s - self._begin_s >= SEGMENT_S:
                    self._begin_s = None
                    self._thinned.begin()
                    self._full.begin()

    def _thin(self, item: Item) -> Iterator[Item]:
        """Yield what is recorded once a second of an item and those before it."""
        if not isinstance(item, Reading) or not isinstance(item.data, ComputeActivity):
            if self._is_due(item):
                yield item
            return
        # Means over a quarter of a second become means over a whole one: none is left out.
        before = self._joining.pop(item.gpu or "", None)
        joined = join(before, item) if before else item
        if before and not joined:
            yield before
        held = joined or item
        if 0 < held.end_s - held.start_s < SAMPLE_S * EARLY_SHARE:
            self._joining[item.gpu or ""] = held
        else:
            yield held

    def _is_due(self, item: Item) -> bool:
        if isinstance(item, Tick):
            key, now_s = "", item.mono_s
        elif isinstance(item, Reading) and isinstance(item.data, LinkCounters) and item.gpu:
            key, now_s = item.gpu, item.start_s
        else:
            return True
        if 0 <= now_s - self._taken_s.get(key, -SAMPLE_S) < SAMPLE_S * EARLY_SHARE:
            return False
        self._taken_s[key] = now_s
        return True

    @property
    def redact(self) -> Redactor:
        """The redactor, which has seen the names in all items and finds them in texts as well."""
        self._catch_up()
        return self._redact

    def recording(self) -> bytes:
        """Return the bytes of a `.gz` recording."""
        self._catch_up()
        newest, count = self._full.parts()
        older, _ = self._thinned.parts(without_newest=count)
        return b"".join([*older, *newest])

    @property
    def size(self) -> int:
        """Size of the stored recording, bytes."""
        return self._thinned.size + self._full.size
