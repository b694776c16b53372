"""Field values: many numbers of a GPU in one driver call, by field id and scope id.

The request is built once and copied for each call, and the reply is read column by column. Handling the
entries one by one took most of the time of a reading.
"""

from __future__ import annotations

import struct
from ctypes import sizeof
from typing import Any, Final, NamedTuple

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


_STAMP: Final = _Column("timestamp", "q")
_STATUS: Final = _Column("valueType", "Q")
"""Type of the value in the lower half, return code in the upper: all machines with NVML are little-endian."""
_DOUBLE: Final = 0
"""nvmlValueType_t of a double."""
_SIGNED: Final = (4, 5)
"""Values of nvmlValueType_t with a sign."""
_UNANSWERED: Final = Missing("the driver returned no value")
_MEMBERS: Final = {
    kind: _Column("value", code) for kind, code in enumerate(("d", "I", "Q", "Q", "q", "i", "H"))
}
"""Member of nvmlValue_t by nvmlValueType_t."""


class FieldValues(NamedTuple):
    """Result of one call, in the order of the request."""

    values: list[Maybe[int]]
    stamps_us: list[int]
    """Time stamp of each value by NVML, Unix µs; 0 without one."""

    def part(self, begin: int, end: int) -> FieldValues:
        """Return the values from position `begin` up to, but not including, `end`."""
        return FieldValues(self.values[begin:end], self.stamps_us[begin:end])


class FieldRequest:
    """Pairs of field id and scope id that are read in one call."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self._count = len(pairs)
        self._layout: Any = pynvml.c_nvmlFieldValue_t * len(pairs)
        entries = self._layout()
        for entry, (field, scope) in zip(entries, pairs, strict=True):
            entry.fieldId, entry.scopeId = field, scope
        self._blank = bytes(entries)

    def read(self, driver: Driver, handle: Any, gpu: int) -> Maybe[FieldValues]:
        """Read the fields of one GPU; a value that cannot be read has a reason of its own."""
        # A new copy each time: an entry that the driver does not fill in must not repeat its last value.
        memory = bytearray(self._blank)
        failure = driver.call(
            nvmlDeviceGetFieldValues, handle, self._count, self._layout.from_buffer(memory), gpu=gpu
        )
        if isinstance(failure, Missing):
            return failure
        return FieldValues(_values(memory), _STAMP.of(memory))


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
    if statuses.count(first) < len(statuses):
        for i in [i for i, status in enumerate(statuses) if status != first]:
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
