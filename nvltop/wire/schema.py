"""Schemas: the order of the fields in encoded items, and the decoding that follows from it.

A schema of another version may lack fields of this version and have others. Fields that it lacks become
`NOT_RECORDED` or their default. Fields, groups and enum values that this version does not know are skipped
and listed in `Schema.skipped`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field
from enum import Enum
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from nvltop.frozen import fields_of
from nvltop.model import GROUPS, Data, Event, Item, LinkCounters, LinkStates, Listening, Missing, Scope
from nvltop.text import MAX_TEXT_CHARS, clean
from nvltop.wire.names import CLASSES, LISTENING, TAGS, Names, wire_names

MAX_LIST: Final = 1024
"""Length limit of a list: GPUs of a node, links of a GPU."""
LONGER: Final = {"stamp_us": 2 * MAX_LIST, "pairs": MAX_LIST**2, "processes": MAX_LIST**2}
"""Length limits of the lists that may be longer than `MAX_LIST`, by field."""
MAX_KINDS: Final = 64
"""Number of error kinds of a board."""
MAX_NUMBER: Final = 1 << 80
"""Limit of the numbers: more than 64 bits of KiB."""
MAX_SKIPPED: Final = 50
"""Number of skipped names that are listed."""
SIGNED: Final = frozenset({"initialised_s", "stamp_us", "temperature_c"})
"""Fields that may be negative. NVML's own times are taken as they are, since the rates check them."""
NOT_RECORDED: Final = Missing("not recorded by this version")
"""Value of a field that the version which wrote a recording did not have."""
UNKNOWN_VALUE: Final = Missing("recorded by a newer version")
"""Value of a field whose recorded value this version does not know."""

_LISTS: Final = (list, array)
"""The types of a list; JSON has no `array`, which the pipe's counters of 64 bits are in."""
_INTEGERS: Final = {int}
"""The types in a list of integers."""
DATA: Final = {name: cls for cls, name in GROUPS.items()}

Decoder = Callable[[Any], Any]


class CodecError(ValueError):
    """The error for a value that is not an item; the message is one short line."""


class UnknownError(CodecError):
    """The error for an item that this version cannot represent, although it may be valid."""


@cache
def hints_of(cls: type) -> dict[str, Any]:
    """Return the type of each field."""
    return {name: _type_of(str(f.type), cls.__module__) for name, f in fields_of(cls).items()}


@cache
def _type_of(annotation: str, module: str) -> Any:
    """Return the type that an annotation stands for: `get_type_hints()` compiles equal ones again."""
    holder = type("_Holder", (), {"__annotations__": {"value": annotation}, "__module__": module})
    return get_type_hints(holder)["value"]


