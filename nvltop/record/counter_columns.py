"""Link counters of one GPU as differences, which have few digits.

The links of a busy GPU carry nearly the same, so the increments of one reading lie close to their mean. What
is left is noise, which no compressor makes shorter. NVML's time stamps are treated in the same way.

All counters of all readings are one integer, a lane of 64 bits for each, so that Python adds and subtracts
all of them at once.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, repeat
from operator import add
from typing import Any, Final

from nvltop.model import Counter, LinkCounters, Maybe, Missing, Scope
from nvltop.record.columns import BYTES, Numbers

KIB: Final = 1024
BITS: Final = 8 * BYTES
"""Size of a lane."""
SIGN_BIT: Final = BITS - 1
STEP_BITS: Final = 48
"""Increments of up to 2^48 in either direction are packed as differences."""
MARGIN_BITS: Final = (*range(BYTES - 1, STEP_BITS, BYTES), STEP_BITS + 2)
"""Limits of the differences between the increments and their mean that are tried: up to 2^7, …, in either
direction. The first that holds is added to all of them; each then takes this many bits and one more."""


class CounterColumns:
    """The counters of readings whose shape is the same: the same links have counters in all of them."""

    def __init__(self, shape: LinkCounters) -> None:
        """Take the first counters, whose shape is that of all; `add` adds them."""
        self._shape = shape
        values = shape.tx_bytes + shape.rx_bytes
        self._missing = [(place, value) for place, value in enumerate(values) if isinstance(value, Missing)]
        ways = _known(shape.tx_bytes), _known(shape.rx_bytes)
        self._parts = _Part(ways, -KIB), _Part((len(shape.stamp_us),), -1)

    def add(self, data: LinkCounters) -> bool:
        """Add counters, unless their shape differs or one has over 63 bits; return whether it did."""
        shape = self._shape
        if (
            data.counter is not shape.counter
            or data.scope is not shape.scope
            or len(data.tx_bytes) != len(shape.tx_bytes)
            or len(data.rx_bytes) != len(shape.rx_bytes)
            or len(data.stamp_us) != len(shape.stamp_us)
        ):
            return False
        counters, stamps = self._parts
        if not self._missing and hasattr(data, "packed"):
            counts, stamps_us = data.packed
            if not counts[BYTES - 1 :: BYTES].isascii():
                return False  # one has 64 bits
            counters.numbers.frombytes(counts)
            stamps.numbers.frombytes(stamps_us)
            return True
        values: tuple[Any, ...] = data.tx_bytes + data.rx_bytes
        if self._missing:
            if any(values[place] != missing for place, missing in self._missing):
                return False
            values = tuple([value for value in values if not isinstance(value, Missing)])
        try:
            numbers, times = array("q", values), array("q", data.stamp_us)
        except (TypeError, OverflowError):
            return False
        if len(numbers) != counters.width or not numbers:
            return False
        counters.numbers += numbers
        stamps.numbers += times
        return True

    def pack(self, numbers: Numbers) -> Any:
        """Return the shape of the rows as a JSON value, while their numbers are put to `numbers`."""
        shape, counters = self._shape, self._parts[0]
        ways = map(_shape_of, (shape.tx_bytes, shape.rx_bytes))
        rows = len(counters.numbers) // counters.width
        parts = [part.pack(rows, numbers) for part in self._parts]
        return [shape.counter.value, shape.scope.value, *ways, rows, parts]


class _Part:
    """Rows of numbers, in groups that grow by nearly the same: TX and RX of all links, or the time stamps."""

    def __init__(self, widths: Sequence[int], unit: int) -> None:
        """Begin without any. The mean increment of a group is rounded by the mask `unit`."""
        self._widths, self._unit = [width for width in widths if width], unit
        self.width = sum(widths)
        self.numbers = array("q")

    def pack(self, rows: int, numbers: Numbers) -> list[Any]:
        """Put the first row, the means and what is left; return the widths, the bits and the least means.

        If an increment is out of range, return the numbers.
        """
        width, count = self.width, self.width * (rows - 1)
        if not width:
            return []
        raw, size = self.numbers.tobytes(), BYTES * count
        lanes, ones = int.from_bytes(raw, "little"), _every(1, rows * width)
        has_sign = lanes & (ones << SIGN_BIT)
        ones >>= BITS * width
        steps = (lanes >> BITS * width) - (lanes & ((1 << 8 * size) - 1)) + (ones << STEP_BITS)
        # A lane outside of 0 to 2^63 borrows from the next one, and has high bits.
        if has_sign or steps & _high_bits(ones, STEP_BITS + 1):
            return [self.numbers.tolist()]
        numbers.extend(raw[: BYTES * width])
        columns, leasts, means = array("Q", steps.to_bytes(size, "little")), [], []
        begin = 0
        for group in self._widths:
            total = sum([int.from_bytes(columns[i::width], "little") for i in range(begin, begin + group)])
            totals = array("Q", total.to_bytes(BYTES * (rows - 1), "little"))
            # Whole KiB, so that increments in KiB, as most drivers have them, keep their zeros.
            mean = array("Q", [each // group & self._unit for each in totals])
            leasts.append(numbers.put(mean))
            means.append([each.to_bytes(BYTES, "little") * group for each in mean])
            begin += group
        steps -= int.from_bytes(b"".join(map(b"".join, zip(*means, strict=True))), "little")
        for bits in MARGIN_BITS:
            missed = steps + (ones << bits)
            if bits == MARGIN_BITS[-1] or not missed & _high_bits(ones, bits + 1):
                break
        numbers.extend(missed.to_bytes(size, "little"))
        return [self._widths, bits, leasts]


def _every(number: int, lanes: int) -> int:
    """Return an integer that has a number in each lane of 64 bits."""
    return int.from_bytes(array("Q", [number]).tobytes() * lanes, "little")


def _high_bits(ones: int, bits: int) -> int:
    """Return all bits of each lane from `bits` on; `ones` has a 1 in each."""
    return (ones << BITS) - (ones << bits)


def _take_part(packed: list[Any], rows: int, numbers: Numbers) -> list[tuple[int, ...]]:
    """Return rows of numbers."""
    if not packed:
        return [()] * rows
    if len(packed) == 1:
        flat = packed[0]
        width = len(flat) // rows
        return [tuple(flat[begin : begin + width]) for begin in range(0, len(flat), width)]
    widths, bits, leasts = packed
    width = sum(widths)
    first = numbers.take(width, 0)
    means = [numbers.take(rows - 1, least - (1 << STEP_BITS)) for least in leasts]
    missed = numbers.take(width * (rows - 1), -(1 << bits))
    mean_of = [mean for mean, group in zip(means, widths, strict=True) for _ in range(group)]
    columns = [accumulate([first[i], *map(add, missed[i::width], mean)]) for i, mean in enumerate(mean_of)]
    return list(zip(*columns, strict=True))


def unpack(
    packed: Any, numbers: Numbers
) -> tuple[list[tuple[int, ...]], Iterable[int], Callable[[tuple[int, ...]], LinkCounters]]:
    """Return the rows that have been packed, how often each occurs, and what makes counters of one."""
    counter, scope, tx_shape, rx_shape, count, parts = packed
    rows = list(map(add, *[_take_part(part, count, numbers) for part in parts]))
    tx, rx = _from_shape(tx_shape), _from_shape(rx_shape)
    tx_end = sum(missing is None for missing in tx)
    rx_end = tx_end + sum(missing is None for missing in rx)
    kind, covers = Counter(counter), Scope(scope)

    def counters(row: tuple[int, ...]) -> LinkCounters:
        return LinkCounters(
            kind, covers, _fill(tx, row[:tx_end]), _fill(rx, row[tx_end:rx_end]), row[rx_end:]
        )

    return rows, repeat(1), counters


def _known(values: Sequence[object]) -> int:
    return sum(not isinstance(value, Missing) for value in values)


def _shape_of(values: Sequence[Maybe[int]]) -> list[str | None]:
    """Return the reason of each missing counter, None for one that is known."""
    return [value.reason if isinstance(value, Missing) else None for value in values]


def _from_shape(shape: Sequence[str | None]) -> tuple[Missing | None, ...]:
    return tuple([None if reason is None else Missing(reason) for reason in shape])


def _fill(shape: tuple[Missing | None, ...], numbers: tuple[int, ...]) -> tuple[Maybe[int], ...]:
    if len(numbers) == len(shape):
        return numbers
    rest = iter(numbers)
    return tuple([next(rest) if missing is None else missing for missing in shape])
