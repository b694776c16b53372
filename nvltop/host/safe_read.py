"""Reads of the host whose failures become missing values.

Files in `/proc` and `/sys` may be missing or contain anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from nvltop.model import Maybe, Missing
from nvltop.text import clean

T = TypeVar("T")
MAX_REASON = 80
"""Length of a reason, characters."""


def read_safely(read: Callable[[], T], source: str) -> Maybe[T]:
    """Return the result of `read`; if it raises, `Missing` with the source and the reason."""
    try:
        return read()
    except Exception as error:  # parsing raises whatever the content runs into
        return Missing(f"{source}: {error_reason(error)}")


def error_reason(error: Exception) -> str:
    """Return a short description of an error."""
    if isinstance(error, PermissionError):
        return "no permission"
    if isinstance(error, OSError) and error.errno:
        return clean(os.strerror(error.errno).lower(), MAX_REASON)
    text = str(error) if isinstance(error, (RuntimeError, ValueError, OSError)) else ""
    text = clean(text.strip().partition("\n")[0], MAX_REASON)
    return text or f"unexpected content ({type(error).__name__})"
