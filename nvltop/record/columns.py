"""Similar values as columns: the transpose of a list of values.

Values of one place lie next to one another, so that they compress well, and work is done for a column instead
of a value. A column is a JSON value that holds its shape, while its numbers are in `Numbers`:

    [value]                  every value is this one
    {"+": [first, least]}    integers, as differences to the one before
    {".": [first, least]}    floats of whole thousandths, in the same way
    {"~": null}              other floats, as their bytes
    {"[": [column, …]}       lists of one length, or objects of one class: a column for each place or field
    {"{": {key: column}}     mappings with the same keys
    {"=": [value, …]}        anything else, as it is
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import add, mul, sub, truediv
from typing import Any, Final

from nvltop.model import GROUPS
from nvltop.record.compression import deflated
from nvltop.wire.codec import FIELDS, plain

THOUSAND: Final = 1000
MAX_FLOAT: Final = 1e12
"""Largest float that is looked at for whole thousandths."""
BYTES: Final = 8
_SCALARS: Final = {int, float, str, bool, type(None)}


class Numbers:
    """Integers, which are put and taken in the same order."""

    def __init__(self, packed: bytes = b"", count: int = 0) -> None:
        """Begin without any, or with the `count` ones that `pack` has packed."""
        raw, planes = bytearray(BYTES * count), zlib.decompress(packed) if count else b""
        for place in range(BYTES):
            raw[place::BYTES] = planes[place * count : (place + 1) * count]
        self._numbers = array("Q")
        self._numbers.frombytes(raw)
        self._taken = 0
        self._put = bytearray()
        """Those that were put, 64 bits each: a block that is mapped on its own and returned afterwards."""

    def __len__(self) -> int:
        return len(self._put) // BYTES

    def put(self, numbers: Sequence[int]) -> int:
        """Add numbers, and return the least of them; raise `OverflowError` if they need more than 64 bits."""
        least = min(numbers, default=0)
        self.extend(array("Q", list(map(sub, numbers, repeat(least)))).tobytes())
        return least

    def extend(self, numbers: bytes) -> None:
        """Add numbers of 64 bits as they are; `take` them with 0 as the least one."""
        self._put += numbers

    def take(self, count: int, least: int) -> list[int]:
        """Return the next `count` numbers, whose least one is `least`."""
        return list(map(add, self._next(count), repeat(least)))

    def take_sums(self, count: int, least: int, width: int) -> list[int]:
        """Return the sum of each column of the next `count` rows of numbers, whose least one is `least`."""
        rows = self._next(count * width)
        return [sum(rows[column::width]) + count * least for column in range(width)]

    def take_floats(self, count: int) -> list[float]:
        """Return the next `count` numbers as the floats whose bytes were put."""
        return array("d", self._next(count).tobytes()).tolist()

    def _next(self, count: int) -> array[int]:
        self._taken += count
        return self._numbers[self._taken - count : self._taken]

    def pack(self, level: int) -> bytes:
        """Return the numbers compressed, the bytes of one weight together: the high ones are mostly 0."""
        planes = (self._put[place::BYTES] for place in range(BYTES))
        return deflated(planes, level) if self._put else b""


def transpose(values: Sequence[Any], numbers: Numbers) -> Any:
    """Return values, at least one, as a column; `restore` returns them as `wire.codec` encodes them."""
    kinds = set(map(type, values))
    kind = type(values[0])
    if len(kinds) == 1 and kind in FIELDS:
        # Tuples of fields are compared without a call for each.
        values, kind = list(map(FIELDS[kind], values)), tuple
    first = values[0]
    if values.count(first) == len(values):
        return [_encoded(first)]
    if len(kinds) == 1:
        if kind is int:
            return _integers("+", values, numbers) or {"=": list(values)}
        if kind is float:
            return _floats(values, numbers)
        if (kind is tuple or kind is list) and first and len(set(map(len, values))) == 1:
            return {"[": [transpose(column, numbers) for column in zip(*values, strict=True)]}
        if kind is dict and first and all(value.keys() == first.keys() for value in values):
            return {"{": {key: transpose([value[key] for value in values], numbers) for key in first}}
    return {"=": [value if type(value) in _SCALARS else _encoded(value) for value in values]}


def _integers(kind: str, values: Sequence[int], numbers: Numbers) -> Any:
    """Return integers as a column; None if they differ by too much."""
    try:
        return {kind: [values[0], numbers.put(list(map(sub, values[1:], values)))]}
    except OverflowError:
        return None


def _floats(values: Sequence[float], numbers: Numbers) -> Any:
    """Return floats as a column: thousandths, or their bytes if that would change one."""
    first = values[0]
    # The floats of one field are alike: mostly the first one shows that they are not thousandths.
    if abs(first) <= MAX_FLOAT and round(first * THOUSAND) / THOUSAND == first and _are_small(values):
        thousandths = list(map(round, map(mul, values, repeat(THOUSAND))))
        if list(map(truediv, thousandths, repeat(THOUSAND))) == list(values):
            return _integers(".", thousandths, numbers)
    numbers.extend(array("d", values).tobytes())
    return {"~": None}


def _are_small(values: Sequence[float]) -> bool:
    return max(values) <= MAX_FLOAT and min(values) >= -MAX_FLOAT


def _encoded(value: Any) -> Any:
    if type(value) is list:
        return value  # encoded already
    # The name of a group of values is that of its stream.
    return plain(value)[1:] if type(value) in GROUPS else plain(value)


def restore(column: Any, count: int, numbers: Numbers) -> list[Any]:
    """Return the `count` values of a column."""
    if type(column) is list:
        return column * count
    [(kind, content)] = column.items()
    if kind in ("+", "."):
        first, least = content
        values = list(accumulate([first, *numbers.take(count - 1, least)]))
        return values if kind == "+" else [value / THOUSAND for value in values]
    if kind == "~":
        return numbers.take_floats(count)
    if kind == "[":
        return list(map(list, zip(*[restore(part, count, numbers) for part in content], strict=True)))
    if kind == "{":
        columns = [restore(part, count, numbers) for part in content.values()]
        return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]
    return list(content)
