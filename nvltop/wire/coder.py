"""Items to lines and back; both directions remember the same, so that a line holds only what is new."""

from __future__ import annotations

import json
from typing import Any, Final

from nvltop.model import (
    Data,
    Event,
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
from nvltop.wire.codec import CodecError, decode, encode
from nvltop.wire.counters import Track
from nvltop.wire.limits import GROUP_NAMES, HOST, LINKS, MAX_COUNTERS, MAX_GPUS, MAX_LINKS, MAX_STATE
from nvltop.wire.patch import apply, diff
from nvltop.wire.times import Times

HEAD: Final = 5
"""Entries of a reading's line before what was read."""
_GROUP: Final = {name: number for number, name in enumerate(GROUP_NAMES)}

Key = tuple[int, int]
"""Number of the GPU, number of the group."""


class Encoder:
    """Writes one recording."""

    def __init__(self) -> None:
        self._times = Times()
        self._gpus: dict[str, int] = {}
        self._told: dict[Key, tuple[Data, str | None]] = {}
        self._bodies: dict[Key, Any] = {}
        """The same as JSON values."""
        self._tracks: dict[Key, tuple[Track, str | None]] = {}
        self._tick: Any = None

    def lines(self, item: Item) -> list[Any]:
        """Return the values that stand for one item, a line each."""
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
            known = len(self._gpus)
            gpu = self._gpus.setdefault(reading.gpu, known)
            if gpu == known:
                lines.append(["g", reading.gpu])
        key = gpu, _GROUP[reading.group]
        times = self._times.write(reading.start_s, reading.end_s, wall_s=reading.wall_s)
        lines.append([*key, *times, *self._content(key, reading)])
        return lines

    def _content(self, key: Key, reading: Reading) -> list[Any]:
        if isinstance(reading.data, LinkCounters):
            track, problem = self._tracks.get(key, (None, None))
            if track and problem == reading.problem:
                differences = track.write(reading.data, reading.wall_s)
                if differences:
                    return differences
            self._tracks[key] = Track(reading.data), reading.problem
            return [[_body(reading)]]
        told = reading.data, reading.problem
        if told == self._told.get(key):
            return []
        self._told[key] = told
        body = _body(reading)
        change = diff(self._bodies[key], body) if key in self._bodies else [body]
        self._bodies[key] = body
        return [] if change is None else [change]


class Decoder:
    """Reads one recording; raises `CodecError` for what is none."""

    def __init__(self, after_s: float = 0.0) -> None:
        """Take the time of the last `Tick` of the recording before, if this one goes on where it ended."""
        self.tick_s = after_s
        self._times = Times()
        self._gpus: list[str] = []
        self._bodies: dict[Key, Any] = {}
        self._newest: dict[Key, Reading] = {}
        self._tracks: dict[Key, Track] = {}
        self._counts: dict[Key, int] = {}
        self._counters = 0
        self._sizes: dict[Key, int] = {}
        self._size = 0
        self._tick: Any = None

    def item(self, line: object, size: int) -> Item | None:
        """Return the item that a line of `size` bytes stands for; None for a name."""
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
        if tag not in ("i", "e", "l") or len(line) < 3:
            raise CodecError("unknown kind of line")
        mono_s, wall_s = self._times.read(line[1:3])
        item = decode([tag, mono_s, wall_s, *line[3:]])
        if isinstance(item, Inventory):
            links = sum(len(gpu.remotes) for gpu in item.gpus if known(gpu.remotes))
            if links > MAX_LINKS:
                raise CodecError(f"more than {MAX_LINKS} links")
        return item

    def _name(self, line: list[Any]) -> None:
        # An event's GPU is a text of the same kind.
        event = decode(["e", 0, 0, line[1], "", 0])
        if len(line) != 2 or not isinstance(event, Event) or event.gpu is None:
            raise CodecError("not a name")
        if len(self._gpus) >= MAX_GPUS:
            raise CodecError(f"more than {MAX_GPUS} GPUs")
        self._gpus.append(event.gpu)

    def _read_tick(self, line: list[Any]) -> Item:
        if not 3 <= len(line) <= 4:
            raise CodecError("not a tick")
        mono_s, wall_s = self._times.read(line[1:3])
        if mono_s < self.tick_s:
            raise CodecError("time goes backwards")
        rest = apply(self._tick, line[3]) if len(line) == 4 else self._tick
        if not isinstance(rest, list):
            raise CodecError("not a tick")
        tick = decode(["t", mono_s, wall_s, *rest])
        self._tick, self.tick_s = rest, mono_s
        return tick

    def _reading(self, line: list[Any], size: int) -> Reading:
        gpu, group = line[:2]
        if type(group) is not int or not 0 <= group < len(GROUP_NAMES):
            raise CodecError("unknown group of values")
        if not HOST <= gpu < len(self._gpus) or len(line) < HEAD:
            raise CodecError("not a reading")
        start_s, end_s, wall_s = self._times.read(line[2:HEAD])
        if end_s < start_s:
            raise CodecError("time goes backwards")
        key = gpu, group
        content = line[HEAD:]
        if len(content) > 1 and group == LINKS:
            track = self._tracks.get(key)
            if track is None:
                raise CodecError("no counters before these")
            data: Data = track.read(content, wall_s)
            problem = self._newest[key].problem
        else:
            if content:
                self._take(key, content, size)
            newest = self._newest.get(key)
            if newest is None or (group == LINKS and not content):
                raise CodecError("nothing before this reading")
            data, problem = newest.data, newest.problem
        return Reading(self._gpus[gpu] if gpu != HOST else None, start_s, end_s, wall_s, data, problem)

    def _take(self, key: Key, content: list[Any], size: int) -> None:
        """Take a reading that is not the same as the last one of its kind."""
        if len(content) != 1:
            raise CodecError("not a reading")
        body = apply(self._bodies.get(key), content[0])
        if not isinstance(body, list) or not body:
            raise CodecError("not a reading")
        problem, *fields = body
        reading = decode(["r", None, 0, 0, 0, [GROUP_NAMES[key[1]], *fields], problem])
        assert isinstance(reading, Reading)
        self._count(key, reading.data)
        if isinstance(reading.data, LinkCounters):
            self._tracks[key] = Track(reading.data)
        else:
            self._bodies[key] = body
        self._newest[key] = reading
        self._weigh(key, size)

    def _count(self, key: Key, data: Data) -> None:
        """Keep in bounds what the newest readings together hold, whatever they take as text."""
        self._counters += _size(data) - self._counts.get(key, 0)
        self._counts[key] = _size(data)
        if self._counters > MAX_COUNTERS:
            raise CodecError(f"more than {MAX_COUNTERS} counters")

    def _weigh(self, key: Key, size: int) -> None:
        """Keep what is remembered in bounds; a change may add as much as its line is long."""
        self._sizes[key] = self._sizes.get(key, 0) + size
        self._size += size
        if self._size > MAX_STATE:
            self._sizes = {k: len(json.dumps(b)) for k, b in self._bodies.items()}
            self._size = sum(self._sizes.values())
            if self._size > MAX_STATE // 2:
                raise CodecError("more values than a node has")


def _size(data: Data) -> int:
    """Return how many counters, states or processes a group of values holds."""
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
    """Return what was read: the problem, then the fields of the data."""
    *_, (_group, *fields), problem = encode(reading)
    return [problem, *map(_short, fields)]


def _short(value: Any) -> Any:
    """Leave out the `.0` of whole numbers; the decoder knows what is a float."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return [_short(v) for v in value] if type(value) is list else value
