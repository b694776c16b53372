"""The last minutes in memory, so that a snapshot shows what led up to it.

Nearly all that is kept is dropped again without having been looked at. So items are only packed here, and
redacted and encoded when a snapshot needs them.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Final, cast

from nvltop.allocator import return_free_pages
from nvltop.frozen import frozen, mutable
from nvltop.model import (
    Inventory,
    Item,
    NicPorts,
    Processes,
    Reading,
    Tick,
    known,
    time_of,
)
from nvltop.record.compression import checked, deflated, gzip_part
from nvltop.record.item_columns import MAX_ITEMS, ItemColumns, Packed, unpack, unpack_newest
from nvltop.record.journal import Journal, Newest
from nvltop.record.thinning import Thinning

if TYPE_CHECKING:
    from nvltop.record.redact import Redactor

MAX_BYTES: Final = 12 << 18
"""Size limit of the packed items, bytes: over half an hour of a DGX H100 at work, which takes 2 to 3 MB."""
FULL_SHARE: Final = 0.45
"""Share of the limit for what only the newest slices hold: 2.0 kB a second of a DGX H100 at work."""
BATCH: Final = 128
"""Number of items that are taken together: one by one, between other work, each would cost more."""
SLICE_S: Final = 15.0
"""Least length of a slice, seconds."""
SLICE_ITEMS: Final = 1400
"""Number of items that end a slice: 15 s of a DGX H100 at four readings a second, 30 s at one.

Packing a slice has a fixed cost, and longer ones are packed to fewer bytes an item. But items that are not
packed yet take more memory."""
MAX_SLICE_S: Final = 60.0
"""Length at which a slice ends, however few items it has, seconds."""
FULL_S: Final = 300.0
"""Time for which all items are kept, seconds.

