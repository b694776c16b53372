"""Link counters of one GPU as columns of differences, which have few digits.

The links of a busy GPU carry nearly the same, so the increments of one reading lie close to their mean. What
is left is noise, which no compressor makes shorter.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import accumulate, repeat
from operator import add, or_, sub
from typing import Any, Final

from nvltop.model import Counter, LinkCounters, Maybe, Missing, Scope
from nvltop.record.columns import BYTES, Numbers

KIB: Final = 1024
BITS: Final = 8 * BYTES
"""Size of a lane."""
MAX_STEP: Final = 1 << 48
"""Growth of a counter within the columns, bytes, above which it is not packed as differences."""


class CounterColumns:
    """The counters of readings whose shape is the same: the same links have counters in all of them."""

    def __init__(self, shape: LinkCounters) -> None:
        """Take the first counters, whose shape is that of all; `add` adds them."""
        self._shape = shape
        values = _values(shape)
        self._missing = [(place, value) for place, value in enumerate(values) if isinstance(value, Missing)]
        self._ways = _known(shape.tx_bytes), _known(shape.rx_bytes)
        self._width = len(values) - len(self._missing)
        self._numbers = array("q")

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
        values = _values(data)
        if self._missing:
            if any(values[place] != missing for place, missing in self._missing):
                return False
            values = tuple([value for value in values if not isinstance(value, Missing)])
        try:
            numbers = array("q", values)
        except (TypeError, OverflowError):
            return False
        if len(numbers) != self._width or not numbers:
            return False
        self._numbers += numbers
        return True

    def pack(self, numbers: Numbers) -> Any:
        """Return the columns: their shape as a JSON value, while the numbers are put to `numbers`.

        If one is out of range, they are in the JSON value.
        """
        columns = [self._numbers[place :: self._width] for place in range(self._width)]
        shape, rows = self._shape, len(columns[0])
        head: list[Any] = [
            shape.counter.value,
            shape.scope.value,
            *map(_shape_of, (shape.tx_bytes, shape.rx_bytes)),
        ]
        head += [rows - 1, [column[0] for column in columns]]
        tx, rx = self._ways
        lanes = [_lanes_since_first(column) for column in columns]
        if reduce(or_, lanes, 0) & ~_every(MAX_STEP - 1, rows):
            return [*head, False, [column[1:].tolist() for column in columns], []]
        ways = [_put_way(way, rows, numbers) for way in (lanes[:tx], lanes[tx : tx + rx])]
        stamps = [numbers.put(list(map(sub, column[1:], column))) for column in columns[tx + rx :]]
        return [*head, True, ways, stamps]


def _every(number: int, lanes: int) -> int:
    """Return an integer that has a number in each lane of 64 bits."""
    return int.from_bytes(array("Q", [number]).tobytes() * lanes, "little")


def _lanes_since_first(column: array[int]) -> int:
    """Return how much a counter has grown at each reading since the first: one integer, a lane for each.

    Python then adds and subtracts a column at once. A lane outside of 0 to 2^63 borrows from the next one,
    and has high bits.
    """
    return int.from_bytes(column.tobytes(), "little") - _every(column[0] % (1 << 64), len(column))


def _put_way(lanes: list[int], rows: int, numbers: Numbers) -> list[int]:
    """Put increments as their mean over the links and differences to it; return the least of each.

    The means are whole KiB, so that increments in KiB, as most drivers have them, keep their zeros.
    """
    if not lanes:
        return []
    size = BYTES * (rows - 1)
    # All lanes are counted from -MAX_STEP * links on, so that none of them borrows.
    offset = MAX_STEP * len(lanes)
    offsets = _every(offset, rows - 1)
    # Without the first lane, which has no increment, and the one beyond the last.
    steps = [(column >> BITS) - (column & ((1 << BITS * (rows - 1)) - 1)) for column in lanes]
    totals = array("Q", (sum(steps) + offsets).to_bytes(size, "little"))
    means = [(total - offset) // len(steps) & -KIB for total in totals]
    mean = int.from_bytes(array("Q", [each + offset for each in means]).tobytes(), "little") - offsets
    first = numbers.put(means)
    missed = b"".join([(step - mean + offsets).to_bytes(size, "little") for step in steps])
    least = min(array("Q", missed), default=0)
    lanes_of_all = int.from_bytes(missed, "little") - _every(least, len(missed) // BYTES)
    numbers.extend(lanes_of_all.to_bytes(len(missed), "little"))
    return [first, *[least - offset] * len(steps)]


def _take_way(leasts: list[int], count: int, numbers: Numbers) -> list[list[int]]:
    if not leasts:
        return []
    means, *missed = [numbers.take(count, least) for least in leasts]
    return [list(map(add, column, means)) for column in missed]


def unpack(
    packed: Any, numbers: Numbers
) -> tuple[list[tuple[int, ...]], Iterable[int], Callable[[tuple[int, ...]], LinkCounters]]:
    """Return the rows that have been packed, how often each occurs, and what makes counters of one."""
    counter, scope, tx_shape, rx_shape, count, firsts, is_put, ways, stamps = packed
    if is_put:
        steps = [column for way in ways for column in _take_way(way, count, numbers)]
        steps += [numbers.take(count, least) for least in stamps]
        columns = [list(accumulate([first, *column])) for first, column in zip(firsts, steps, strict=True)]
    else:
        columns = [[first, *column] for first, column in zip(firsts, ways, strict=True)]
    tx, rx = _from_shape(tx_shape), _from_shape(rx_shape)
    tx_end = sum(missing is None for missing in tx)
    rx_end = tx_end + sum(missing is None for missing in rx)
    kind, covers = Counter(counter), Scope(scope)

    def counters(row: tuple[int, ...]) -> LinkCounters:
        return LinkCounters(
            kind, covers, _fill(tx, row[:tx_end]), _fill(rx, row[tx_end:rx_end]), row[rx_end:]
        )

    return list(zip(*columns, strict=True)), repeat(1), counters


def _values(data: LinkCounters) -> tuple[Any, ...]:
    return data.tx_bytes + data.rx_bytes + data.stamp_us


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
