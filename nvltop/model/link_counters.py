"""The cumulative traffic counters of the links of one GPU."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from struct import unpack
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from nvltop.frozen import frozen
from nvltop.model.missing import Maybe, Missing, known

T = TypeVar("T")
BYTES: Final = 8
"""Size of a packed number."""


class Counter(str, Enum):
    """What a throughput counter counts."""

    DATA = "data"
    """Bytes of data without protocol overhead (fields 138, 139; 202, 204)."""
    RAW = "raw"
    """Bytes including protocol overhead (fields 140, 141)."""


class Scope(str, Enum):
    """What one throughput counter covers: a link, or all links of a GPU."""

    LINK = "link"
    GPU = "gpu"
    """The driver returns only the sum over the links of the GPU."""


def split_tx_rx(values: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Split a series of counters, TX of every link, then RX of every link, into its halves."""
    count = len(values) // 2
    return values[:count], values[count:]


class _Packed:
    """The numbers of an object as the bytes of integers of 64 bits, in the byte order of the machine."""

    __slots__ = ("packed",)

    packed: tuple[bytes, bytes]
    """Counters of TX, then of RX, and time stamps. An object that was made from its values alone has none."""


@frozen
class LinkCounters(_Packed):
    """Cumulative NVLink traffic of one GPU, in bytes since the driver loaded or the GPU was reset."""

    counter: Counter
    scope: Scope
    tx_bytes: tuple[Maybe[int], ...]
    """By link index; one entry for `Scope.GPU`."""
    rx_bytes: tuple[Maybe[int], ...]
    stamp_us: tuple[int, ...] = ()
    """NVML's timestamp of each TX entry, then of each RX entry (Unix µs); one number if all are equal, empty
    if the driver returned none."""

    @staticmethod
    def of_packed(counter: Counter, scope: Scope, counts: bytes, stamps: bytes) -> LinkCounters:
        """Return counters whose values are unpacked when they are first used.

        The process that reads them only sends them, and making integers of them took longer than the rest.
        The process that shows them keeps those of some seconds, for which they take a fifth of the memory.
        """
        made: Any = LinkCounters.__new__(LinkCounters)
        made.counter, made.scope = counter, scope
        made.packed = counts, stamps
        return cast(LinkCounters, made)

    @property
    def links(self) -> int:
        """Number of links, or 1 for `Scope.GPU`."""
        return len(self.packed[0]) // (2 * BYTES) if hasattr(self, "packed") else len(self.tx_bytes)

    def numbers(self) -> tuple[tuple[Maybe[int], ...], tuple[int, ...]]:
        """Return TX of every link, then RX of every link, and the time stamps.

        Unlike the attributes, they are not kept with an object that has them packed.
        """
        if hasattr(self, "packed"):
            counts, stamps = self.packed
            return unpack(f"{len(counts) // BYTES}Q", counts), unpack(f"{len(stamps) // BYTES}q", stamps)
        return self.tx_bytes + self.rx_bytes, self.stamp_us

    def total_bytes(self) -> int:
        """Return the sum of the counters that were read."""
        if hasattr(self, "packed"):
            return sum(memoryview(self.packed[0]).cast("Q"))
        values = self.tx_bytes + self.rx_bytes
        try:
            return sum(cast(tuple[int, ...], values))
        except TypeError:  # a counter is missing, which is rare
            return sum(value for value in values if known(value))

    def unread(self) -> set[int]:
        """Return the links whose TX counter could not be read."""
        if hasattr(self, "packed"):
            return set()
        return {i for i, value in enumerate(self.tx_bytes) if isinstance(value, Missing)}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Python calls this for what has not been set.
            if name not in ("tx_bytes", "rx_bytes", "stamp_us"):
                raise AttributeError(name)
            values, self.stamp_us = self.numbers()
            self.tx_bytes, self.rx_bytes = split_tx_rx(values)
            return object.__getattribute__(self, name)