Means are taken over 300 s, and the step period is found in the traffic of 256 s."""
HELD_S: Final = 1800.0
"""Time for which items are kept at all, seconds: half an hour, which takes some seconds to encode."""
KEPT_LEVEL: Final = 6
"""Level of zlib at which the numbers of `_Slice.common` are compressed: 14 % smaller than at level 1."""
ORDER_LEVEL: Final = 6
"""Level at which `_Slice.full_order` and `thinned_order` are compressed."""
SEGMENT_S: Final = 45.0
"""Length of a segment of the recording, seconds."""
BLOCK_BYTES: Final = 1 << 16
"""Size of a block of the recording before compression, bytes."""
MAX_INVENTORIES: Final = 8
"""Number of inventories that may wait for the redactor before it is made."""


@mutable
class _Slice:
    """The items of some seconds, packed in parts: those of all uses, and the rest for each use."""

    common: Packed
    """Items that are kept, whole."""
    full: Packed
    """The other items; empty once the slice is thinned."""
    thinned: Packed
    """What is kept in their place."""
    full_order: bytes
    """A byte for each item, compressed: 1 if it comes from `full`, 0 if from `common`."""
    thinned_order: bytes
    """A byte for each item, compressed: 1 if it comes from `thinned`, 0 if from `common`."""
    end_s: float
    """Time of its newest item, seconds of CLOCK_MONOTONIC."""
    is_full: bool = True

    def items(self) -> Iterator[Item]:
        """Yield all items, or those that are kept once the slice is thinned."""
        order, rest = (self.full_order, self.full) if self.is_full else (self.thinned_order, self.thinned)
        parts = unpack(self.common), unpack(rest)
        for part in zlib.decompress(order):
            yield next(parts[part])

    def newest(self) -> list[Item]:
        """Return the newest of each kind of the items that are kept, in the order of time."""
        return sorted([*unpack_newest(self.common), *unpack_newest(self.thinned)], key=time_of)

    def thin(self) -> None:
        """Drop what only the newest slices hold."""
        self.full, self.full_order, self.is_full = (), b"", False

    @property
    def full_size(self) -> int:
        """Size of what `thin` drops, bytes."""
        return sum(map(len, self.full)) + len(self.full_order)

    @property
    def size(self) -> int:
        """Size, bytes."""
        kept = sum(map(len, self.common)) + sum(map(len, self.thinned)) + len(self.thinned_order)
        return kept + self.full_size


class _OpenSlice:
    """The newest slice, to which items are added."""

    def __init__(self) -> None:
        self._begin_s: float | None = None
        """Time of its first tick, seconds of CLOCK_MONOTONIC."""
        self._end_s = 0.0
        """Time of its newest item."""
        self._parts = ItemColumns(), ItemColumns(), ItemColumns()
        self._full_order, self._thinned_order = bytearray(), bytearray()

    def add(self, item: Item, thinning: Thinning) -> None:
        """Add an item that is not a reading."""
        common, full, _ = self._parts
        is_kept = thinning.is_kept(item)
        self._full_order.append(not is_kept)
        self._end_s = max(self._end_s, time_of(item))
        if is_kept:
            self._thinned_order.append(0)
        (common if is_kept else full).add(item)

    def extend(self, readings: Sequence[Reading], thinning: Thinning) -> None:
        """Add readings."""
        self._end_s = max(self._end_s, readings[-1].end_s)
        common: list[Reading] = []
        full: list[Reading] = []
        thinned: list[Reading] = []
        full_order, thinned_order = self._full_order, self._thinned_order
        for reading in readings:
            is_kept, joined = thinning.choose(reading)
            if joined is not None:
                thinned.append(joined)
                thinned_order.append(1)
            if is_kept:
                common.append(reading)
                thinned_order.append(0)
            else:
                full.append(reading)
            full_order.append(not is_kept)
        for part, its in zip(self._parts, (common, full, thinned), strict=True):
            part.extend(its)

    def is_over(self, now_s: float) -> bool:
        """Whether another slice must begin, at the time of a tick."""
        self._begin_s = now_s if self._begin_s is None else self._begin_s
        length_s = now_s - self._begin_s
        return length_s >= (SLICE_S if len(self) >= SLICE_ITEMS else MAX_SLICE_S)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._full_order)

    def packed(self) -> _Slice:
        """Return the slice as it is now."""
        common, full, thinned = self._parts
        full_order = deflated([self._full_order], ORDER_LEVEL)
        thinned_order = deflated([self._thinned_order], ORDER_LEVEL)
        # The items that are kept for the longest time are most of the memory.
        parts = common.pack(KEPT_LEVEL), full.pack(), thinned.pack()
        return _Slice(*parts, full_order, thinned_order, self._end_s)


@frozen
class HeldItems:
    """The items that a flight recorder held at one moment."""

    before: tuple[Item, ...]
    """What was known when they begin."""
    slices: tuple[_Slice, ...]
    redact: Redactor

    def items(self) -> Iterator[Item]:
        """Yield the items."""
        return chain.from_iterable(part.items() for part in self.slices)

    def recording(self) -> bytes:
        """Return the bytes of a `.gz` recording; it takes some seconds, so call it on a thread."""
        newest = Newest()
        for item in self.before:
            newest.note(self.redact(item))
        journal = Journal(self.redact.removed, newest)
        parts: list[bytes] = []
        lines, size, begin_s = journal.begin(), 0, None
        for item in map(self.redact, self.items()):
            new = journal.lines(item)
            lines += new
            size += sum(map(len, new))
            is_over = False
            if isinstance(item, Tick):
                begin_s = item.mono_s if begin_s is None else begin_s
                is_over = item.mono_s - begin_s >= SEGMENT_S
            if is_over or size >= BLOCK_BYTES:
                parts.append(gzip_part(checked(b"".join(lines), len(parts))))
                lines, size = [], 0
            if is_over:
                lines, begin_s = journal.begin(), None
        if lines:
            parts.append(gzip_part(checked(b"".join(lines), len(parts))))
        parts.append(gzip_part(checked(b"", len(parts), is_last=True)))
        return b"".join(parts)


class FlightRecorder:
    """Keeps the items of the last minutes, and what `Thinning` leaves of those of half an hour."""

    def __init__(self, make_redactor: Callable[[], Redactor], limit: int = MAX_BYTES) -> None:
        """Call `make_redactor` when the redactor is needed, which it never is in most runs."""
        self._make_redactor = make_redactor
        self._redact: Redactor | None = None
        self._inventories: list[Inventory] = []
        """Those that the redactor has not seen."""
        self._limit = limit
        self._users: set[str] = set()
        self._nics: set[str] = set()
        """Names in all items so far."""
        self._reset()

    def _reset(self) -> None:
        self._before = Newest()
        """The newest items that were dropped."""
        self._slices: deque[_Slice] = deque()
        self._open = _OpenSlice()
        self._thinning = Thinning()
        self._waiting: list[Item] = []
        """The newest items, which are in no slice yet."""

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
        for kind, items in groupby(waiting, type):
            if kind is Reading:
                self._take(cast(list[Reading], list(items)))
                continue
            for item in items:
                self._open.add(item, self._thinning)
                if isinstance(item, Inventory):
                    self._note_inventory(item)
                is_over = isinstance(item, Tick) and self._open.is_over(item.mono_s)
                self._begin_slice_if(is_over)

    def _take(self, readings: list[Reading]) -> None:
        """Add readings to the open slice, and note the names that the redactor looks for in texts."""
        while readings:
            room = MAX_ITEMS - len(self._open)
            self._open.extend(readings[:room], self._thinning)
            for data in [r.data for r in readings[:room] if isinstance(r.data, (Processes, NicPorts))]:
                if isinstance(data, Processes):
                    self._users.update(process.user for process in data.processes if known(process.user))
                elif isinstance(data, NicPorts):
                    self._nics.update(port.device for port in data.ports)
            readings = readings[room:]
            self._begin_slice_if(False)

    def _note_inventory(self, inventory: Inventory) -> None:
        self._inventories.append(inventory)
        if len(self._inventories) > MAX_INVENTORIES:
            self._learn_inventories()

    def _begin_slice_if(self, is_over: bool) -> None:
        # Without any tick, a slice ends when no more items fit.
        if is_over or len(self._open) >= MAX_ITEMS:
            self._begin_slice()

    def _begin_slice(self) -> None:
        self._slices.append(self._open.packed())
        self._open = _OpenSlice()
        now_s = self._slices[-1].end_s
        full = [part for part in self._slices if part.is_full]
        while full and (
            full[0].end_s < now_s - FULL_S or sum(part.full_size for part in full) > self._limit * FULL_SHARE
        ):
            full.pop(0).thin()
        while self._slices and (self.size > self._limit or self._slices[0].end_s < now_s - HELD_S):
            for item in self._slices.popleft().newest():
                self._before.note(item)
        # Packing and thinning leave a megabyte of them between smaller blocks.
        return_free_pages()

    def _learn_inventories(self) -> Redactor:
        """Show the redactor the inventories in the order in which they came, and return it."""
        redact = self._redact = self._redact or self._make_redactor()
        for inventory in self._inventories:
            redact(inventory)
        self._inventories.clear()
        return redact

    @property
    def redact(self) -> Redactor:
        """The redactor, which has seen the names in all items and finds them in texts as well."""
        self._catch_up()
        redact = self._learn_inventories()
        redact.learn(sorted(self._users), sorted(self._nics))
        return redact

    def held(self) -> HeldItems:
        """Return the items that are held now."""
        redact = self.redact
        # Copies, because the slices are thinned while another thread reads them.
        slices = [replace(part) for part in (*self._slices, self._open.packed())]
        return HeldItems(tuple(self._before.items()), tuple(slices), redact)

    def recording(self) -> bytes:
        """Return the bytes of a `.gz` recording."""
        return self.held().recording()

    @property
    def size(self) -> int:
        """Size of the packed slices, bytes."""
        return sum(part.size for part in self._slices)
