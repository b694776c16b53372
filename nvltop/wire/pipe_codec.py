"""Bursts of items for the pipe: each is a header, numbers of 64 bits and JSON.

    HEADER NUMBERS [names, gpus, kinds, problems, batches, others]

The readings of a burst are columns, so that both ends do little for each of them:

- `gpus`: the number of each reading's GPU. 0 is the host; `names` are new UUIDs with their numbers.
- `kinds`: the number of the batch whose next values are those of the reading; or ~N if they are equal to
  those of the last reading of group N and this GPU. Link states, errors and processes rarely change.
- `problems`: the problem of each; null if none has one.
- `batches`: values of one group, see `data_columns`, or counters of links, see `link_batches`.
- `others`: the items of other kinds as `codec` describes, each with its place among all items.

HEADER is `MARK` and the lengths of the other two in bytes. NUMBERS are in the byte order of the machine:
start, end and Unix time of each reading as doubles, in whole microseconds, which recordings store exactly and
compactly; then those of each batch. They are most of a burst; as text, both ends would convert each byte.

The receiver validates the items, because the driver may return anything. Python's `marshal` would take less
time than JSON, but is not safe for untrusted input.
"""

from __future__ import annotations

import json
import math
import struct
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, count, repeat
from operator import attrgetter
from typing import Any, Final

from nvltop.model import GROUPS, Data, Item, LinkCounters, Reading
from nvltop.text import clean
from nvltop.wire.codec import decode, encode
from nvltop.wire.data_columns import decode_columns, encode_columns
from nvltop.wire.link_batches import Numbers, decode_links, encode_links, packed
from nvltop.wire.names import CURRENT_GROUPS
from nvltop.wire.schema import CodecError, text

_to_json: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Encoder created once; `json.dumps` creates one on each call."""
MARK: Final = b"\xffNVL"
"""First bytes of each burst. JSON never contains the first of them, and numbers hardly ever all four."""
HEADER: Final = struct.Struct("4sII")
"""`MARK`, then the lengths of the numbers and of the values, bytes."""
MAX_BURST_BYTES: Final = 1 << 26
"""Length limit of a valid burst, bytes: hundreds of times what a large node reads at once."""
US: Final = 10**6
MAX_US: Final = 1 << 63
WHOLE: Final = float(1 << 52)
"""Number that rounds a smaller one to a whole number when it is added and subtracted again (IEEE 754)."""
_OTHER_TIMES: Final = (1, 2)
"""Positions of the times in the other items."""
_LINKS: Final = GROUPS[LinkCounters]
_TIMES: Final = 3
"""Number of times of a reading."""
_COLUMNS: Final = 2
"""Length of a batch of `data_columns`."""
_NUMBERS: Final = {name: number for number, name in enumerate(CURRENT_GROUPS)}
_UNCHANGED: Final = {cls: ~_NUMBERS[name] for cls, name in GROUPS.items()}
_times_of: Final = attrgetter("start_s", "end_s", "wall_s")
_INVALID: Final = (
    AttributeError, LookupError, OverflowError, RecursionError, StopIteration, TypeError, ValueError,
    struct.error,
)  # fmt: skip
"""What a line raises that is not a burst."""
_HOST: Final[dict[int, str | None]] = {0: None}
_LOST: Final = CodecError("values that were in a burst that is not valid")

_Batches = dict[Any, tuple[int, list[Any]]]
"""Number and values of each batch, by what its values have in common."""


class Packer:
    """The worker's end of the pipe; `pack` returns the bytes in the order in which they are to be sent."""

    def __init__(self) -> None:
        self._newest: dict[tuple[int, type[Data]], Data] = {}
        """Values that the receiver has, by GPU and group."""
        self._gpus: dict[str | None, int] = {None: 0}
        """Number of each GPU."""

    def pack(self, items: Sequence[Item]) -> bytes:
        """Return one burst; what cannot be encoded is replaced by what the receiver rejects."""
        readings = [item for item in items if type(item) is Reading]
        others = [(at, _encoded(item)) for at, item in enumerate(items) if type(item) is not Reading]
        gpus = [reading.gpu for reading in readings]
        new = [name for name in dict.fromkeys(gpus) if name not in self._gpus]
        names = list(zip(new, count(len(self._gpus))))
        self._gpus.update(names)
        numbers = [self._gpus[gpu] for gpu in gpus]
        batches: _Batches = {}
        kinds = [self._kind(number, r.data, batches) for number, r in zip(numbers, readings, strict=True)]
        us = [seconds * US + WHOLE - WHOLE for seconds in chain.from_iterable(map(_times_of, readings))]
        problems = [reading.problem for reading in readings]
        long = [array("d", us).tobytes()]
        burst = [
            names,
            numbers,
            kinds,
            problems if any(problems) else None,
            [_encoded_batch(shape, values, long) for shape, (_, values) in batches.items()],
            others,
        ]
        values = _to_json(burst).encode()
        header = HEADER.pack(MARK, sum(map(len, long)), len(values))
        return b"".join((header, *long, values))

    def _kind(self, gpu: int, data: Data, batches: _Batches) -> int:
        """Add values to a batch, and return its number; ~group if the receiver has them."""
        cls: Any = type(data)
        key = gpu, cls
        newest = self._newest.get(key)
        # Link counters are hardly ever equal: most have time stamps.
        if newest is data or (cls is not LinkCounters and newest == data):
            return _UNCHANGED[cls]
        self._newest[key] = data
        shape, value = (isinstance(data, LinkCounters) and packed(data)) or (cls, data)
        batch = batches.get(shape)
        if batch is None:
            batch = batches[shape] = len(batches), []
        batch[1].append(value)
        return batch[0]


