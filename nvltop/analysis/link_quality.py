"""Quality of a link as NVML describes it: the share of blocks sent again, and the rate after correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.model import NOT_SUPPORTED, GpuFrame, Link, Maybe, Missing, known

KIB: Final = 1024
"""Bytes in the unit of the driver's own structure (`nvlinkLinkDataRateKiBps`, open kernel modules 595)."""
MIN_SHARE, MAX_SHARE = 0.8, 1.001
"""Share of the speed between which a rate after correction is plausible."""
OTHER_UNIT: Final = Missing("the driver's rate does not fit the speed of the link; NVIDIA states no unit")
NOTHING_SENT: Final = Missing("no block was sent yet")


def retry_share(g: GpuFrame, link: Link) -> Maybe[float]:
    """Return the share of the blocks that the link sent again since its counters began."""
    if g.ber is None:
        return NOT_SUPPORTED
    blocks, retries = _at(g.ber.plr_blocks, link), _at(g.ber.plr_retries, link)
    if isinstance(blocks, Missing):
        return blocks
    if isinstance(retries, Missing):
        return retries
    return retries / blocks if blocks > 0 else NOTHING_SENT


def data_rate(g: GpuFrame, link: Link) -> Maybe[float]:
    """Return the rate in bytes/s that remains for data after error correction, in one direction."""
    rate = NOT_SUPPORTED if g.ber is None else _at(g.ber.data_rate, link)
    if isinstance(rate, Missing):
        return rate
    speed = link.speed_bytes_per_s
    if isinstance(speed, Missing):
        return speed
    return float(rate * KIB) if MIN_SHARE * speed <= rate * KIB <= MAX_SHARE * speed else OTHER_UNIT


def worst_retry_share(g: GpuFrame) -> tuple[int, float] | None:
    """Return the link that sent the largest share of its blocks again, and this share; None if unknown."""
    shares = [(share, -k.index) for k in g.links if known(share := retry_share(g, k))]
    share, index = max(shares, default=(0.0, 1))
    return None if not shares else (-index, share)


def _at(values: Sequence[Maybe[int]], link: Link) -> Maybe[int]:
    return values[link.index] if link.index < len(values) else NOT_SUPPORTED
