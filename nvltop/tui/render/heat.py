"""The colours of heat maps: the role of a cell by its share of what NCCL reaches."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

HEAT_LEVELS: Final = (0.01, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Shares of what NCCL reaches from which a cell has the role `heat1`, `heat2` and so on."""


def heat_role(share: float) -> str:
    """Return the role of a cell by its share of what NCCL reaches: `heat0` to `heat6`."""
    return f"heat{bisect_right(HEAT_LEVELS, share)}"
