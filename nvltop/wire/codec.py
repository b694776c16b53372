"""Items as plain JSON values and back: for the worker's pipe and for recordings.

An item is `[tag, field, field, …]` in the order of its dataclass. `Missing` is `{"?": reason}`.
Decoding trusts nothing, since recordings come from strangers: texts are cleaned, and whatever does
not fit raises `CodecError` and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from nvltop import model
from nvltop.model import (
    GROUPS,
    Data,
    Event,
    Inventory,
    Item,
    LinkCounters,
    LinkStates,
    Listening,
    LogLine,
    Missing,
    Reading,
    Scope,
    Tick,
)
from nvltop.text import MAX_TEXT_CHARS, clean

MAX_LIST: Final = 1024
"""GPUs of a node, links of a GPU; processes of a node may be more."""
LONGER: Final = {"stamp_us": 2 * MAX_LIST, "pairs": MAX_LIST**2, "processes": MAX_LIST**2}
MAX_KINDS: Final = 64
"""Error kinds of a board."""
MAX_NUMBER: Final = 1 << 80
"""More than 64 bits of KiB."""
SIGNED: Final = frozenset({"temperature_c", "stamp_us"})
"""All other numbers count or measure something that has no less than nothing; NVML's own times are
taken as they come, since the rates judge them."""

TAGS: Final[dict[str, type]] = {"i": Inventory, "r": Reading, "e": Event, "l": LogLine, "t": Tick}
LISTENING: Final = "listening"
"""Kind of the event that `Listening` is encoded as, with the number of GPUs as its code (schema 1)."""
_TAG_OF: Final = {cls: tag for tag, cls in TAGS.items()}
_DATA: Final = {name: cls for cls, name in GROUPS.items()}

_WHOLE: Final = {int}
"""The types in a list of nothing but whole numbers."""

Encoder = Callable[[Any], Any]
Decoder = Callable[[Any], Any]


class CodecError(ValueError):
    """The value is not an item; the message is one short line."""


def encode(item: Item) -> list[Any]:
    """Return an item as JSON values."""
    if isinstance(item, Listening):
        item = Event(item.mono_s, item.wall_s, None, LISTENING, item.gpus)
    cls = type(item)
    return [_TAG_OF[cls], *_ENCODERS[cls](item)]


def decode(value: object) -> Item:
    """Return the item that `value` stands for; raise `CodecError` if it is none."""
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise CodecError("not an item")
    cls = TAGS.get(value[0])
    if cls is None:
        raise CodecError(f"unknown kind of item {value[0][:20]!r}")
    item: Item = _DECODERS[cls](value[1:])
    if isinstance(item, Event) and item.kind == LISTENING:
        return Listening(item.mono_s, item.wall_s, item.code)
    return item


def _plain(value: Any) -> Any:
    """Encode anything the model is made of."""
    kind = type(value)
    if kind is int or kind is str or value is None or kind is bool:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError("a value that is not finite has no place in an item")
        return value
    if kind is Missing:
        return {"?": value.reason}
    if kind is tuple:
        # Counters by link are most of what is written, and stand for themselves.
        return list(value) if set(map(type, value)) == _WHOLE else [_plain(v) for v in value]
    if isinstance(value, Enum):
        return value.value
    if kind is dict:
        return {k: _plain(v) for k, v in value.items()}
    if kind in GROUPS:
        return [GROUPS[kind], *_ENCODERS[kind](value)]
    return _ENCODERS[kind](value)


def _encoder(cls: type) -> Encoder:
    names = [f.name for f in fields(cls)]

    def encode_fields(item: Any) -> list[Any]:
        return [_plain(getattr(item, name)) for name in names]

    return encode_fields


def _decoder(hint: Any, field: str) -> Decoder:
    """Build the strict reader of one type annotation."""
    origin = get_origin(hint)
    if origin is Union or origin is UnionType:
        return _union(get_args(hint), field)
    if origin is tuple:
        return _many(get_args(hint)[0], field)
    if origin is dict:
        return _mapping(_decoder(get_args(hint)[1], field))
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice(hint)
    if hint is int or hint is float:
        return _number(hint, _least(field))
    return _SCALARS[hint]


def _least(field: str) -> int:
    return -MAX_NUMBER if field in SIGNED else 0


def _number(kind: type, least: int) -> Decoder:
    kinds = {int} if kind is int else {int, float}
    what = "a whole number" if kind is int else "a number"

    def decode_number(value: Any) -> Any:
        # Not a number compares as false, too.
        if type(value) in kinds and least <= value < MAX_NUMBER:
            return kind(value)
        raise CodecError(f"not {what} in range")

    return decode_number


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > MAX_TEXT_CHARS:
        raise CodecError("not a text of bearable length")
    return clean(value)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise CodecError("neither true nor false")
    return value


def _nothing(value: Any) -> None:
    if value is not None:
        raise CodecError("not null")


def _missing(value: Any) -> Missing:
    if type(value) is not dict or list(value) != ["?"]:
        raise CodecError("not a missing value")
    return Missing(_text(value["?"]))


_SCALARS: Final[dict[Any, Decoder]] = {
    str: _text,
    bool: _truth,
    type(None): _nothing,
}


def _union(hints: tuple[Any, ...], field: str) -> Decoder:
    if hints == get_args(Data):
        return _data
    rest = [h for h in hints if h is not Missing]
    # Told apart by the JSON type: an object is missing, null is None, else the one other member.
    others = [_decoder(h, field) for h in rest if h is not type(None)]
    if len(others) != 1:
        raise TypeError(f"cannot tell {hints} apart")
    other, maybe_missing, maybe_none = others[0], Missing in hints, type(None) in hints

    def decode_one(value: Any) -> Any:
        if value is None and maybe_none:
            return None
        if maybe_missing and type(value) is dict:
            return _missing(value)
        return other(value)

    return decode_one


def _many(hint: Any, field: str) -> Decoder:
    decode_one = _decoder(hint, field)
    most, least = LONGER.get(field, MAX_LIST), _least(field)
    whole = hint is int or get_args(hint) == (int, Missing)

    def decode_many(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > most:
            raise CodecError("not a list of bearable length")
        if whole and set(map(type, value)) == _WHOLE and least <= min(value) and max(value) < MAX_NUMBER:
            # The answer of the line below, without a call for each number.
            return tuple(value)
        return tuple([decode_one(v) for v in value])

    return decode_many


def _mapping(decode_one: Decoder) -> Decoder:
    def decode_mapping(value: Any) -> dict[str, Any]:
        if type(value) is not dict or len(value) > MAX_KINDS:
            raise CodecError("not an object of bearable size")
        return {_text(k): decode_one(v) for k, v in value.items()}

    return decode_mapping


def _choice(cls: type[Enum]) -> Decoder:
    members = {member.value: member for member in cls}

    def decode_choice(value: Any) -> Enum:
        member = members.get(value) if type(value) is str else None
        if member is None:
            raise CodecError(f"not one of {', '.join(members)}")
        return member

    return decode_choice


NOT_RECORDED: Final = Missing("not recorded by this version")
"""Stands for a value that a recording of an earlier version does not have."""
RELEASED_FIELDS: Final = {
    "Inventory": 15, "Gpu": 22, "Remote": 4, "C2c": 3, "Pair": 4, "Problem": 3, "Nic": 7, "PciLocation": 3,
    "Reading": 6, "LinkCounters": 5, "LinkStates": 2, "LinkErrors": 1, "LinkBer": 1, "Gauges": 10,
    "PcieTraffic": 3, "C2cTraffic": 2, "Fabric": 11, "Host": 3, "Cost": 5, "Event": 5, "Tick": 6, "Call": 4,
    "Processes": 4, "Process": 11, "Ancestor": 2, "GpuUse": 4, "NicPorts": 1, "NicPort": 11,
}  # fmt: skip
"""Number of fields of each class in 0.1.0, whose recordings must stay readable. Later versions add fields
at the end, with a default; a recording with fewer fields than this is damaged, not old."""


def _dataclass(cls: type) -> Decoder:
    hints = get_type_hints(cls)
    decoders = [_decoder(hints[f.name], f.name) for f in fields(cls)]
    names = [f.name for f in fields(cls)]
    least = RELEASED_FIELDS.get(cls.__name__, len(decoders))
    absent = [
        NOT_RECORDED if isinstance(f.default, Missing) else f.default
        for f in fields(cls)[least:]
        if f.default is not MISSING
    ]
    if least + len(absent) != len(decoders):
        raise TypeError(f"a field that was added to {cls.__name__} needs a default")

    def decode_fields(value: Any) -> Any:
        if type(value) is not list or not least <= len(value) <= len(decoders):
            raise CodecError(f"not the fields of {cls.__name__}")
        try:
            given = [decode_one(v) for decode_one, v in zip(decoders, value, strict=False)]
            return cls(*given, *absent[len(value) - least :])
        except CodecError as error:
            if ":" in str(error):
                raise
            bad = next(n for n, d, v in zip(names, decoders, value, strict=False) if not _fits(d, v))
            raise CodecError(f"{cls.__name__}.{bad}: {error}") from None

    return decode_fields


def _fits(decode_one: Decoder, value: Any) -> bool:
    try:
        decode_one(value)
    except CodecError:
        return False
    return True


def _even(data: Any) -> bool:
    """Whether lists that go by link index are of one length, which is 1 for a GPU's total."""
    if isinstance(data, LinkCounters):
        n = len(data.tx_bytes)
        total = data.scope is Scope.GPU
        return len(data.rx_bytes) == n and len(data.stamp_us) in (0, 1, 2 * n) and (n == 1 or not total)
    return not isinstance(data, LinkStates) or len(data.states) == len(data.speed_bytes_per_s)


def _data(value: Any) -> Any:
    if type(value) is not list or not value or not isinstance(value[0], str) or value[0] not in _DATA:
        raise CodecError("not a group of values")
    data = _DECODERS[_DATA[value[0]]](value[1:])
    if not _even(data):
        raise CodecError("lists of different lengths")
    return data


def _all_dataclasses() -> list[type]:
    return [cls for cls in vars(model).values() if isinstance(cls, type) and is_dataclass(cls)]


_ENCODERS: Final[dict[type, Encoder]] = {
    cls: _encoder(cls) for cls in _all_dataclasses() if cls is not Missing
}
_DECODERS: Final[dict[type, Decoder]] = {cls: _dataclass(cls) for cls in _DATA.values()}
_DECODERS.update({cls: _dataclass(cls) for cls in TAGS.values()})
