"""Counters of the links of several readings, for the pipe.

    [counter, scope, links, stamps]

All readings have the same number of links and of NVML's time stamps. Their numbers of 64 bits are TX of every
link, then RX of every link, of one reading after the other, and then their time stamps.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from nvltop.model import Counter, LinkCounters, Scope
from nvltop.model.link_counters import BYTES
from nvltop.wire.schema import MAX_LIST, CodecError

Shape = tuple[Counter, Scope, int, int]
"""What is counted, and the numbers of links and of time stamps."""


def packed(data: LinkCounters) -> tuple[Shape, tuple[bytes, bytes]] | None:
    """Return the shape and the numbers of counters; None if one is missing or needs more than 64 bits.

    Also None for a shape that the receiver would reject, with all other readings of the burst.
    """
    if hasattr(data, "packed"):
        packed = data.packed
        links, stamps = len(packed[0]) // (2 * BYTES), len(packed[1]) // BYTES
    else:
        links, stamps = len(data.tx_bytes), len(data.stamp_us)
        if links != len(data.rx_bytes):
            return None
        numbers: tuple[Any, ...] = data.tx_bytes + data.rx_bytes
        try:
            packed = array("Q", numbers).tobytes(), array("q", data.stamp_us).tobytes()
        except (OverflowError, TypeError):
            return None
    return (
        ((data.counter, data.scope, links, stamps), packed) if _is_shape(data.scope, links, stamps) else None
    )


def _is_shape(scope: Scope, links: int, stamps: int) -> bool:
    return 0 < links <= (MAX_LIST if scope is Scope.LINK else 1) and stamps in (0, 1, 2 * links)


def encode_links(
    shape: Shape, batch: Sequence[tuple[bytes, bytes]], numbers: list[bytes]
) -> tuple[str, str, int, int]:
    """Return the shape of packed counters as JSON values, and append their numbers."""
    counter, scope, links, stamps = shape
    for parts in zip(*batch, strict=True):
        numbers += parts
    return counter.value, scope.value, links, stamps


class Numbers:
    """The numbers of 64 bits in a burst, taken one batch after the other."""

    def __init__(self, packed: memoryview) -> None:
        self._rest = packed

    def take(self, count: int) -> memoryview:
        """Return the bytes of the next `count` numbers; raise `CodecError` if there are fewer."""
        size = BYTES * count
        taken, self._rest = self._rest[:size], self._rest[size:]
        if len(taken) != size:
            raise CodecError("too few numbers")
        return taken

    def end(self) -> None:
        """Raise `CodecError` if numbers are left."""
        if self._rest:
            raise CodecError("too many numbers")


def decode_links(
    counter: str, scope: str, links: int, stamps: int, *, length: int, numbers: Numbers
) -> Iterable[LinkCounters]:
    """Return the counters of `length` readings; raise `ValueError` or `TypeError` if they do not fit."""
    kind, covers = Counter(counter), Scope(scope)
    if not _is_shape(covers, links, stamps):
        raise CodecError("a wrong number of links")
    counts, stamps_us = numbers.take(2 * links * length), numbers.take(stamps * length)
    rows = zip(_rows(counts, 2 * links), _rows(stamps_us, stamps), strict=stamps > 0)
    return [LinkCounters.of_packed(kind, covers, *packed) for packed in rows]


def _rows(numbers: memoryview, width: int) -> Iterable[bytes]:
    """Return numbers of 64 bits in rows."""
    size = BYTES * width
    return [bytes(numbers[i : i + size]) for i in range(0, len(numbers), size)] if width else repeat(b"")