class Schema:
    """The fields of each class in the order in which they are encoded."""

    def __init__(
        self,
        names: Names,
        groups: Sequence[str],
        minimum: Mapping[str, int] | None = None,
        tolerant: bool = False,
    ) -> None:
        """Take the fields of each class and the groups.

        A list with fewer fields than declared is valid if it has those that `minimum` counts for its class.
        With `tolerant`, unknown enum values are skipped instead of raising `CodecError`.
        """
        self.groups = tuple(groups)
        self.skipped: dict[str, None] = {}
        """What this version does not know, in the order in which it was found."""
        self._names = names
        self._minimum = minimum or {}
        self._tolerant = tolerant
        self._decoders: dict[type, Decoder] = {}
        for group in groups:
            if group not in DATA:
                self.skip(f"group {group}")
        for name in names:
            if name not in _CLASS_OF and name not in groups:
                self.skip(f"class {name}")

    def decode(self, value: object) -> Item:
        """Return the item that `value` stands for; raise `CodecError` if it is not an item."""
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            raise CodecError("not an item")
        cls = TAGS.get(value[0])
        if cls is None:
            raise UnknownError(f"unknown kind of item {value[0][:20]!r}")
        item: Item = self._dataclass(cls)(value[1:])
        if isinstance(item, Event) and item.kind == LISTENING:
            return Listening(item.mono_s, item.wall_s, item.code)
        return item

    def decode_data(self, group: str, values: list[Any]) -> Data:
        """Return the values of a group; raise `CodecError` if they do not fit."""
        cls = DATA.get(group)
        if cls is None:
            raise CodecError("not a group of values")
        data: Data = self._dataclass(cls)(values)
        if not has_equal_lists(data):
            raise CodecError("lists of different lengths")
        return data

    def skip(self, what: str) -> None:
        """List something that this version does not know."""
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped[clean(what, MAX_TEXT_CHARS)] = None

    def _dataclass(self, cls: type) -> Decoder:
        if cls not in self._decoders:
            self._decoders[cls] = self._fields_decoder(cls)
        return self._decoders[cls]

    def _fields_decoder(self, cls: type) -> Decoder:
        """Return the decoder of a class, which skips unknown fields and fills in absent ones."""
        name = CLASSES[cls]
        declared = self._names.get(name, ())
        own = dict(zip(wire_names(cls), fields_of(cls).values(), strict=True))
        readers: list[tuple[str, Decoder] | None] = []
        for field_name in declared:
            field = own.get(field_name)
            if field is None:
                self.skip(f"{name}.{field_name}")
            readers.append(
                (field.name, self.decoder(hints_of(cls)[field.name], field.name)) if field else None
            )
        absent = {f.name: _absent(cls, f) for wire, f in own.items() if wire not in declared}
        least = self._minimum.get(name, len(declared))
        defaults = {f.name: _absent(cls, f) for f in own.values()} if least < len(declared) else {}
        positional = [r[1] for r in readers if r]
        in_order = len(positional) == len(readers) == len(own) and tuple(declared) == tuple(own)

        def decode_fields(value: Any) -> Any:
            if type(value) is not list or not least <= len(value) <= len(readers):
                raise CodecError(f"not the fields of {name}")
            try:
                if in_order and len(value) == len(positional):
                    return cls(*[decode_one(v) for decode_one, v in zip(positional, value, strict=True)])
                found = {**absent, **defaults}
                for at, v in enumerate(value):
                    if reader := readers[at]:
                        found[reader[0]] = reader[1](v)
                for key, v in found.items():
                    if v is MISSING:
                        raise UnknownError(f"{name} without {key}")
                return cls(**{k: v() if isinstance(v, _Factory) else v for k, v in found.items()})
            except CodecError as error:
                if ":" in str(error):
                    raise
                pairs = zip(readers, value, strict=False)
                bad = next((r[0] for r, v in pairs if r and not _fits(r[1], v)), name)
                raise type(error)(f"{cls.__name__}.{bad}: {error}") from None

        return decode_fields

    def decoder(self, hint: Any, field: str) -> Decoder:
        """Return the decoder of one type annotation."""
        origin = get_origin(hint)
        if origin is Union or origin is UnionType:
            return self._union(get_args(hint), field)
        if origin is tuple:
            return _many(self.decoder(get_args(hint)[0], field), get_args(hint)[0], field)
        if origin is dict:
            return _mapping(self.decoder(get_args(hint)[1], field))
        if hint in CLASSES:
            return self._dataclass(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return self._choice(hint)
        if hint is int or hint is float:
            return _number(hint, _least(field))
        return _SCALARS[hint]

    def _union(self, hints: tuple[Any, ...], field: str) -> Decoder:
        if hints == get_args(Data):
            return self._data
        rest = [h for h in hints if h is not Missing]
        # The JSON type decides: an object is missing, null is None, else the one other member.
        others = [self.decoder(h, field) for h in rest if h is not type(None)]
        if len(others) != 1:
            raise TypeError(f"{hints} cannot be distinguished")
        other, maybe_missing, maybe_none = others[0], Missing in hints, type(None) in hints
        if hints == (int, Missing) or hints == (float, Missing):
            return _number(hints[0], _least(field), maybe_missing=True)

        def decode_one(value: Any) -> Any:
            if value is None and maybe_none:
                return None
            if maybe_missing:
                if type(value) is dict:
                    return _missing(value)
                try:
                    return other(value)
                except UnknownError:
                    return UNKNOWN_VALUE
            return other(value)

        return decode_one

    def _choice(self, cls: type[Enum]) -> Decoder:
        members: dict[Any, Enum] = {member.value: member for member in cls}
        unknown = members.get("unknown")

        def decode_choice(value: Any) -> Enum:
            if type(value) is not str:
                raise CodecError(f"not one of {', '.join(members)}")
            member = members.get(value)
            if member is not None:
                return member
            if not self._tolerant or len(value) > MAX_TEXT_CHARS:
                raise CodecError(f"not one of {', '.join(members)}")
            self.skip(f"{cls.__name__} {value}")
            if unknown is None:
                raise UnknownError(f"unknown {cls.__name__} {clean(value)[:40]!r}")
            return unknown

        return decode_choice

    def _data(self, value: Any) -> Any:
        if type(value) is not list or not value or not isinstance(value[0], str):
            raise CodecError("not a group of values")
        return self.decode_data(value[0], value[1:])


_CLASS_OF: Final = {name: cls for cls, name in CLASSES.items()}


class _Factory:
    """A default that is created for each object."""

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create

    def __call__(self) -> Any:
        return self._create()


def _absent(cls: type, field: Field[Any]) -> Any:
    """Return the value of a field that was not recorded; `MISSING` if there is none."""
    hint = hints_of(cls)[field.name]
    can_be_missing = get_origin(hint) in (Union, UnionType) and Missing in get_args(hint)
    if isinstance(field.default, Missing) or (field.default is MISSING and can_be_missing):
        return NOT_RECORDED
    if field.default_factory is not MISSING:
        return _Factory(field.default_factory)
    return field.default


def _least(field: str) -> int:
    return -MAX_NUMBER if field in SIGNED else 0


def _number(kind: type, least: int, maybe_missing: bool = False) -> Decoder:
    what = "a whole number" if kind is int else "a number"

    def decode_number(value: Any) -> Any:
        of = type(value)
        # NaN fails the comparison as well.
        if of is kind and least <= value < MAX_NUMBER:
            return value
        if of is int and kind is float and least <= value < MAX_NUMBER:
            return float(value)
        if maybe_missing and of is dict:
            return _missing(value)
        raise CodecError(f"not {what} in range")

    return decode_number


def text(value: Any) -> str:
    """Return a text without control characters; raise `CodecError` if it is not a text."""
    if type(value) is not str or len(value) > MAX_TEXT_CHARS:
        raise CodecError("not a text, or too long")
    return clean(value)


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise CodecError("neither true nor false")
    return value


def _null(value: Any) -> None:
    if value is not None:
        raise CodecError("not null")


def _missing(value: Any) -> Missing:
    if type(value) is not dict or list(value) != ["?"] or type(value["?"]) is not str:
        raise CodecError("not a missing value")
    return _reason(value["?"])


@lru_cache(maxsize=256)
def _reason(reason: str) -> Missing:
    # Few reasons come again and again, and one object equals itself at no cost.
    return Missing(text(reason))


_SCALARS: Final[dict[Any, Decoder]] = {str: text, bool: _boolean, type(None): _null}


def _many(decode_one: Decoder, hint: Any, field: str) -> Decoder:
    most, least = LONGER.get(field, MAX_LIST), _least(field)
    integers = hint is int or get_args(hint) == (int, Missing)

    def decode_many(value: Any) -> tuple[Any, ...]:
        if type(value) not in _LISTS or len(value) > most:
            raise CodecError("not a list, or too long")
        if integers and (
            type(value) is array
            or (set(map(type, value)) == _INTEGERS and least <= min(value) and max(value) < MAX_NUMBER)
        ):
            # The same result as below, without a call for each number.
            return tuple(value)
        return tuple([decode_one(v) for v in value])

    return decode_many


_key: Final = lru_cache(maxsize=256)(text)  # mappings have the same few keys


def _mapping(decode_one: Decoder) -> Decoder:
    def decode_mapping(value: Any) -> dict[str, Any]:
        if type(value) is not dict or len(value) > MAX_KINDS:
            raise CodecError("not an object, or too large")
        return {_key(k): decode_one(v) for k, v in value.items()}

    return decode_mapping


def _fits(decode_one: Decoder, value: Any) -> bool:
    try:
        decode_one(value)
    except CodecError:
        return False
    return True


def has_equal_lists(data: Any) -> bool:
    """Return whether lists by link index have the same length, which is 1 for a GPU's total."""
    if isinstance(data, LinkCounters):
        n = len(data.tx_bytes)
        total = data.scope is Scope.GPU
        return len(data.rx_bytes) == n and len(data.stamp_us) in (0, 1, 2 * n) and (n == 1 or not total)
    return not isinstance(data, LinkStates) or len(data.states) == len(data.speed_bytes_per_s)
