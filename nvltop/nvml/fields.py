"""Field values: many numbers of a GPU in one driver call, by field id and scope.

What is asked is laid out in memory once and copied for each call; of the answer, whole columns are
taken out of that memory. Entry by entry, both were most of what reading a GPU cost us.
"""

from __future__ import annotations

import struct
from ctypes import sizeof
from typing import Any, Final, NamedTuple

import pynvml

from nvltop.model import Maybe, Missing
from nvltop.nvml.driver import Driver, reason

ALL_LINKS: Final = 0xFFFFFFFF
"""scopeId that asks for the sum over a GPU's links."""


class _Column:
    """One member of all entries as plain numbers, which are of that kind in `struct`'s letters."""

    def __init__(self, member: str, code: Any) -> None:
        size = struct.calcsize(code)
        begin = getattr(pynvml.c_nvmlFieldValue_t, member).offset
        self._code = code
        self._where = slice(begin // size, None, sizeof(pynvml.c_nvmlFieldValue_t) // size)

    def of(self, entries: bytearray) -> list[Any]:
        return memoryview(entries).cast(self._code)[self._where].tolist()


_STAMP: Final = _Column("timestamp", "q")
_VALUE_TYPE: Final = _Column("valueType", "I")
_RETURN_CODE: Final = _Column("nvmlReturn", "I")
_DOUBLE: Final = 0
_SIGNED: Final = (4, 5)
"""Values of nvmlValueType_t whose numbers have a sign."""
_UNANSWERED: Final = Missing("the driver gave no answer")
_MEMBERS: Final = {
    kind: _Column("value", code) for kind, code in enumerate(("d", "I", "Q", "Q", "q", "i", "H"))
}
"""The member of nvmlValue_t that each nvmlValueType_t names."""


class FieldValues(NamedTuple):
    """The answers of one call, in the order of what was asked."""

    values: list[Maybe[int]]
    stamps_us: list[int]
    """NVML's own time of each value (Unix µs), 0 if it gave none."""

    def part(self, begin: int, end: int) -> FieldValues:
        """Return the answers from one position up to another."""
        return FieldValues(self.values[begin:end], self.stamps_us[begin:end])


class FieldRequest:
    """(Field id, scope id) pairs that are asked for in one call."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self._count = len(pairs)
        self._layout: Any = pynvml.c_nvmlFieldValue_t * len(pairs)
        entries = self._layout()
        for entry, (field, scope) in zip(entries, pairs, strict=True):
            entry.fieldId, entry.scopeId = field, scope
        self._blank = bytes(entries)

    def read(self, driver: Driver, handle: Any, gpu: int) -> Maybe[FieldValues]:
        """Ask one GPU; each value has its own reason if only that failed."""
        # A fresh copy each time: an entry that the driver leaves alone must not tell its last answer.
        memory = bytearray(self._blank)
        refusal = driver.call(
            nvmlDeviceGetFieldValues, handle, self._count, self._layout.from_buffer(memory), gpu=gpu
        )
        if isinstance(refusal, Missing):
            return refusal
        return FieldValues(_values(memory), _STAMP.of(memory))


def nvmlDeviceGetFieldValues(handle: Any, count: int, entries: Any) -> None:  # noqa: N802
    """Call the driver as the function of `pynvml` does, with entries that are laid out already."""
    try:
        function = pynvml.nvmlLib.nvmlDeviceGetFieldValues
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    if code := function(handle, count, entries):
        raise pynvml.NVMLError(code)


def _values(entries: bytearray) -> list[Maybe[int]]:
    codes, kinds = _RETURN_CODE.of(entries), _VALUE_TYPE.of(entries)
    columns = {kind: _of_kind(kind, entries, len(kinds)) for kind in set(kinds)}
    if len(columns) == 1 and not any(codes):
        return columns[kinds[0]]
    return [
        reason(code) if code else columns[kind][i]
        for i, (code, kind) in enumerate(zip(codes, kinds, strict=True))
    ]


def _of_kind(kind: int, entries: bytearray, count: int) -> list[Maybe[int]]:
    """Return what the entries say if they are all of one nvmlValueType_t."""
    if kind not in _MEMBERS:
        return [Missing(f"unknown value type {kind}")] * count
    numbers = _MEMBERS[kind].of(entries)
    if kind in _SIGNED:
        # No field that we read can be less than nothing.
        return [n if n >= 0 else Missing(f"implausible value {n}") for n in numbers]
    if kind != _DOUBLE:
        return numbers
    # A call succeeds if any entry was filled: one that is all zero is one that was left alone.
    return [
        (int(n) if n or stamp else _UNANSWERED) if 0 <= n < 2**63 else Missing("implausible value")
        for n, stamp in zip(numbers, _STAMP.of(entries), strict=True)
    ]
