"""Functions of the NVML library without those of `pynvml` around them.

Older versions of `pynvml` lack some, and it calls others twice or with new memory each time. The library is
looked up at each call, because a simulated one may replace it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pynvml


def find_function(name: str) -> Callable[..., int]:
    """Return a function of the library, which returns an `nvmlReturn_t`; raise `NVMLError` if it lacks it."""
    try:
        function: Callable[..., int] = getattr(pynvml.nvmlLib, name)
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
    return function


def library_call(name: str) -> Callable[..., None]:
    """Return a function that calls one of the library, and raises `NVMLError` as those of `pynvml` do."""

    def call(*args: Any) -> None:
        if code := find_function(name)(*args):
            raise pynvml.NVMLError(code)

    call.__name__ = name
    return call
