"""Items in columns: a few bytes an item, at a fraction of the cost of a recording's lines.

The flight recorder keeps items that are nearly always dropped again, so what counts is what it costs to keep
them. Readings of one group and GPU form a stream. Values that do not change are stored once, those that do as
columns (`columns`), link counters as differences (`counter_columns`). Nothing is rounded or left out:
`unpack` returns the items that were added.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, count, groupby, islice, repeat
from operator import add, attrgetter, itemgetter, mul, sub, truediv
from typing import Any, Final, TypeAlias

from nvltop.frozen import frozen
from nvltop.model import Item, LinkCounters, LogLine, Reading
from nvltop.record.columns import Numbers, restore, transpose
from nvltop.record.compression import deflated
from nvltop.record.counter_columns import CounterColumns
from nvltop.record.counter_columns import unpack as unpack_counters
from nvltop.wire.codec import CURRENT_SCHEMA, FIELDS, decode, encode

Packed: TypeAlias = tuple[bytes, ...]
"""Packed items: the shape of the columns as JSON, and their numbers, both compressed; or none."""

Times: TypeAlias = tuple[float, float, float]
"""Start and end of an item, CLOCK_MONOTONIC, and its Unix time, seconds."""

LOG_LINE: Final = "l"
"""Tag of log lines."""
MAX_ITEMS: Final = 1 << 15
"""Number of items that fit."""
US: Final = 10**6
LEVEL: Final = 4
QUICK_LEVEL: Final = 1
"""Level at which numbers are compressed that are soon dropped."""
_times_of: Final = attrgetter("start_s", "end_s", "wall_s")
_JSON: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class _Bodies:
    """The values of one stream."""

    def __init__(self) -> None:
        self._bodies: list[Any] = []

    def add(self, body: Any) -> bool:
        """Add the values of an item; return True."""
        self._bodies.append(body)
        return True

    @property
    def shape(self) -> object:
        """What the streams have in common whose values are packed together: class and types of the fields."""
        fields = FIELDS.get(type(self._bodies[0]))
        return (fields, tuple(map(type, fields(self._bodies[0])))) if fields else id(self)

    def runs(self) -> list[tuple[Any, int]]:
        """Return the fields of the values without repetitions, and how often each of them occurs in a row."""
        fields = FIELDS.get(type(self._bodies[0]))
        # Tuples of fields are compared without a call for each.
        rows = map(fields, self._bodies) if fields else self._bodies
        return [(row, len(list(equal))) for row, equal in groupby(rows)]


def _pack_bodies(streams: Iterable[_Bodies], numbers: Numbers) -> Any:
    """Return the counts of each stream, and the values of all as a column; put its numbers to `numbers`.

    The counts are how often each value occurs in a row, or the number of values if each occurs once.
    """
    rows: list[Any] = []
    counts: list[list[int] | int] = []
    for stream in streams:
        runs = stream.runs()
        rows += [row for row, _ in runs]
        repeats = [count for _, count in runs]
        counts.append(repeats if max(repeats) > 1 else len(repeats))
    return [counts, transpose(rows, numbers)]


class ItemColumns:
    """Takes items, at most `MAX_ITEMS`, and packs them."""

    def __init__(self) -> None:
        self._order = array("H")
        """Number of the stream of each item."""
        self._times = array("d")
        """Start, end and Unix time of each item."""
        self._abouts: list[list[Any]] = []
        """Of each stream: group, GPU and problem of its readings, or the tag of another kind of item."""
        self._streams: list[Any] = []
        """Those of link counters are `CounterColumns`, the others `_Bodies`."""
        self._numbers: dict[object, int] = {}
        """Number of the newest stream of each kind."""

    def __len__(self) -> int:
        return len(self._order)

    def add(self, item: Item) -> None:
        """Add an item that is not a reading."""
        tag, mono_s, wall_s, *body = encode(item)
        self._times.extend((mono_s, mono_s, wall_s))
        number = self._numbers.get(tag, -1)
        if number < 0 or not self._streams[number].add(body):
            number = self._begin(tag, body, [tag])
        self._order.append(number)

    def extend(self, readings: Sequence[Reading]) -> None:
        """Add readings."""
        self._times.extend(chain.from_iterable(map(_times_of, readings)))
        numbers, streams, order = self._numbers, self._streams, self._order
        for reading in readings:
            body = reading.data
            key = reading.gpu, type(body), reading.problem
            number = numbers.get(key, -1)
            if number < 0 or not streams[number].add(body):
                number = self._begin(key, body, [reading.group, reading.gpu, reading.problem])
            order.append(number)

    def _begin(self, key: object, body: Any, about: list[Any]) -> int:
        """Begin a stream with the values of an item, and return its number."""
        self._abouts.append(about)
        stream: _Bodies | CounterColumns
        stream = CounterColumns(body) if isinstance(body, LinkCounters) else _Bodies()
        if not stream.add(body):
            stream = _Bodies()
            stream.add(body)
        self._streams.append(stream)
        self._numbers[key] = number = len(self._streams) - 1
        return number

    def pack(self, level: int = QUICK_LEVEL) -> Packed:
        """Return the items packed, their numbers at a level of zlib; more can be added afterwards."""
        if not self._order:
            return ()
        numbers = Numbers()
        numbers.put(self._order)
        times = _pack_times(self._times, numbers)
        alike: defaultdict[object, list[int]] = defaultdict(list)
        for number, stream in enumerate(self._streams):
            alike[number if isinstance(stream, CounterColumns) else stream.shape].append(number)
        streams = []
        for which in alike.values():
            its = [self._streams[number] for number in which]
            has_counters = isinstance(its[0], CounterColumns)
            packed = its[0].pack(numbers) if has_counters else _pack_bodies(its, numbers)
            streams.append([which, [self._abouts[number] for number in which], has_counters, packed])
        text = _JSON.encode([len(self._order), min(self._order), times, streams, len(numbers)])
        return deflated([text.encode()], LEVEL), numbers.pack(level)


def _pack_times(times: array[float], numbers: Numbers) -> list[Any]:
    """Put times as differences in µs, and return the least of each kind.

    Returns the times themselves if one is not a whole number of µs, which the worker's are.
    """
    us = list(map(round, map(mul, times, repeat(US))))
    if array("d", list(map(truediv, us, repeat(US)))).tobytes() != times.tobytes():
        return times.tolist()
    starts, ends, walls = us[0::3], us[1::3], us[2::3]
    ahead = list(map(sub, walls, ends))
    columns = (
        list(map(sub, starts, [0, *ends])),
        list(map(sub, ends, starts)),
        list(map(sub, ahead, [0, *ahead])),
    )
    return [numbers.put(column) for column in columns]


def _unpack_times(packed: list[Any], length: int, numbers: Numbers) -> Iterator[Times]:
    if isinstance(packed[0], float):
        rest = iter(packed)
        return zip(rest, rest, rest, strict=True)
    gaps, lengths, ahead = [numbers.take(length, least) for least in packed]
    ends = list(accumulate(map(add, gaps, lengths)))
    walls = map(add, ends, accumulate(ahead))
    starts = map(sub, ends, lengths)
    return zip(*([us / US for us in times] for times in (starts, ends, walls)), strict=True)


@frozen
class _Stream:
    """One stream of packed items."""

    about: list[Any]
    values: Sequence[Any]
    """The values of its items, without repetitions, from which `body` makes those of an item."""
    counts: Iterable[int]
    """How often each of them occurs in a row."""
    body: Callable[[Any], Any]

    def bodies(self) -> Iterator[Any]:
        """Yield the values of each item."""
        return chain.from_iterable(map(repeat, map(self.body, self.values), self.counts))

    def item(self, body: Any, at: Times) -> Item:
        """Return an item with these values."""
        start_s, end_s, wall_s = at
        if len(self.about) == 1:
            return decode([*self.about, end_s, wall_s, *body])
        _, gpu, problem = self.about
        return Reading(gpu, start_s, end_s, wall_s, body, problem)


def _open(packed: Packed, is_newest: bool = False) -> tuple[list[int], list[Times], list[_Stream]]:
    """Return the number of each item's stream, the times of each item, and the streams.

    If `is_newest`, the streams of link counters have their last values only.
    """
    if not packed:
        return [], [], []
    length, least, times, streams, number_count = json.loads(zlib.decompress(packed[0]))
    numbers = Numbers(packed[1], number_count)
    order = numbers.take(length, least)
    at = list(_unpack_times(times, length, numbers))
    found: dict[int, _Stream] = {}
    for which, abouts, has_counters, values in streams:
        if has_counters:
            [number], [about] = which, abouts
            found[number] = _Stream(about, *unpack_counters(values, numbers, is_newest))
        else:
            found |= zip(which, _unpack_bodies(abouts, values, numbers), strict=True)
    return order, at, [found[number] for number in range(len(found))]


def _unpack_bodies(abouts: list[Any], packed: Any, numbers: Numbers) -> Iterator[_Stream]:
    counts, column = packed
    lengths = [each if isinstance(each, int) else len(each) for each in counts]
    values = iter(restore(column, sum(lengths), numbers))
    for about, length, each in zip(abouts, lengths, counts, strict=True):
        body = partial(CURRENT_SCHEMA.decode_data, about[0]) if len(about) > 1 else list
        repeats = repeat(1) if isinstance(each, int) else each
        yield _Stream(about, list(islice(values, length)), repeats, body)


def unpack(packed: Packed) -> Iterator[Item]:
    """Yield the items in the order in which they were added."""
    order, at, streams = _open(packed)
    bodies = [stream.bodies() for stream in streams]
    for number, times in zip(order, at, strict=True):
        yield streams[number].item(next(bodies[number]), times)


def unpack_newest(packed: Packed) -> list[Item]:
    """Return the newest item of each kind, and all log lines; this takes a fifth of the time of `unpack`."""
    order, at, streams = _open(packed, is_newest=True)
    newest: dict[object, Item] = {}
    # A later stream of a kind replaces an earlier one.
    for number, place in sorted(dict(zip(order, count())).items(), key=itemgetter(1)):
        stream = streams[number]
        bodies, places = [stream.body(stream.values[-1])], [place]
        if stream.about == [LOG_LINE]:
            bodies, places = list(stream.bodies()), [i for i, n in enumerate(order) if n == number]
        for place, body in zip(places, bodies, strict=True):
            item = stream.item(body, at[place])
            key: object = place if isinstance(item, LogLine) else type(item)
            newest[(item.gpu, item.group) if isinstance(item, Reading) else key] = item
    return list(newest.values())
