"""Field values: many numbers of a GPU in one driver call, by field id and scope id.

The request is built once and copied for each call, and the reply is read column by column. Handling the
entries one by one took most of the time of a reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ctypes import sizeof
from typing import Any, Final

import pynvml

from nvltop.model import Maybe, Missing
from nvltop.nvml.driver import Driver, reason

ALL_LINKS: Final = 0xFFFFFFFF
"""Scope id of the sum over a GPU's links."""
_ENTRY_BYTES: Final = sizeof(pynvml.c_nvmlFieldValue_t)


class _Column:
    """One member of all entries; `code` is the type of its numbers in the notation of `struct`."""

    def __init__(self, member: str, code: Any) -> None:
        size = struct.calcsize(code)
        begin = getattr(pynvml.c_nvmlFieldValue_t, member).offset
        self._code = code
        self._where = slice(begin // size, None, _ENTRY_BYTES // size)

    def of(self, entries: bytearray) -> list[Any]:
        return memoryview(entries).cast(self._code)[self._where].tolist()

    def bytes_of(self, entries: bytearray) -> bytes:
        return memoryview(entries).cast(self._code)[self._where].tobytes()


_STAMP: Final = _Column("timestamp", "q")
_STATUS: Final = _Column("valueType", "Q")
"""Type of the value in the lower half, return code in the upper: all machines with NVML are little-endian."""
_ANY: Final = _Column("value", "Q")
"""The value as 64 bits, whatever its type."""
_DOUBLE: Final = 0
"""nvmlValueType_t of a double."""
_SIGNED: Final = (4, 5)
"""Values of nvmlValueType_t with a sign."""
_UNANSWERED: Final = Missing("the driver returned no value")
_MEMBERS: Final = {
    kind: _Column("value", code) for kind, code in enumerate(("d", "I", "Q", "Q", "q", "i", "H"))
}
"""Member of nvmlValue_t by nvmlValueType_t."""


class FieldValues:
    """Result of one call, in the order of the request."""

    __slots__ = ("_entries", "values")

    def __init__(self, values: list[Maybe[int]], entries: bytearray) -> None:
        self.values = values
        self._entries = entries

    @property
    def stamps_us(self) -> list[int]:
        """Time stamp of each value by NVML, Unix µs; 0 without one."""
        return _STAMP.of(self._entries)

    def part(self, begin: int, end: int) -> FieldValues:
        """Return the values from position `begin` up to, but not including, `end`."""
        return FieldValues(self.values[begin:end], self._entries[begin * _ENTRY_BYTES : end * _ENTRY_BYTES])

    def are_of(self, entries: bytearray) -> bool:
        """Return whether these entries certainly hold the same values, at whatever time."""
        statuses = _STATUS.of(entries)
        return (
            # Whether an entry of zeros was filled in, its time stamp says.
            0 not in statuses
            and statuses == _STATUS.of(self._entries)
            and _ANY.bytes_of(entries) == _ANY.bytes_of(self._entries)
        )


class FieldRequest:
    """Pairs of field id and scope id that are read in one call."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self._count = len(pairs)
        self._layout: Any = pynvml.c_nvmlFieldValue_t * len(pairs)
        entries = self._layout()
        for entry, (field, scope) in zip(entries, pairs, strict=True):
            entry.fieldId, entry.scopeId = field, scope
        self._blank = bytes(entries)

    def read(self, driver: Driver, handle: Any, gpu: int, last: object = None) -> Maybe[FieldValues]:
        """Read the fields of one GPU; a value that cannot be read has a reason of its own.

        Return `last` if it is an earlier result with the same values.
        """
        # A new copy each time: an entry that the driver does not fill in must not repeat its last value.
        memory = bytearray(self._blank)
        failure = driver.call(
            nvmlDeviceGetFieldValues, handle, self._count, self._layout.from_buffer(memory), gpu=gpu
        )
        if isinstance(failure, Missing):
            return failure
        if isinstance(last, FieldValues) and last.are_of(memory):
            return last
        return FieldValues(_values(memory), memory)


def nvmlDeviceGetFieldValues(handle: Any, count: int, entries: Any) -> None:  # noqa: N802
    """Call the driver as the function of `pynvml` does, with entries that already exist."""
    try:
        function = pynvml.nvmlLib.nvmlDeviceGetFieldValues
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    if code := function(handle, count, entries):
        raise pynvml.NVMLError(code)


def _values(entries: bytearray) -> list[Maybe[int]]:
    statuses = _STATUS.of(entries)
    first = statuses[0]
    values = _of_status(first, entries, len(statuses))
    others = len(statuses) - statuses.count(first)
    if others:
        places: Iterable[int] = range(len(statuses) - others, len(statuses))
        if first in statuses[-others:]:  # they are not the last ones
            places = [i for i, status in enumerate(statuses) if status != first]
        for i in places:
            (values[i],) = _of_status(statuses[i], entries[i * _ENTRY_BYTES : (i + 1) * _ENTRY_BYTES], 1)
    return values


def _of_status(status: int, entries: bytearray, count: int) -> list[Maybe[int]]:
    """Return the values of the entries, as if all had this status."""
    kind, code = status & 0xFFFFFFFF, status >> 32
    return [reason(code)] * count if code else _of_kind(kind, entries, count)


def _of_kind(kind: int, entries: bytearray, count: int) -> list[Maybe[int]]:
    """Return the values of the entries, read as one nvmlValueType_t."""
    if kind not in _MEMBERS:
        return [Missing(f"unknown value type {kind}")] * count
    numbers = _MEMBERS[kind].of(entries)
    if kind in _SIGNED:
        # None of the fields can be negative.
        return [n if n >= 0 else Missing(f"implausible value {n}") for n in numbers]
    if kind != _DOUBLE:
        return numbers
    # A call succeeds if the driver filled in any entry. An entry that is all zero was not filled in.
    return [
        (int(n) if n or stamp else _UNANSWERED) if 0 <= n < 2**63 else Missing("implausible value")
        for n, stamp in zip(numbers, _STAMP.of(entries), strict=True)
    ]
