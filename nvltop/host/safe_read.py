"""Reads of the host whose failures are missing values: `/proc` and `/sys` can lack or hold anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from nvltop.model import Maybe, Missing
from nvltop.text import clean

T = TypeVar("T")
MAX_REASON = 80
"""Characters."""


def read_safely(read: Callable[[], T], source: str) -> Maybe[T]:
    """Return what `read` returns; if it fails in any way, `Missing` with the source and the reason."""
    try:
        return read()
    except Exception as error:  # psutil raises whatever its parsing of /proc runs into
        return Missing(f"{source}: {error_reason(error)}")


def error_reason(error: Exception) -> str:
    """Return in a few words why something of the host could not be read."""
    if isinstance(error, PermissionError) or type(error).__name__ == "AccessDenied":
        return "no permission"
    if isinstance(error, OSError) and error.errno:
        return clean(os.strerror(error.errno).lower(), MAX_REASON)
    words = str(error) if isinstance(error, (RuntimeError, ValueError, OSError)) else ""
    words = clean(words.strip().partition("\n")[0], MAX_REASON)
    return words or f"not what it should be ({type(error).__name__})"
