"""A simulated machine below `nvidia-ml-py`, whose wrappers, structs and error codes run as on a real one."""

from __future__ import annotations

import time
from collections.abc import Callable

import pynvml

from nvltop.nvml.simulated.functions import function_table
from nvltop.nvml.simulated.library import Fault, Library
from nvltop.nvml.simulated.machine import Machine
from nvltop.nvml.simulated.nodes import BUILDERS

__all__ = ["Fault", "Library", "install", "uninstall"]


def install(
    node: str,
    scenario: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> Library:
    """Replace the library that `pynvml` has loaded by a simulated one; its time starts now."""
    library = Library(Machine(BUILDERS[node](), scenario), function_table, clock, wall)
    _replace(library)
    return library


def uninstall() -> None:
    """Make `pynvml` load the real library again."""
    _replace(None)


def _replace(library: Library | None) -> None:
    pynvml.nvmlLib = library
    pynvml._nvmlGetFunctionPointer_cache.clear()
