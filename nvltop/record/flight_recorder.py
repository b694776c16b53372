"""The last minutes, kept as a recording in memory all the time, so that a snapshot has what led up to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from nvltop.model import ComputeActivity, Item, LinkCounters, Maybe, Missing, Reading, Tick
from nvltop.record.compression import gzip_part
from nvltop.record.journal import Journal
from nvltop.record.marks import Mark, Marker
from nvltop.record.redact import Redactor

MAX_BYTES: Final = 7 << 18
"""Bytes, packed; about half an hour of a DGX H100 at work."""
BATCH: Final = 128
"""Items that are encoded together, which takes some milliseconds: one by one, between other work, each
would cost three times as much."""
SAMPLE_S: Final = 1.0
"""Time between two readings of link counters that are kept: all of them would cost four times as much."""
EARLY_SHARE: Final = 0.9
MAX_GAP_S: Final = 0.01
"""Between spans of compute activity that become one."""
PACK_BYTES: Final = 1 << 16
"""Bytes that are packed at a time, which takes some milliseconds."""
SEGMENTS: Final = 8
"""In how many steps the oldest goes: each stretch can be read without those before it."""

MARK_KINDS: Final = ("state", "gpu", "inventory")
"""Of marks that are kept; events and errors are kept elsewhere."""
MAX_MARKS: Final = 200


def join(before: Reading, after: Reading) -> Reading | None:
    """Return compute activity over two spans that follow one another; None if these do not."""
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
    """Items as they come, redacted and encoded some at a time; the oldest go beyond `limit` bytes."""

    def __init__(self, redact: Redactor, limit: int = MAX_BYTES) -> None:
        self._redact = redact
        self._limit = limit
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._journal = Journal(self._redact.removed)
        self._stretches: deque[list[bytes]] = deque()
        self._marker = Marker()
        self._marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._size = 0
        """Packed bytes of all stretches."""
        self._taken_s: dict[str, float] = {}
        """When the counters of each GPU, and a tick, were taken last."""
        self._joining: dict[str, Reading] = {}
        """Compute activity of each GPU that does not cover a second yet."""
        self._open: list[bytes] = []
        self._open_size = 0
        self._waiting: list[Item] = []
        """The newest items, not looked at yet."""
        self._begin_stretch()

    def clear(self) -> None:
        """Forget everything, as after a jump back in a replay."""
        self._begin_anew()

    def write(self, *items: Item) -> None:
        """Take items; of what is read several times a second, one reading a second is kept."""
        self._waiting += items
        if len(self._waiting) >= BATCH:
            self._catch_up()

    def _catch_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for item in self._thinned(waiting):
            told = self._redact(item)
            self._marks += [mark for mark in self._marker.marks(told) if mark.kind in MARK_KINDS]
            self._put(self._journal.lines(told))

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
        """What takes names out; it knows all that the items have told, and finds them in texts as well."""
        self._catch_up()
        return self._redact

    @property
    def marks(self) -> Sequence[Mark]:
        """The newest moments worth a word: links and GPUs that changed."""
        self._catch_up()
        return self._marks

    def recording(self) -> bytes:
        """Return what is kept as the bytes of a `.gz` recording."""
        self._catch_up()
        self._pack()
        return b"".join(part for stretch in self._stretches for part in stretch)

    @property
    def size(self) -> int:
        """Bytes that are held of what has been encoded."""
        return self._size + self._open_size

    def _begin_stretch(self) -> None:
        self._stretches.append([])
        self._put(self._journal.begin())

    def _put(self, lines: list[bytes]) -> None:
        self._open += lines
        self._open_size += sum(map(len, lines))
        while len(self._stretches) > 1 and self.size > self._limit:
            self._size -= sum(map(len, self._stretches.popleft()))
        if self._open_size >= PACK_BYTES:
            self._pack()
            if sum(map(len, self._stretches[-1])) >= self._limit // SEGMENTS:
                self._begin_stretch()

    def _pack(self) -> None:
        if self._open:
            part = gzip_part(b"".join(self._open))
            self._stretches[-1].append(part)
            self._size += len(part)
            self._open, self._open_size = [], 0
