"""The cumulative traffic counters of the links of one GPU."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nvltop.frozen import frozen
from nvltop.model.missing import Maybe, Missing, known

T = TypeVar("T")


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
        """
        made: Any = LinkCounters.__new__(LinkCounters)
        made.counter, made.scope = counter, scope
        made.packed = counts, stamps
        return cast(LinkCounters, made)

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
            counts, stamps = self.packed
            self.tx_bytes, self.rx_bytes = split_tx_rx(tuple(memoryview(counts).cast("Q")))
            self.stamp_us = tuple(memoryview(stamps).cast("q"))
            return object.__getattribute__(self, name)
