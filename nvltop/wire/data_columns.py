"""Values of one group, from several readings, as columns for the pipe: work is done for a field, not a value.

A column is a JSON list with the field's value in each reading, encoded as `codec` describes, or with a single
value that all of them have. If the field holds any number of objects of one class (`NicPorts.ports`),
the column is `{"of": [[their number in each reading], [columns of the objects]]}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, chain, repeat
from typing import Any, Final, TypeVar, get_args, get_origin

from nvltop.model import Data, LinkCounters, LinkStates
from nvltop.wire.codec import CURRENT_SCHEMA, FIELDS, JSON_TYPES, NUMBER_TYPES, plain
from nvltop.wire.names import CLASSES
from nvltop.wire.schema import DATA, LONGER, MAX_LIST, CodecError, Decoder, has_equal_lists, hints_of

T = TypeVar("T")

OBJECTS: Final = "of"
_BY_LINK: Final = (LinkCounters, LinkStates)
"""Groups whose lists must have the same length."""


def encode_columns(objects: Sequence[Any]) -> list[Any]:
    """Return the fields of objects of one class, at least one, as columns."""
    return [_encoded(values) for values in zip(*map(FIELDS[type(objects[0])], objects), strict=True)]


def _encoded(values: tuple[Any, ...]) -> Any:
    kinds = set(map(type, values))
    if len(kinds) == 1 and values.count(values[0]) == len(values):
        values = values[:1]
    if kinds <= JSON_TYPES or (kinds <= NUMBER_TYPES and all(map(math.isfinite, values))):
        return values
    if kinds == {tuple}:
        objects = list(chain.from_iterable(values))
        if len(found := set(map(type, objects))) == 1 and found <= FIELDS.keys():
            return {OBJECTS: [list(map(len, values)), encode_columns(objects)]}
    return list(map(_plain, values))


def _plain(value: Any) -> Any:
    """Return the JSON value; if there is none, as for NaN, one that the field's decoder rejects."""
    try:
        return plain(value)
    except (TypeError, ValueError):
        return {} if type(value) is tuple else []


def decode_columns(group: str, columns: Any, count: int) -> list[Data | CodecError]:
    """Return `count` values of a group, or why one is invalid."""
    cls = DATA.get(group)
    if cls is None:
        raise CodecError("not a group of values")
    try:
        found: list[Any] = list(_objects(cls, columns, count))
        if cls not in _BY_LINK or all(map(has_equal_lists, found)):
            return found
    except CodecError:
        pass  # at least one is invalid
    rows = zip(*[_rows(column, count) for column in columns], strict=True)
    return [_decoded_row(group, list(row)) for row in rows]


def _decoded_row(group: str, row: list[Any]) -> Data | CodecError:
    try:
        return CURRENT_SCHEMA.decode_data(group, row)
    except CodecError as error:
        return error


@cache
def _decoders(cls: type) -> list[tuple[Decoder, int, type | None]]:
    """Return the decoder of each field, the length limit of its list, and the class of the objects in it."""
    found = []
    for name, hint in hints_of(cls).items():
        member = None
        if get_origin(hint) is tuple and get_args(hint)[0] in CLASSES:
            member = get_args(hint)[0]
        decode = CURRENT_SCHEMA.decoder(hint, name)
        found.append((decode, LONGER.get(name, MAX_LIST), member))
    return found


def _objects(cls: type, columns: Any, count: int) -> Iterator[Any]:
    decoded = [
        _values(decode, most, member, column, count)
        for (decode, most, member), column in zip(_decoders(cls), columns, strict=True)
    ]
    return map(cls, *decoded)


def _values(decode: Decoder, most: int, member: type | None, column: Any, count: int) -> Iterable[Any]:
    if member and type(column) is dict:
        lengths, parts = column[OBJECTS]
        if max(lengths) > most:
            raise CodecError("a list that is too long")
        values = _split(list(_objects(member, parts, sum(lengths))), lengths, tuple)
        return _for_each(values, count)
    if len(column) == 1:
        return repeat(decode(column[0]), count)
    if len(column) != count:
        raise ValueError("columns of different lengths")
    kinds = set(map(type, column))
    if len(kinds) == 1 and kinds <= NUMBER_TYPES:
        # Of numbers of one type, all are valid if the least and the largest are.
        least, largest = min(column), max(column)
        if decode(least) is least and decode(largest) is largest:
            valid: Iterable[Any] = column
            return valid
    return list(map(decode, column))


def _for_each(values: Sequence[T], count: int) -> Iterable[T]:
    if len(values) == 1:
        return repeat(values[0], count)
    if len(values) != count:
        raise ValueError("columns of different lengths")
    return values


def _split(values: list[Any], lengths: Sequence[int], kind: type) -> list[Any]:
    ends = accumulate(lengths)
    return [kind(values[end - length : end]) for length, end in zip(lengths, ends, strict=True)]


def _rows(column: Any, count: int) -> Iterable[Any]:
    """Return the values of a column as `codec` encodes them."""
    if type(column) is dict:
        lengths, parts = column[OBJECTS]
        members = zip(*[_rows(part, sum(lengths)) for part in parts], strict=True)
        column = _split(list(map(list, members)), lengths, list)
    return _for_each(column, count)
