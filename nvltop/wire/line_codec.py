"""Items as lines and back. Both directions keep the same state, so that a line contains only changes.

The lines of a recording, each a JSON value:

    ["g", NAME]                                 the next number for a GPU, from 0
    [tag, TIME, WALL, field, …]                 an item of a kind in `names.TAGS`, such as an `Event`
    ["t", TIME, WALL, PATCH?]                   a `Tick`
    [gpu, group, START, END, WALL, PATCH?]      a `Reading`; gpu -1 for the host
    [gpu, group, START, END, WALL, stamps, unit, guess, guess, base, packed]    link counters

Times are microseconds since the previous time (`time_deltas`), PATCH is the change since the last item of the
same kind (`patch`), link counters are differences to a prediction (`counter_deltas`).
"""

from __future__ import annotations

import json
from typing import Any, Final

from nvltop.model import (
    Data,
    Inventory,
    Item,
    LinkBer,
    LinkCounters,
    LinkErrors,
    LinkStates,
    NicPorts,
    Processes,
    Reading,
    Tick,
    known,
)
from nvltop.wire.codec import CURRENT_SCHEMA, encode, encode_data
from nvltop.wire.counter_deltas import CounterDeltas
from nvltop.wire.limits import MAX_COUNTERS, MAX_GPUS, MAX_LINKS, MAX_STATE
from nvltop.wire.names import CURRENT_GROUPS
from nvltop.wire.patch import apply, diff
from nvltop.wire.schema import CodecError, Schema, UnknownError, text
from nvltop.wire.time_deltas import TimeDeltas

HOST: Final = -1
"""Number of the GPU in the lines of readings that belong to no GPU."""
HEAD: Final = 5
"""Number of entries of a reading's line before the values."""
_GROUP: Final = {name: number for number, name in enumerate(CURRENT_GROUPS)}

ReadingKey = tuple[int, int]
"""Number of the GPU, number of the group."""


class LineEncoder:
    """The writing end of one stream of lines."""

    def __init__(self) -> None:
        self._times = TimeDeltas()
        self._gpus: dict[str, int] = {}
        self._written: dict[ReadingKey, tuple[Data, str | None]] = {}
        self._bodies: dict[ReadingKey, Any] = {}
        """`_written` as JSON values."""
        self._deltas: dict[ReadingKey, tuple[CounterDeltas, str | None]] = {}
        self._tick: Any = None

    def lines(self, item: Item) -> list[Any]:
        """Return the values of the lines for one item."""
        if isinstance(item, Reading):
            return self._reading(item)
        tag, mono_s, wall_s, *rest = encode(item)
        times = self._times.write(mono_s, wall_s=wall_s)
        if not isinstance(item, Tick):
            return [[tag, *times, *rest]]
        change = [rest] if self._tick is None else diff(self._tick, rest)
        self._tick = rest
        return [[tag, *times] if change is None else [tag, *times, change]]

    def _reading(self, reading: Reading) -> list[Any]:
        lines: list[Any] = []
        gpu = HOST
        if reading.gpu is not None:
            count = len(self._gpus)
            gpu = self._gpus.setdefault(reading.gpu, count)
            if gpu == count:
                lines.append(["g", reading.gpu])
        key = gpu, _GROUP[reading.group]
        times = self._times.write(reading.start_s, reading.end_s, wall_s=reading.wall_s)
        lines.append([*key, *times, *self._content(key, reading)])
        return lines

    def _content(self, key: ReadingKey, reading: Reading) -> list[Any]:
        if isinstance(reading.data, LinkCounters):
            deltas, problem = self._deltas.get(key, (None, None))
            if deltas and problem == reading.problem:
                differences = deltas.write(reading.data, reading.wall_s)
                if differences:
                    return differences
            self._deltas[key] = CounterDeltas(reading.data), reading.problem
            return [[_body(reading)]]
        newest = reading.data, reading.problem
        if newest == self._written.get(key):
            return []
        self._written[key] = newest
        body = _body(reading)
        change = diff(self._bodies[key], body) if key in self._bodies else [body]
        self._bodies[key] = body
        return [] if change is None else [change]


