"""Bit error rates as NVML packs them, compared with each other and with NVIDIA's limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from nvltop.model import LinkBer, Missing, known

MAX_BER: Final = (1, 12)
"""Effective bit error rate above which a link is bad: 1e-12 as mantissa and negative exponent.

Source: DCGM, DcgmUtilities.cpp."""
NO_ERRORS_BER: Final = (15, 255)
"""Value that the driver reports for a link without errors: 15e-255."""


class GpuBer(NamedTuple):
    """The bit error rates of a GPU, compared with the limit."""

    below: int
    """Number of links whose rate is known and not above the limit."""
    high: Mapping[int, tuple[int, int]]
    """The rates above the limit, by link."""

    @classmethod
    def of(cls, ber: LinkBer) -> GpuBer:
        """Compare all rates that are known with the limit."""
        rates = {link: decode(packed) for link, packed in enumerate(ber.effective) if known(packed)}
        high = {link: rate for link, rate in rates.items() if is_higher(rate, MAX_BER)}
        return cls(len(rates) - len(high), high)


def decode(packed: int) -> tuple[int, int]:
    """Return mantissa and negative exponent of a packed rate (nvml.h: bits 11:8 and 7:0)."""
    return packed >> 8 & 0xF, packed & 0xFF


def is_higher(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Return whether rate `a` is higher than rate `b`, compared exactly in integers."""
    if a == NO_ERRORS_BER or not a[0]:
        return False
    if b == NO_ERRORS_BER or not b[0]:
        return True
    exponent = max(a[1], b[1])
    return a[0] * int(10 ** (exponent - a[1])) > b[0] * int(10 ** (exponent - b[1]))


def format_ber(ber: tuple[int, int]) -> str:
    """Return a rate as text: `2e-12`, or `0` for a link without errors."""
    return "0" if ber == NO_ERRORS_BER or not ber[0] else f"{ber[0]}e-{ber[1]}"


def ber_as_float(packed: int) -> float:
    """Return a packed rate as a float, for export; comparisons use `is_higher`."""
    mantissa, exponent = ber = decode(packed)
    return 0.0 if ber == NO_ERRORS_BER else mantissa * 10.0**-exponent


def rate_of(ber: LinkBer, link: int) -> tuple[int, int] | Missing:
    """Return mantissa and negative exponent of the rate of a link."""
    packed = ber.effective[link] if link < len(ber.effective) else Missing("not read yet")
    return packed if isinstance(packed, Missing) else decode(packed)
