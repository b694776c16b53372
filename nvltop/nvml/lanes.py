"""Unsigned integers of 64 bits, multiplied all at once as one integer that has a lane of 64 bits for each."""

from __future__ import annotations

from functools import cache
from typing import Final

LANE_BYTES: Final = 8
_LANE_BITS: Final = 8 * LANE_BYTES


def multiplied(packed: bytes, factor: int) -> bytes | None:
    """Return packed integers times a power of two; None if a product needs over 64 bits."""
    if factor == 1:
        return packed
    shift = factor.bit_length() - 1
    lanes = int.from_bytes(packed, "little")
    if lanes & _upper_bits(len(packed) // LANE_BYTES, shift):
        return None
    return (lanes << shift).to_bytes(len(packed), "little")


@cache
def _upper_bits(lanes: int, bits: int) -> int:
    """Return the upper bits of each lane."""
    lane = ((1 << bits) - 1) << (_LANE_BITS - bits)
    return int.from_bytes(lane.to_bytes(LANE_BYTES, "little") * lanes, "little")
