"""Items as plain JSON values and back, for the worker's pipe and for recordings.

An item is `[tag, field, field, …]`, an object within it a list of its fields; `Missing` is `{"?": reason}`.
The order of the fields is that of a `Schema`. Decoding accepts untrusted input: texts are cleaned, and
anything that does not fit raises `CodecError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from types import NoneType
from typing import Any, Final

from nvltop.frozen import fields_of
from nvltop.model import GROUPS, Data, Event, Item, Listening, Missing
from nvltop.wire.names import CLASSES, CURRENT, CURRENT_GROUPS, LISTENING, TAGS
from nvltop.wire.schema import Schema

Encoder = Callable[[Any], Any]

_TAG_OF: Final = {cls: tag for tag, cls in TAGS.items()}
JSON_TYPES: Final = frozenset((bool, int, str, NoneType))
"""Types whose values are JSON values themselves; a float is one only if it is finite."""
NUMBER_TYPES: Final = frozenset((int, float))


def encode(item: Item) -> list[Any]:
    """Return an item as JSON values."""
    if isinstance(item, Listening):
        item = Event(item.mono_s, item.wall_s, None, LISTENING, item.gpus)
    cls = type(item)
    return [_TAG_OF[cls], *_ENCODERS[cls](item)]


def encode_group(data: Data) -> list[Any]:
    """Return the name of a group of values and its fields as JSON values."""
    kind = type(data)
    return [GROUPS[kind], *_ENCODERS[kind](data)]


def encode_data(data: Data) -> list[Any]:
    """Return the fields of a group of values as short JSON values."""
    return [_short(value) for value in _ENCODERS[type(data)](data)]


def _short(value: Any) -> Any:
    """Remove the `.0` of whole numbers; the decoder knows which fields are floats."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return [_short(v) for v in value] if type(value) is list else value


def decode(value: object) -> Item:
    """Return the item that this version has encoded as `value`; raise `CodecError` if it is not an item."""
    return CURRENT_SCHEMA.decode(value)


def plain(value: Any) -> Any:
    """Return JSON values for a value of an item, or for JSON values; raise `ValueError` for NaN."""
    kind = type(value)
    if kind in JSON_TYPES:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError("a value that is not finite cannot be part of an item")
        return value
    if kind is Missing:
        return {"?": value.reason}
    if kind is tuple or kind is list:
        # Most of the data are counters by link, which need no conversion.
        kinds = set(map(type, value))
        if kinds <= JSON_TYPES or (kinds <= NUMBER_TYPES and all(map(math.isfinite, value))):
            return list(value)
        return [v if type(v) in JSON_TYPES else plain(v) for v in value]
    if kind is dict:
        return {k: plain(v) for k, v in value.items()}
    if kind in GROUPS:
        return encode_group(value)
    if kind in _ENCODERS:
        return _ENCODERS[kind](value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{kind.__name__} cannot be part of an item")


def _fields_getter(cls: type) -> Callable[[Any], tuple[Any, ...]]:
    names = tuple(fields_of(cls))
    # With a single name, an `attrgetter` returns no tuple.
    return attrgetter(*names) if len(names) > 1 else lambda item: (getattr(item, names[0]),)


def _encoder(cls: type) -> Encoder:
    fields = FIELDS[cls]

    def encode_fields(item: Any) -> list[Any]:
        return [
            v if (kind := type(v)) in JSON_TYPES or (kind is float and math.isfinite(v)) else plain(v)
            for v in fields(item)
        ]

    return encode_fields


FIELDS: Final = {cls: _fields_getter(cls) for cls in CLASSES}
"""A function for each class that returns its fields in the order in which they are encoded."""
_ENCODERS: Final[dict[type, Encoder]] = {cls: _encoder(cls) for cls in CLASSES}
CURRENT_SCHEMA: Final = Schema(CURRENT, CURRENT_GROUPS)
