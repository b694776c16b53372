"""The C interface of the simulated driver: return codes, handles, and writing results to the caller."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

import pynvml

from nvltop.nvml.simulated.machine import Machine

SUCCESS: Final = 0
INVALID_ARGUMENT: Final = 2
NOT_SUPPORTED: Final = 3
NOT_FOUND: Final = 6
INSUFFICIENT_SIZE: Final = 7
TIMEOUT: Final = 10
GPU_IS_LOST: Final = 15
ARGUMENT_VERSION_MISMATCH: Final = 25
UNKNOWN_ERROR: Final = 999
"""Values of nvmlReturn_t (nvml.h)."""

FIRST_HANDLE: Final = 0x1000
HANDLE_STEP: Final = 16

FunctionTable: TypeAlias = "dict[str, tuple[tuple[Any, ...], Callable[..., int]]]"
"""C argument types and Python implementation of each function, by its name in the library.

A function whose first argument is a device handle is called with the GPU's index instead.
"""


class SimulatedDriver(Protocol):
    """State that the simulated functions read."""

    machine: Machine
    released: threading.Event
    """Ends all waiting, of calls that wait for an event as well as of slow ones, once it is set."""

    @property
    def t(self) -> float:
        """Seconds since the machine was switched on."""

    @property
    def wall_us(self) -> int:
        """Time of the driver's clock, Unix µs."""

    def fill_fields(self, gpu: int, count: int, address: int) -> int:
        """Fill in `count` field values at an address."""


def gpu_of(handle: int | None) -> int:
    """Return the index of the GPU that a device handle stands for."""
    return ((handle or 0) - FIRST_HANDLE) // HANDLE_STEP


def handle_of(gpu: int) -> int:
    """Return the device handle of a GPU."""
    return FIRST_HANDLE + HANDLE_STEP * gpu


def uuid_of(gpu: int) -> str:
    """Return the UUID of a GPU."""
    return f"GPU-51a70000-0000-4000-8000-{gpu:012x}"


def put(kind: Any, address: int, value: Any) -> int:
    """Write a number of a ctypes type to an address; return SUCCESS."""
    kind.from_address(address).value = value
    return SUCCESS


def put_text(address: int, size: int, text: str) -> int:
    """Write a string into a buffer; return INSUFFICIENT_SIZE if it does not fit."""
    raw = text.encode() + b"\0"
    if len(raw) > size:
        return INSUFFICIENT_SIZE
    ctypes.memmove(address, raw, len(raw))
    return SUCCESS


def put_bus(address: int, domain: int, bus: int, device: int = 0) -> int:
    """Write an nvmlPciInfo_t; return SUCCESS."""
    info = pynvml.nvmlPciInfo_t.from_address(address)
    info.domain, info.bus, info.device = domain, bus, device
    info.busId = f"{domain:08X}:{bus:02X}:{device:02X}.0".encode()
    info.busIdLegacy = f"{domain & 0xFFFF:04X}:{bus:02X}:{device:02X}.0".encode()
    return SUCCESS
