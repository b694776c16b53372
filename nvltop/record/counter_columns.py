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
STEP_BYTES: Final = 6
"""Size of the increments that are packed as differences."""
STEP_BIAS: Final = 1 << (8 * STEP_BYTES - 1)
"""Number that is added to the increments of rows in which a counter fell, so that none is negative."""
MISSED_BIAS: Final = int.from_bytes(b"\x80" * (STEP_BYTES + 1), "little")
"""Number that is added to the differences between the increments and their mean, so that none is negative.

The high bytes of all differences are then 80 hexadecimal, and are packed to nothing."""


class CounterColumns:
    """The counters of readings whose shape is the same: the same links have counters in all of them."""

    def __init__(self, shape: LinkCounters) -> None:
        """Take the first counters, whose shape is that of all; `add` adds them."""
        values, stamps_us = shape.numbers()
        directions = values[: shape.links], values[shape.links :]
        self._kind = shape.counter, shape.scope
        self._shapes = [_shape_of(direction) for direction in directions]
        self._missing = [(place, value) for place, value in enumerate(values) if isinstance(value, Missing)]
        self._parts = _Part([shape.count(None) for shape in self._shapes], -KIB), _Part([len(stamps_us)], -1)

    def add(self, data: LinkCounters) -> bool:
        """Add counters, unless their shape differs or one has over 63 bits; return whether it did."""
        links, received = map(len, self._shapes)
        if (data.counter, data.scope) != self._kind or data.links != links:
            return False
        counters, stamps = self._parts
        if not self._missing and hasattr(data, "packed"):
            counts, stamps_us = data.packed
            sizes = len(counts), len(stamps_us)
            if sizes != (BYTES * counters.width, BYTES * stamps.width):
                return False
            if not counts[BYTES - 1 :: BYTES].isascii():
                return False  # one has 64 bits
            counters.rows.append(counts)
            stamps.rows.append(stamps_us)
            return True
        if len(data.rx_bytes) != received or len(data.stamp_us) != stamps.width:
            return False
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
        counters.rows.append(numbers.tobytes())
        stamps.rows.append(times.tobytes())
        return True

    def pack(self, numbers: Numbers) -> Any:
        """Return the shape of the rows as a JSON value, while their numbers are put to `numbers`."""
        counter, scope = self._kind
        parts = [part.pack(numbers) for part in self._parts]
        return [counter.value, scope.value, *self._shapes, len(self._parts[0].rows), parts]


class _Part:
    """Rows of numbers, in groups that grow by nearly the same: TX and RX of all links, or the time stamps."""

    def __init__(self, widths: Sequence[int], unit: int) -> None:
        """Begin without any. The mean increment of a group is rounded by the mask `unit`."""
        self._widths, self._unit = [width for width in widths if width], unit
        self.width = sum(widths)
        self.rows: list[bytes] = []
        """Numbers of 64 bits."""

    def pack(self, numbers: Numbers) -> list[Any]:
        """Put the first row, the means and what is left; return the widths and the least means.

        If an increment is out of range, return the numbers.
        """
        width = self.width
        if not width:
            return []
        raw = b"".join(self.rows)
        steps, bias = _steps(raw, width)
        if steps is None:
            return [array("q", raw).tolist()]
        numbers.extend(raw[: BYTES * width])
        columns, leasts, means = array("Q", steps), [], []
        begin = 0
        for group in self._widths:
            totals = [sum(columns[i : i + group]) for i in range(begin, len(columns), width)]
            # Whole KiB, so that increments in KiB, as most drivers have them, keep their zeros.
            mean = [total // group & self._unit for total in totals]
            leasts.append(numbers.put(mean) - bias)
            means.append([(MISSED_BIAS - each).to_bytes(BYTES, "little") * group for each in mean])
            begin += group
        added = b"".join(map(b"".join, zip(*means, strict=True)))
        missed = int.from_bytes(steps, "little") + int.from_bytes(added, "little")
        numbers.extend(missed.to_bytes(len(steps), "little"))
        return [self._widths, leasts]


def _steps(raw: bytes, width: int) -> tuple[bytes | None, int]:
    """Return the increments from row to row as lanes, and what was added to each so that none is negative.

    The lanes are None if an increment is out of range.
    """
    if not raw[BYTES - 1 :: BYTES].isascii():
        return None, 0  # a number is negative
    size = len(raw) - BYTES * width
    lanes = int.from_bytes(raw, "little")
    steps = (lanes >> 8 * BYTES * width) - (lanes & ((1 << 8 * size) - 1))
    # A lane outside of 0 to 2^63 borrows from the next one, and has high bytes.
    found = _low_lanes(steps, size)
    if found is not None:
        return found, 0
    biases = STEP_BIAS.to_bytes(BYTES, "little") * (size // BYTES)
    return _low_lanes(steps + int.from_bytes(biases, "little"), size), STEP_BIAS


def _low_lanes(lanes: int, size: int) -> bytes | None:
    """Return lanes as `size` bytes; None if one needs more than `STEP_BYTES`."""
    if lanes < 0:
        return None
    found = lanes.to_bytes(size, "little")
    unused = bytes(size // BYTES)
    return found if all(found[place::BYTES] == unused for place in range(STEP_BYTES, BYTES)) else None


def _take_part(packed: list[Any], rows: int, numbers: Numbers) -> list[tuple[int, ...]]:
    """Return rows of numbers."""
    if not packed:
        return [()] * rows
    if len(packed) == 1:
        flat = packed[0]
        width = len(flat) // rows
        return [tuple(flat[begin : begin + width]) for begin in range(0, len(flat), width)]
    widths, leasts = packed
    width = sum(widths)
    first = numbers.take(width, 0)
    means = [numbers.take(rows - 1, least) for least in leasts]
    missed = numbers.take(width * (rows - 1), -MISSED_BIAS)
    mean_of = [mean for mean, group in zip(means, widths, strict=True) for _ in range(group)]
    columns = [accumulate([first[i], *map(add, missed[i::width], mean)]) for i, mean in enumerate(mean_of)]
    return list(zip(*columns, strict=True))


def _take_last(packed: list[Any], rows: int, numbers: Numbers) -> tuple[int, ...]:
    """Return the last row of numbers, without making the others: each one is the sum of the increments."""
    if not packed:
        return ()
    if len(packed) == 1:
        return tuple(packed[0][-(len(packed[0]) // rows) :])
    widths, leasts = packed
    width = sum(widths)
    first = numbers.take(width, 0)
    [means] = zip(*[numbers.take_sums(rows - 1, least, 1) for least in leasts], strict=True)
    missed = numbers.take_sums(rows - 1, -MISSED_BIAS, width)
    mean_of = [mean for mean, group in zip(means, widths, strict=True) for _ in range(group)]
    return tuple(map(sum, zip(first, missed, mean_of, strict=True)))


def unpack(
    packed: Any, numbers: Numbers, is_last: bool = False
) -> tuple[list[tuple[int, ...]], Iterable[int], Callable[[tuple[int, ...]], LinkCounters]]:
    """Return the rows that have been packed, how often each occurs, and what makes counters of one.

    If `is_last`, the last row is enough; all rows of eight GPUs with 36 links would take 2 MB.
    """
    counter, scope, tx_shape, rx_shape, count, parts = packed
    if is_last:
        rows = [sum([_take_last(part, count, numbers) for part in parts], ())]
    else:
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
