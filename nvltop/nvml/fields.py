"""Field values: many numbers of a GPU in one driver call, by field id and scope.

What is asked is laid out in memory once and copied for each call; of the answer, whole columns are
taken out of that memory. Entry by entry, both were most of what reading a GPU cost us.
"""

from __future__ import annotations

import struct
from ctypes import sizeof
from typing import Any, Final, Literal, NamedTuple

import pynvml

from nvltop.model import Maybe, Missing
from nvltop.nvml.driver import Driver, reason

ALL_LINKS: Final = 0xFFFFFFFF
"""scopeId that asks for the sum over a GPU's links."""

_DOUBLE: Final = struct.Struct("@d")
_QUAD: Final = struct.Struct("@Q")
_WIDE: Final = frozenset({2, 3})
"""nvmlValueType_t of numbers that take all 64 bits, without a sign."""


class _Column:
    """One member of all entries, as plain numbers."""

    def __init__(self, member: str, code: Literal["I", "q", "Q"]) -> None:
        at = getattr(pynvml.c_nvmlFieldValue_t, member)
        assert at.size == struct.calcsize(code)
        self._code: Literal["I", "q", "Q"] = code
        self._where = slice(at.offset // at.size, None, sizeof(pynvml.c_nvmlFieldValue_t) // at.size)

    def of(self, entries: bytearray) -> list[int]:
        return memoryview(entries).cast(self._code)[self._where].tolist()


_STAMP: Final = _Column("timestamp", "q")
_KIND: Final = _Column("valueType", "I")
_CODE: Final = _Column("nvmlReturn", "I")
_VALUE: Final = _Column("value", "Q")


class FieldValues(NamedTuple):
    """The answers of one call, in the order of what was asked."""

    values: list[Maybe[int]]
    stamps_us: list[int]
    """NVML's own time of each value (Unix µs), 0 if it gave none."""

    def part(self, begin: int, end: int) -> FieldValues:
        """Return the answers from one position up to another."""
        return FieldValues(self.values[begin:end], self.stamps_us[begin:end])


class Fields:
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
        codes, kinds, bits = _CODE.of(memory), _KIND.of(memory), _VALUE.of(memory)
        values: list[Maybe[int]] = [*bits]
        if any(codes) or not _WIDE.issuperset(kinds):
            values = [
                reason(code) if code else _number(kind, raw)
                for code, kind, raw in zip(codes, kinds, bits, strict=True)
            ]
        return FieldValues(values, _STAMP.of(memory))


def nvmlDeviceGetFieldValues(handle: Any, count: int, entries: Any) -> None:  # noqa: N802
    """Call the driver as the function of `pynvml` does, with entries that are laid out already."""
    try:
        function = pynvml.nvmlLib.nvmlDeviceGetFieldValues
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    if code := function(handle, count, entries):
        raise pynvml.NVMLError(code)


def _number(kind: int, bits: int) -> Maybe[int]:
    """Pick the member of nvmlValue_t that nvmlValueType_t names."""
    if kind in (2, 3):
        return bits
    if kind == 1:
        return bits & 0xFFFFFFFF
    if kind == 6:
        return bits & 0xFFFF
    if kind == 4:
        return bits - (1 << 64) if bits >> 63 else bits
    if kind == 5:
        low = bits & 0xFFFFFFFF
        return low - (1 << 32) if low >> 31 else low
    if kind == 0:
        number: float = _DOUBLE.unpack(_QUAD.pack(bits))[0]
        return int(number) if abs(number) < 2**63 else Missing("implausible value")
    return Missing(f"unknown value type {kind}")
