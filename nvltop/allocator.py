"""Settings of glibc's memory allocator for a program that runs for days; other C libraries have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LARGE_BYTES: Final = 1 << 16
"""Size from which a block is mapped on its own, so that its memory is returned when it is freed."""
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""Parameters of mallopt(3)."""


def return_freed_memory() -> None:
    """Let glibc return large blocks to the system.

    By default glibc keeps more of the memory the larger the freed blocks are: history, recordings and job
    analysis grow and shrink by blocks of about 100 kB, between which small objects then take their place.
    """
    _set_parameters({M_MMAP_THRESHOLD: LARGE_BYTES, M_TRIM_THRESHOLD: LARGE_BYTES})


def share_one_arena() -> None:
    """Let glibc's threads share one arena; call this before threads start.

    By default each thread gets an arena of its own, which the interpreter's lock makes useless.
    """
    _set_parameters({M_ARENA_MAX: 1})


def _set_parameters(values: Mapping[int, int]) -> None:
    try:
        from ctypes import CDLL

        mallopt = CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return
    for parameter, value in values.items():
        mallopt(parameter, value)
