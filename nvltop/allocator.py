"""Settings of glibc's memory allocator for a program that runs for days; other C libraries have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, cast

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


def return_free_pages() -> None:
    """Return the free pages between smaller blocks to the system; this takes 0.2 ms."""
    if trim := _function("malloc_trim"):
        trim(0)


def _set_parameters(values: Mapping[int, int]) -> None:
    if mallopt := _function("mallopt"):
        for parameter, value in values.items():
            mallopt(parameter, value)


@cache
def _function(name: str) -> Callable[..., int] | None:
    """Return a function of glibc; None if there is none."""
    try:
        from ctypes import CDLL

        return cast(Callable[..., int], CDLL(None)[name])
    except (ImportError, OSError, AttributeError):
        return None
