"""The GPUs of a job at this moment: whether they work, wait, or could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.verdict import GPU_BUSY_PERCENT
from nvltop.median import median
from nvltop.model import NOT_READ, GpuFrame, Missing, known

FULLY_BUSY_PERCENT: Final = 95.0
"""Utilisation above which a GPU works or spins in a collective, in percent."""
MAX_SPINNING_POWER: Final = 0.35
"""Share of the power limit below which a busy GPU only waits."""


def without_speed(members: Sequence[GpuFrame]) -> bool:
    """Return whether GPUs carry traffic, and the speed of their links is not known."""
    moved = any(known(rate := g.nvlink.tx_bytes_per_s) and rate for g in members)
    return moved and all(isinstance(g.nvlink.speed_bytes_per_s, Missing) for g in members)


def why_unread(members: Sequence[GpuFrame]) -> str:
    """Return the reason why the traffic of these GPUs is not known."""
    rates = [r for g in members for r in (g.nvlink.tx_bytes_per_s, g.nvlink.rx_bytes_per_s)]
    return next((r.reason for r in rates if isinstance(r, Missing)), NOT_READ.reason)


def are_busy(members: Sequence[GpuFrame]) -> tuple[bool, bool]:
    """Return whether at least half of the GPUs are fully busy, and whether any GPU is busy."""
    utils = [u for g in members if known(u := g.gauges.util_percent)]
    fully = sum(u >= FULLY_BUSY_PERCENT for u in utils)
    return bool(utils) and 2 * fully >= len(members), any(u >= GPU_BUSY_PERCENT for u in utils)


def spinning(members: Sequence[GpuFrame]) -> bool:
    """Return whether GPUs draw little power, as they do while spinning in a collective."""
    shares = [
        p / limit
        for g in members
        if known(p := g.gauges.power_w) and known(limit := g.gpu.power_limit_w) and limit
    ]
    return bool(shares) and median(shares) < MAX_SPINNING_POWER
