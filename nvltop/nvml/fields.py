"""Field values: many numbers of a GPU in one driver call, by field id and scope id.

The request is built once and copied for each call. The types and return codes of all entries are compared at
once with those of earlier replies, and the values are read at once by the layout that follows from them.
Handling the entries one by one took most of the time of a reading.
"""

from __future__ import annotations

import struct
from ctypes import sizeof
from functools import lru_cache
from typing import Any, Final

import pynvml

from nvltop.model import Maybe, Missing
from nvltop.nvml.driver import IMPLAUSIBLE, Driver, reason
from nvltop.nvml.library import library_call

ALL_LINKS: Final = 0xFFFFFFFF
"""Scope id of the sum over a GPU's links."""
_ENTRY_BYTES: Final = sizeof(pynvml.c_nvmlFieldValue_t)
_WORD_BYTES: Final = struct.calcsize("Q")
_ENTRY_WORDS: Final = _ENTRY_BYTES // _WORD_BYTES
"""Length of an entry in words of 64 bits, as which replies are handled."""


def _column(member: str) -> slice:
    """Return the words of one member in all entries."""
    return slice(getattr(pynvml.c_nvmlFieldValue_t, member).offset // _WORD_BYTES, None, _ENTRY_WORDS)


_STAMP: Final = _column("timestamp")
_STATUS: Final = _column("valueType")
"""Type of the value in the lower half, return code in the upper: all machines with NVML are little-endian."""
_ANY: Final = _column("value")
"""The value as 64 bits, whatever its type."""
_VALUE_OFFSET: Final = pynvml.c_nvmlFieldValue_t.value.offset
_MEMBERS: Final = ("d", "I", "Q", "Q", "q", "i", "H")
"""Member of nvmlValue_t by nvmlValueType_t, in the notation of `struct`."""
_DOUBLE: Final = 0
"""nvmlValueType_t of a double."""
_UNSIGNED: Final = (1, 2, 3, 6)
"""Values of nvmlValueType_t without a sign."""
_UNSIGNED_64_BIT: Final = (2, 3)
"""Values of nvmlValueType_t of unsigned integers of 64 bits."""
_UNANSWERED: Final = Missing("the driver returned no value")
MAX_LAYOUTS: Final = 256
"""Number of layouts that are kept; most GPUs of a node share one for each request."""


class _Layout:
    """How to read a reply with certain types and return codes."""

    def __init__(self, statuses: bytes) -> None:
        columns = memoryview(statuses).cast("Q").tolist()
        kinds = [status & 0xFFFFFFFF for status in columns]
        members = [_MEMBERS[kind] if kind < len(_MEMBERS) else "Q" for kind in kinds]
        sizes = [_ENTRY_BYTES - _VALUE_OFFSET - struct.calcsize(member) for member in members]
        entries = [f"{_VALUE_OFFSET}x{member}{rest}x" for member, rest in zip(members, sizes, strict=True)]
        self.numbers = struct.Struct("".join(entries))
        """Reads one number of each entry."""
        self.unread = [
            (i, reason(status >> 32) if status >> 32 else Missing(f"unknown value type {kind}"))
            for i, (status, kind) in enumerate(zip(columns, kinds, strict=True))
            if status >> 32 or kind >= len(_MEMBERS)
        ]
        """Entries without a value, and why."""
        read = set(range(len(columns))).difference(i for i, _ in self.unread)
        self.checked = [i for i in read if kinds[i] not in _UNSIGNED]
        """Entries whose value may be implausible."""
        self.is_64_bit = all(status in _UNSIGNED_64_BIT for status in columns)
        """Whether all values were read and are unsigned integers of 64 bits."""
        self.statuses = statuses
        self._parts: dict[tuple[int, int], _Layout] = {}
        self.may_be_unanswered = 0 in columns
        """Whether only its time stamp shows that an entry of zeros was filled in."""

    def part(self, begin: int, end: int) -> _Layout:
        """Return the layout of the entries from position `begin` up to, but not including, `end`."""
        found = self._parts.get((begin, end))
        if found is None:
            statuses = self.statuses[begin * _WORD_BYTES : end * _WORD_BYTES]
            found = self._parts[begin, end] = _Layout(statuses)
        return found


READ_FIELDS: Final = library_call("nvmlDeviceGetFieldValues")
"""The function of `pynvml` would allocate the entries each time."""
_layout: Final = lru_cache(MAX_LAYOUTS)(_Layout)


class FieldValues:
    """Result of one call, in the order of the request."""

    __slots__ = ("_layout", "_values", "_words")

    def __init__(self, words: memoryview, layout: _Layout) -> None:
        self._words = words
        self._layout = layout
        self._values: list[Maybe[int]] | None = None

    @property
    def values(self) -> list[Maybe[int]]:
        """The values, or why one could not be read."""
        if self._values is None:
            self._values = _values(self._words, self._layout)
        return self._values

    @property
    def packed(self) -> bytes | None:
        """The values as the bytes of unsigned integers of 64 bits; None unless all are."""
        return self._words[_ANY].tobytes() if self._layout.is_64_bit else None

    @property
    def stamps_us(self) -> bytes:
        """Time stamp of each value by NVML, Unix µs, as the bytes of integers of 64 bits; 0 without one."""
        return self._words[_STAMP].tobytes()

    def part(self, begin: int, end: int) -> FieldValues:
        """Return the values from position `begin` up to, but not including, `end`."""
        words = self._words[begin * _ENTRY_WORDS : end * _ENTRY_WORDS]
        return FieldValues(words, self._layout.part(begin, end))

    def are_of(self, words: memoryview, layout: _Layout) -> bool:
        """Return whether this reply certainly holds the same values, at whatever time."""
        return layout is self._layout and not layout.may_be_unanswered and words[_ANY] == self._words[_ANY]


class FieldRequest:
    """Pairs of field id and scope id that are read in one call."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self._count = len(pairs)
        self._layout: Any = pynvml.c_nvmlFieldValue_t * len(pairs)
        entries = self._layout()
        for entry, (field, scope) in zip(entries, pairs, strict=True):
            entry.fieldId, entry.scopeId = field, scope
        self._blank = bytes(entries)
        self._last_layout: _Layout | None = None
        """Layout of the last reply, of whichever GPU."""

    def read(self, driver: Driver, handle: Any, gpu: int, last: object = None) -> Maybe[FieldValues]:
        """Read the fields of one GPU; a value that cannot be read has a reason of its own.

        Return `last` if it is an earlier result with the same values.
        """
        # A new copy each time: an entry that the driver does not fill in must not repeat its last value.
        memory = bytearray(self._blank)
        entries = self._layout.from_buffer(memory)
        failure = driver.run(READ_FIELDS, (handle, self._count, entries), gpu)
        if isinstance(failure, Missing):
            return failure
        words = memoryview(memory).cast("Q")
        statuses = words[_STATUS].tobytes()
        layout = self._last_layout
        if layout is None or statuses != layout.statuses:
            layout = self._last_layout = _layout(statuses)
        if isinstance(last, FieldValues) and last.are_of(words, layout):
            return last
        return FieldValues(words, layout)


def _values(words: memoryview, layout: _Layout) -> list[Maybe[int]]:
    values: list[Any] = [*layout.numbers.unpack(words)]
    for i in layout.checked:
        number = values[i]
        if isinstance(number, int):
            # None of the fields can be negative.
            values[i] = number if number >= 0 else Missing(f"implausible value {number}")
        elif not 0 <= number < 2**63:
            values[i] = IMPLAUSIBLE
        else:
            # A call succeeds if the driver filled in any entry. An entry that is all zero was not filled in.
            values[i] = int(number) if number or words[_STAMP][i] else _UNANSWERED
    for i, why in layout.unread:
        values[i] = why
    return values
