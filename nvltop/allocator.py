"""Settings of glibc's memory allocator for a program that runs for days."""

from __future__ import annotations

from typing import Final

LARGE_BYTES: Final = 1 << 16
"""Size from which a block is mapped on its own, so that its memory is returned when it is freed."""
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Parameters of mallopt(3)."""


def return_freed_memory() -> None:
    """Let glibc return large blocks to the system; do nothing with another C library.

    By default glibc keeps more of the memory the larger the freed blocks are: history, recordings and job
    analysis grow and shrink by blocks of about 100 kB, between which small objects then take their place.
    """
    try:
        from ctypes import CDLL

        mallopt = CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)
