"""Names of GPUs in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.model import GpuFrame
from nvltop.text import ranges

MAX_SHORT_NAMES: Final = 12
"""Length in characters above which a headline states the number of GPUs instead of their indices."""


def gpu_name(gpu: GpuFrame) -> str:
    """Return `GPU 3`."""
    return f"GPU {gpu.gpu.index}"


def gpu_names(gpus: Sequence[GpuFrame]) -> str:
    """Return `GPU 3`, or `GPUs 0-3, 7`."""
    numbers = sorted(g.gpu.index for g in gpus)
    text = ranges(numbers, ", ", shortest=3)
    return f"GPU{'s' if len(numbers) > 1 else ''} {text}"


def short_gpu_names(gpus: Sequence[GpuFrame]) -> str:
    """Return `GPU 3`, `GPUs 0-3`, or `5 GPUs` if their indices would not fit a headline."""
    text = gpu_names(gpus)
    return text if len(text) <= MAX_SHORT_NAMES else f"{len(gpus)} GPUs"
