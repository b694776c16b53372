"""Counters of the links of several readings, for the pipe.

    [counter, scope, links, stamps, counters, stamps]

All readings have the same number of links and of NVML's time stamps; the last two entries are TX of every
link, then RX of every link, of one reading after the other, and their time stamps, as numbers of 64 bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from struct import iter_unpack
from typing import Any, Final

from nvltop.model import Counter, LinkCounters, Scope
from nvltop.wire.decoding import MAX_LIST, CodecError

BYTES: Final = 8

Shape = tuple[Counter, Scope, int, int]
"""What is counted, and the numbers of links and of time stamps."""


def packed(data: LinkCounters) -> tuple[Shape, tuple[bytes, bytes]] | None:
    """Return the shape and the numbers of counters; None if one is missing or needs more than 64 bits.

    Also None for a shape that the receiver would reject, with all other readings of the burst.
    """
    links, stamps = len(data.tx_bytes), len(data.stamp_us)
    if links != len(data.rx_bytes) or not _is_shape(data.scope, links, stamps):
        return None
    numbers: tuple[Any, ...] = data.tx_bytes + data.rx_bytes
    try:
        packed = array("Q", numbers).tobytes(), array("q", data.stamp_us).tobytes()
    except (OverflowError, TypeError):
        return None
    return (data.counter, data.scope, links, stamps), packed


def _is_shape(scope: Scope, links: int, stamps: int) -> bool:
    return 0 < links <= (MAX_LIST if scope is Scope.LINK else 1) and stamps in (0, 1, 2 * links)


def encode_links(shape: Shape, batch: Sequence[tuple[bytes, bytes]]) -> list[Any]:
    """Return packed counters of one shape as JSON values."""
    counter, scope, links, stamps = shape
    numbers = [b"".join(parts).hex() for parts in zip(*batch, strict=True)]
    return [counter.value, scope.value, links, stamps, *numbers]


def decode_links(
    counter: str, scope: str, links: int, stamps: int, counters: str, stamps_us: str
) -> Iterable[LinkCounters]:
    """Return the counters of each reading; raise `ValueError` or `TypeError` if they do not fit."""
    kind, covers = Counter(counter), Scope(scope)
    if not _is_shape(covers, links, stamps):
        raise CodecError("a wrong number of links")
    ways = iter_unpack(f"{links}Q", bytes.fromhex(counters))
    times: Iterable[tuple[int, ...]] = repeat(())
    if stamps:
        times = iter_unpack(f"{stamps}q", bytes.fromhex(stamps_us))
    pairs = zip(ways, ways, strict=True)
    return [LinkCounters(kind, covers, tx, rx, us) for (tx, rx), us in zip(pairs, times, strict=stamps > 0)]
