"""Bursts of items for the pipe: a JSON list on a line.

An item is encoded as `codec` describes, except that

- times are whole microseconds, which recordings store exactly and compactly,
- a reading has only the name of its group if its values are the same object as those of the last reading
  of this group and GPU: link states and errors rarely change,
- link counters are one text, TX of every link, then RX of every link: numbers of 64 bits in hexadecimal, in
  the byte order of the machine. If a counter is missing, they are lists as in any other group. NVML's time
  stamps are another such text, unless there is one for all counters.

The receiver validates the items, because the driver may return anything. Python's `marshal` would cost a
quarter of JSON, but is not safe for untrusted input.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any, Final, cast

from nvltop.model import GROUPS, Data, Item, LinkCounters, Reading, split_tx_rx
from nvltop.text import clean
from nvltop.wire.codec import CURRENT_SCHEMA, decode, encode, encode_group
from nvltop.wire.decoding import CodecError, text

_to_json: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Encoder created once; `json.dumps` creates one on each call."""
US: Final = 10**6
MAX_US: Final = 1 << 63
READING: Final = "r"
LENGTH: Final = 7
"""Length of an encoded reading."""
_OTHER_TIMES: Final = (1, 2)
"""Positions of the times in the other items."""
_LINKS: Final = GROUPS[LinkCounters]
_COUNTERS: Final = 3
"""Position of the counters in the encoded group of link counters."""
_STAMPS: Final = 4
"""Position of the time stamps where the counters are one text."""
_UINT64, _INT64 = "Q", "q"


class Packer:
    """The worker's end of the pipe; `pack` returns the bytes in the order in which they are to be sent."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str | None, type[Data]], Data] = {}
        """Values that the receiver has, by GPU and group."""

    def pack(self, items: Sequence[Item]) -> bytes:
        """Return one burst; an item that cannot be encoded is replaced by the reason."""
        return _to_json([self._encoded(item) for item in items]).encode() + b"\n"

    def _encoded(self, item: Item) -> list[Any] | str:
        try:
            if isinstance(item, Reading):
                return self._encoded_reading(item)
            values = encode(item)
            for place in _OTHER_TIMES:
                values[place] = round(values[place] * US)
            return values
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            what = item.group if isinstance(item, Reading) else type(item).__name__
            return f"{what}: {error}"

    def _encoded_reading(self, reading: Reading) -> list[Any]:
        data, key = reading.data, (reading.gpu, type(reading.data))
        # If the values cannot be encoded, the receiver does not have them.
        if self._newest.pop(key, None) is data:
            values = [reading.group]
        else:
            values = _encoded_counters(data) if isinstance(data, LinkCounters) else encode_group(data)
        times = [round(t * US) for t in (reading.start_s, reading.end_s, reading.wall_s)]
        self._newest[key] = data
        return [READING, reading.gpu, *times, values, reading.problem]


class Receiver:
    """The main process's end of the pipe; accepts the bytes in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._newest: dict[tuple[str | None, str], Data] = {}
        """Values of the last valid reading, by GPU and group."""
        self._gpus: dict[str, str] = {}
        """Names of GPUs without control characters."""
        self.rejected = 0
        """Number of invalid items: the driver returned values that not even the readers reject."""
        self.rejection = ""
        """Why the last invalid item was rejected; empty if none was."""

    def feed(self, chunk: bytes) -> list[Item]:
        """Return the items that are complete with this chunk."""
        *bursts, self._rest = (self._rest + chunk).split(b"\n")
        items: list[Item] = []
        for burst in bursts:
            try:
                values = json.loads(burst)
            except ValueError:
                values = None
            for value in values if isinstance(values, list) else [None]:
                try:
                    items.append(self._decoded(value))
                except CodecError as error:
                    self.rejected += 1  # only this item is lost
                    self.rejection = str(error)
        return items

    def _decoded(self, value: Any) -> Item:
        if isinstance(value, str):
            raise CodecError(clean(value))  # the worker itself has rejected it
        if type(value) is not list:
            raise CodecError("not an item")
        if len(value) == LENGTH and value[0] == READING:
            return self._decoded_reading(value)
        for place in _OTHER_TIMES:
            if place < len(value) and type(value[place]) is int and abs(value[place]) < MAX_US:
                value[place] /= US
        return decode(value)

    def _decoded_reading(self, value: list[Any]) -> Reading:
        _, gpu, start_us, end_us, wall_us, group, problem = value
        if type(gpu) not in (str, type(None)) or type(group) is not list or not group:
            raise CodecError("not a reading")
        if type(group[0]) is not str:
            raise CodecError("not a group of values")
        key = gpu, group[0]
        # Values that are not valid are not repeated, nor are those before them.
        data = self._newest.pop(key, None)
        if len(group) > 1:
            name, *fields = _decoded_counters(group) if group[0] == _LINKS else group
            data = CURRENT_SCHEMA.decode_data(name, fields)
        elif data is None:
            raise CodecError(f"{clean(group[0])}: no values that could be repeated")
        if not type(start_us) is type(end_us) is type(wall_us) is int or not (
            0 <= start_us < MAX_US and 0 <= end_us < MAX_US and 0 <= wall_us < MAX_US
        ):
            raise CodecError("not the times of a reading")
        if gpu is not None and gpu not in self._gpus:
            self._gpus[gpu] = text(gpu)
        problem = None if problem is None else text(problem)
        self._newest[key] = data
        return Reading(self._gpus.get(gpu), start_us / US, end_us / US, wall_us / US, data, problem)


def _encoded_counters(data: LinkCounters) -> list[Any]:
    """Encode counters as one text, and time stamps as another, if all of them are numbers of 64 bits."""
    if len(data.tx_bytes) != len(data.rx_bytes):
        return encode_group(data)
    try:
        # Raises `TypeError` if a counter is missing.
        counters = _hex(_UINT64, cast(tuple[int, ...], data.tx_bytes + data.rx_bytes))
        stamps = _hex(_INT64, data.stamp_us) if len(data.stamp_us) > 1 else data.stamp_us
    except (OverflowError, TypeError):
        return encode_group(data)
    return [_LINKS, data.counter.value, data.scope.value, counters, stamps]


def _decoded_counters(group: list[Any]) -> list[Any]:
    """Replace the text of the counters by arrays of TX and RX, and that of the time stamps by an array."""
    if len(group) <= _COUNTERS or type(group[_COUNTERS]) is not str:
        return group
    stamps = [_array(_INT64, v) if type(v) is str else v for v in group[_STAMPS:]]
    return [*group[:_COUNTERS], *split_tx_rx(_array(_UINT64, group[_COUNTERS])), *stamps]


def _hex(code: str, numbers: Sequence[int]) -> str:
    return array(code, numbers).tobytes().hex()


def _array(code: str, text: str) -> array[int]:
    numbers = array(code)
    try:
        numbers.frombytes(bytes.fromhex(text))
    except ValueError:
        raise CodecError("not numbers of 64 bits") from None
    return numbers
