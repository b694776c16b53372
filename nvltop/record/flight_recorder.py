"""A recording of the last minutes in memory, so that a snapshot shows what led up to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from nvltop.model import ComputeActivity, Item, LinkCounters, Maybe, Missing, Reading, Tick
from nvltop.record.compression import gzip_part
from nvltop.record.journal import Journal
from nvltop.record.redact import Redactor

MAX_BYTES: Final = 9 << 18
"""Size limit of the compressed recording, bytes: about half an hour of a DGX H100 at work."""
BATCH: Final = 128
"""Number of items that are encoded together, which takes some milliseconds. One by one, between other work,
each would cost three times as much."""
SAMPLE_S: Final = 1.0
"""Time between two recorded readings of link counters, seconds: all of them would cost four times as much."""
EARLY_SHARE: Final = 0.9
"""Share of `SAMPLE_S` after which the next reading is recorded."""
MAX_GAP_S: Final = 0.01
"""Longest gap between two spans of compute activity that are joined, seconds."""
PACK_BYTES: Final = 1 << 16
"""Number of bytes that are compressed together, which takes some milliseconds."""
SEGMENT_S: Final = 55.0
"""Length of a segment, seconds. Each can be read alone; the oldest is dropped first."""


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


class FlightRecorder:
    """Redacts and encodes items in batches; drops the oldest beyond `limit` bytes."""

    def __init__(self, redact: Redactor, limit: int = MAX_BYTES) -> None:
        self._redact = redact
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._journal = Journal(self._redact.removed)
        self._segments: deque[list[bytes]] = deque()
        self._size = 0
        """Size of the compressed parts of all segments, bytes."""
        self._begin_s: float | None = None
        """Time of the first tick of the newest segment."""
        self._taken_s: dict[str, float] = {}
        """Time of the last recorded counters of each GPU, and of the last tick."""
        self._joining: dict[str, Reading] = {}
        """Compute activity of each GPU that covers less than a second so far."""
        self._open: list[bytes] = []
        self._open_size = 0
        self._waiting: list[Item] = []
        """The newest items, not encoded yet."""
        self._begin_segment()

    def clear(self) -> None:
        """Remove everything, as after a jump in a replay."""
        self._reset()

    def write(self, *items: Item) -> None:
        """Add items; of values that are read several times a second, one per second is recorded."""
        self._waiting += items
        if len(self._waiting) >= BATCH:
            self._catch_up()

    def _catch_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for item in self._thinned(waiting):
            redacted = self._redact(item)
            self._put(self._journal.lines(redacted))
            if isinstance(item, Tick):
                self._begin_s = item.mono_s if self._begin_s is None else self._begin_s
                if item.mono_s - self._begin_s >= SEGMENT_S:
                    self._pack()
                    self._begin_segment()

    def _thinned(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if not isinstance(item, Reading) or not isinstance(item.data, ComputeActivity):
                if self._is_due(item):
                    yield item
                continue
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
        self._pack()
        return b"".join(part for segment in self._segments for part in segment)

    @property
    def size(self) -> int:
        """Size of the stored recording, bytes."""
        return self._size + self._open_size

    def _begin_segment(self) -> None:
        self._segments.append([])
        self._begin_s = None
        self._put(self._journal.begin())

    def _put(self, lines: list[bytes]) -> None:
        self._open += lines
        self._open_size += sum(map(len, lines))
        while len(self._segments) > 1 and self.size > self._limit:
            self._size -= sum(map(len, self._segments.popleft()))
        if self._open_size >= PACK_BYTES:
            self._pack()

    def _pack(self) -> None:
        if self._open:
            part = gzip_part(b"".join(self._open))
            self._segments[-1].append(part)
            self._size += len(part)
            self._open, self._open_size = [], 0
