"""Items as plain JSON values and back, for the worker's pipe and for recordings.

An item is `[tag, field, field, …]`, an object within it a list of its fields; `Missing` is `{"?": reason}`.
The order of the fields is that of a `Schema`. Decoding accepts untrusted input: texts are cleaned, and
anything that does not fit raises `CodecError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields as fields_of
from enum import Enum
from typing import Any, Final

from nvltop.model import GROUPS, Data, Event, Item, Listening, Missing
from nvltop.wire.decoding import Schema
from nvltop.wire.names import CLASSES, CURRENT, CURRENT_GROUPS, LISTENING, TAGS

Encoder = Callable[[Any], Any]

_TAG_OF: Final = {cls: tag for tag, cls in TAGS.items()}
_INTEGERS: Final = {int}
"""The types in a list of integers."""


def encode(item: Item) -> list[Any]:
    """Return an item as JSON values."""
    if isinstance(item, Listening):
        item = Event(item.mono_s, item.wall_s, None, LISTENING, item.gpus)
    cls = type(item)
    return [_TAG_OF[cls], *_ENCODERS[cls](item)]


def encode_data(data: Data) -> list[Any]:
    """Return the fields of a group of values as JSON values."""
    fields: list[Any] = _ENCODERS[type(data)](data)
    return fields


def decode(value: object) -> Item:
    """Return the item that this version has encoded as `value`; raise `CodecError` if it is not an item."""
    return CURRENT_SCHEMA.decode(value)


def _plain(value: Any) -> Any:
    """Return JSON values for any value of an item."""
    kind = type(value)
    if kind is int or kind is str or value is None or kind is bool:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError("a value that is not finite cannot be part of an item")
        return value
    if kind is Missing:
        return {"?": value.reason}
    if kind is tuple:
        # Most of the data are counters by link, which need no conversion.
        return list(value) if set(map(type, value)) == _INTEGERS else [_plain(v) for v in value]
    if isinstance(value, Enum):
        return value.value
    if kind is dict:
        return {k: _plain(v) for k, v in value.items()}
    if kind in GROUPS:
        return [GROUPS[kind], *_ENCODERS[kind](value)]
    return _ENCODERS[kind](value)


def _encoder(cls: type) -> Encoder:
    names = [f.name for f in fields_of(cls)]

    def encode_fields(item: Any) -> list[Any]:
        return [_plain(getattr(item, name)) for name in names]

    return encode_fields


_ENCODERS: Final[dict[type, Encoder]] = {cls: _encoder(cls) for cls in CLASSES}
CURRENT_SCHEMA: Final = Schema(CURRENT, CURRENT_GROUPS)