class LineDecoder:
    """The reading end of one stream of lines; raises `CodecError` for invalid lines."""

    def __init__(self, schema: Schema = CURRENT_SCHEMA, after_s: float = 0.0) -> None:
        """Take the schema, and the time of the last `Tick` of the stream that this one continues."""
        self.tick_s = after_s
        self._schema = schema
        self._links = schema.groups.index("links") if "links" in schema.groups else None
        self._times = TimeDeltas()
        self._gpus: list[str] = []
        self._bodies: dict[ReadingKey, Any] = {}
        self._newest: dict[ReadingKey, Reading | None] = {}
        """The last reading of each kind; None if this version cannot represent it."""
        self._deltas: dict[ReadingKey, CounterDeltas] = {}
        self._counts: dict[ReadingKey, int] = {}
        self._counters = 0
        self._sizes: dict[ReadingKey, int] = {}
        self._size = 0
        self._tick: Any = None

    def item(self, line: object, size: int) -> Item | None:
        """Return the item of a line of `size` bytes; None if it has none, or one of a newer version."""
        try:
            return self._item(line, size)
        except UnknownError as error:
            self._schema.skip(str(error))
            return None

    def _item(self, line: object, size: int) -> Item | None:
        if not isinstance(line, list) or len(line) < 2:
            raise CodecError("not an item")
        tag = line[0]
        if type(tag) is int:
            return self._reading(line, size)
        if tag == "g":
            self._name(line)
            return None
        if tag == "t":
            return self._read_tick(line)
        if type(tag) is not str or tag == "r" or len(line) < 3:
            raise CodecError("unknown kind of line")
        mono_s, wall_s = self._times.read(line[1:3])
        item = self._schema.decode([tag, mono_s, wall_s, *line[3:]])
        if isinstance(item, Inventory):
            links = sum(len(gpu.remotes) for gpu in item.gpus if known(gpu.remotes))
            if links > MAX_LINKS:
                raise CodecError(f"more than {MAX_LINKS} links")
        return item

    def _name(self, line: list[Any]) -> None:
        if len(line) != 2:
            raise CodecError("not a name")
        if len(self._gpus) >= MAX_GPUS:
            raise CodecError(f"more than {MAX_GPUS} GPUs")
        self._gpus.append(text(line[1]))

    def _read_tick(self, line: list[Any]) -> Item:
        if not 3 <= len(line) <= 4:
            raise CodecError("not a tick")
        mono_s, wall_s = self._times.read(line[1:3])
        if mono_s < self.tick_s:
            raise CodecError("time goes backwards")
        rest = apply(self._tick, line[3]) if len(line) == 4 else self._tick
        if not isinstance(rest, list):
            raise CodecError("not a tick")
        self._tick, self.tick_s = rest, mono_s
        return self._schema.decode(["t", mono_s, wall_s, *rest])

    def _reading(self, line: list[Any], size: int) -> Reading | None:
        gpu, group = line[:2]
        if type(group) is not int or not 0 <= group < len(self._schema.groups):
            raise CodecError("unknown group of values")
        if not HOST <= gpu < len(self._gpus) or len(line) < HEAD:
            raise CodecError("not a reading")
        start_s, end_s, wall_s = self._times.read(line[2:HEAD])
        if end_s < start_s:
            raise CodecError("time goes backwards")
        if self._schema.groups[group] not in _GROUP:
            return None  # listed in `Schema.skipped`
        key = gpu, group
        content = line[HEAD:]
        if len(content) > 1 and group == self._links:
            deltas = self._deltas.get(key)
            newest = self._newest.get(key)
            if deltas is None or newest is None:
                raise CodecError("no counters before these")
            data: Data = deltas.read(content, wall_s)
            problem = newest.problem
        else:
            if content:
                self._take(key, content, size)
            newest = self._newest.get(key)
            if newest is None and key in self._newest:
                return None
            if newest is None or (group == self._links and not content):
                raise CodecError("nothing before this reading")
            data, problem = newest.data, newest.problem
        return Reading(self._gpus[gpu] if gpu != HOST else None, start_s, end_s, wall_s, data, problem)

    def _take(self, key: ReadingKey, content: list[Any], size: int) -> None:
        """Decode values that differ from the last ones of their kind."""
        if len(content) != 1:
            raise CodecError("not a reading")
        body = apply(self._bodies.get(key), content[0])
        if not isinstance(body, list) or not body:
            raise CodecError("not a reading")
        problem, *fields = body
        if has_body := key[1] != self._links:
            self._bodies[key] = body
        self._newest[key] = None
        self._weigh(key, size)
        data = self._schema.decode_data(self._schema.groups[key[1]], fields)
        self._count(key, data)
        if not has_body:
            assert isinstance(data, LinkCounters)
            self._deltas[key] = CounterDeltas(data)
        self._newest[key] = Reading(None, 0.0, 0.0, 0.0, data, None if problem is None else text(problem))

    def _count(self, key: ReadingKey, data: Data) -> None:
        """Limit the number of values that the newest readings hold together, however short their text is."""
        self._counters += _size(data) - self._counts.get(key, 0)
        self._counts[key] = _size(data)
        if self._counters > MAX_COUNTERS:
            raise CodecError(f"more than {MAX_COUNTERS} counters")

    def _weigh(self, key: ReadingKey, size: int) -> None:
        """Limit the memory for the newest values; a change may add as much as the length of its line."""
        self._sizes[key] = self._sizes.get(key, 0) + size
        self._size += size
        if self._size > MAX_STATE:
            self._sizes = {k: len(json.dumps(b)) for k, b in self._bodies.items()}
            self._size = sum(self._sizes.values())
            if self._size > MAX_STATE // 2:
                raise CodecError("more values than a node has")


def _size(data: Data) -> int:
    """Return the number of counters, states or processes in a group of values."""
    if isinstance(data, LinkErrors):
        return sum(map(len, data.counts.values()))
    if isinstance(data, LinkCounters):
        return len(data.tx_bytes) + len(data.rx_bytes)
    if isinstance(data, LinkStates):
        return len(data.states)
    if isinstance(data, LinkBer):
        return len(data.effective)
    if isinstance(data, Processes):
        return len(data.processes)
    if isinstance(data, NicPorts):
        return sum(len(port.errors) for port in data.ports)
    return 0


def _body(reading: Reading) -> list[Any]:
    """Return the problem of a reading, then the fields of its data."""
    return [reading.problem, *encode_data(reading.data)]