def _encoded_batch(shape: Any, values: list[Any], numbers: list[bytes]) -> list[Any]:
    """Return a batch as JSON values, and append its numbers of 64 bits."""
    if type(shape) is tuple:
        return [_LINKS, *encode_links(shape, values, numbers)]
    return [GROUPS[shape], encode_columns(values)]


def _encoded(item: Item) -> list[Any] | str:
    """Return an item other than a reading as JSON values, or why there are none."""
    try:
        values = encode(item)
        for place in _OTHER_TIMES:
            values[place] = round(values[place] * US)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        return f"{type(item).__name__}: {error}"
    return values


class Receiver:
    """The main process's end of the pipe; accepts the bytes in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._newest: dict[tuple[int, int], Data | CodecError] = {}
        """Values of the last reading, or why they are invalid, by GPU and group."""
        self._gpus = dict(_HOST)
        """Names of the GPUs without control characters, by number."""
        self.rejected = 0
        """Number of invalid items: the driver returned values that not even the readers reject."""
        self.rejection = ""
        """Why the last invalid item was rejected; empty if none was."""

    @property
    def is_incomplete(self) -> bool:
        """Whether the rest of a burst is still to come."""
        return bool(self._rest)

    def feed(self, chunk: bytes) -> list[Item]:
        """Return the items that are complete with this chunk."""
        self._rest += chunk
        items: list[Item] = []
        while parts := self._next_burst():
            try:
                numbers, values = parts
                came = self._items(Numbers(numbers), _from_json(str(values, "utf-8")))
            except _INVALID:
                # Later bursts refer to values that were in it; earlier ones in their place would look new.
                self._newest.clear()
                came = [CodecError("not a burst of items")]
            valid = [item for item in came if not isinstance(item, CodecError)]
            items += valid
            if len(valid) < len(came):
                errors = [item for item in came if isinstance(item, CodecError)]
                self.rejected += len(errors)  # only these items are lost
                self.rejection = str(errors[-1])
        return items

    def _next_burst(self) -> tuple[memoryview, memoryview] | None:
        """Remove the next burst, and return its numbers and values; None if it has not come completely.

        Both are empty, which is not valid, for what precedes the next `MARK`.
        """
        came = self._rest
        if came.startswith(MARK):
            if len(came) < HEADER.size:
                return None
            _, numbers, values = HEADER.unpack_from(came)
            middle = HEADER.size + numbers
            end = middle + values
            if end <= MAX_BURST_BYTES:
                if len(came) < end:
                    return None
                self._rest = came[end:]
                return memoryview(came)[HEADER.size : middle], memoryview(came)[middle:end]
        elif MARK.startswith(came):
            return None
        again = came.find(MARK, 1)
        self._rest = came[again:] if again > 0 else b""
        return memoryview(b""), memoryview(b"")

    def _items(self, numbers: Numbers, burst: Any) -> list[Item | CodecError]:
        """Return the items of a burst, and an error in the place of each that is not valid."""
        names, gpus, kinds, problems, batches, others = burst
        self._gpus |= {number: text(name) for name, number in names} | _HOST
        times = _times(numbers.take(_TIMES * len(kinds)))
        values = self._values(gpus, kinds, batches, numbers)
        owners = [self._gpus[gpu] for gpu in gpus]
        why = repeat(None) if problems is None else [p if p is None else text(p) for p in problems]
        readings: Any = list(map(Reading, owners, *times, values, why))
        if len(readings) != len(kinds):
            raise CodecError("not the values of the readings")
        came = [v if isinstance(v, CodecError) else r for v, r in zip(values, readings, strict=True)]
        for at, other in others:
            came.insert(at, _decoded(other))
        return came

    def _values(self, gpus: list[int], kinds: list[int], batches: list[Any], numbers: Numbers) -> list[Any]:
        """Return the values of each reading, or why they are invalid."""
        groups = [_NUMBERS[name] for name, *_ in batches]
        rest = [iter(_decoded_batch(b, kinds.count(number), numbers)) for number, b in enumerate(batches)]
        numbers.end()
        values = []
        for gpu, kind in zip(gpus, kinds, strict=True):
            if kind < 0:
                value = self._newest.get((gpu, ~kind), _LOST)
            else:
                value = self._newest[gpu, groups[kind]] = next(rest[kind])
            values.append(value)
        return values


def _times(numbers: memoryview) -> tuple[list[float], list[float], list[float]]:
    """Return the starts, ends and Unix times of readings, seconds."""
    us = numbers.cast("d").tolist()
    # NaN is neither the least nor the largest, but it makes the sum NaN.
    if us and (min(us) < 0 or max(us) >= MAX_US or math.isnan(sum(us))):
        raise CodecError("not the times of readings")
    seconds = [each / US for each in us]
    return seconds[0::3], seconds[1::3], seconds[2::3]


def _decoded_batch(batch: list[Any], length: int, numbers: Numbers) -> Iterable[Any]:
    name, *rest = batch
    if len(batch) == _COLUMNS:
        return decode_columns(name, rest[0], length)
    return decode_links(*rest, length=length, numbers=numbers)


def _decoded(value: Any) -> Item | CodecError:
    """Return an item other than a reading."""
    try:
        if isinstance(value, str):
            raise CodecError(clean(value))  # the worker itself has rejected it
        if type(value) is not list:
            raise CodecError("not an item")
        for place in _OTHER_TIMES:
            if place < len(value) and type(value[place]) is int and abs(value[place]) < MAX_US:
                value[place] /= US
        return decode(value)
    except CodecError as error:
        return error


def _refuse(name: str) -> None:
    raise CodecError(f"{name} is not a number")


_from_json: Final = json.JSONDecoder(parse_constant=_refuse).decode
