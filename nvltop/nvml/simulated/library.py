"""The simulated libnvidia-ml: real C function pointers, called by nvidia-ml-py as it calls the real ones."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import Counter
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int, c_void_p
from typing import Any, Final

import pynvml

from nvltop.nvml.simulated.faults import GPU_IS_LOST
from nvltop.nvml.simulated.fields import ENTRY, FieldTable
from nvltop.nvml.simulated.machine import Machine

SUCCESS: Final = 0
UNKNOWN_ERROR: Final = 999
HANDLE_BASE: Final = 0x1000
COUNT_FUNCTION: Final = "nvmlDeviceGetCount_v2"
"""The one nvmlDevice function whose first pointer is no device."""

_FuncPtr: Final[Any] = ctypes.CDLL(None)._FuncPtr
"""What a CDLL's attributes are: no argtypes, so a wrong argument fails as on the real library."""


class Fault:
    """What a test makes a function do instead of its work."""

    def __init__(self, code: int = 0, gpu: int | None = None, hang: threading.Event | None = None) -> None:
        self.code = code
        self.gpu = gpu
        self.hang = hang

    def apply(self, gpu: int | None) -> int:
        """Return the error code to answer, 0 to go on; waits while it hangs."""
        if self.gpu is not None and gpu != self.gpu:
            return 0
        if self.hang:
            self.hang.wait()
        return self.code


class Library:
    """Stands where `pynvml` keeps its CDLL."""

    def __init__(
        self,
        machine: Machine,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        from nvltop.nvml.simulated.functions import functions

        self.machine = machine
        self.fields = FieldTable(machine)
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, Fault] = {}
        """By function name, without version suffix as well as with."""
        self.crashes: list[BaseException] = []
        """What went wrong inside our own functions; ctypes would swallow it."""
        self._clock, self._wall, self._start = clock, wall, clock()
        self.released = threading.Event()
        """Never set: what a wait for events waits on."""
        self._callbacks: list[Any] = []
        self._functions = functions(self)

    @property
    def t(self) -> float:
        """Seconds since the machine was switched on."""
        return self._clock() - self._start

    @property
    def wall_us(self) -> int:
        """The driver's clock in Unix µs."""
        return int(self._wall() * 1e6)

    def __getattr__(self, name: str) -> Any:
        """Return the C function of that name, as a CDLL does."""
        try:
            types, body = self._functions[name]
        except KeyError:
            raise AttributeError(name) from None
        pointer = self._wrap(name, types, body)
        setattr(self, name, pointer)
        return pointer

    def _wrap(self, name: str, types: tuple[Any, ...], body: Callable[..., int]) -> Any:
        takes_gpu = types[:1] == (c_void_p,) and name.startswith("nvmlDevice") and name != COUNT_FUNCTION

        def answer(*args: Any) -> int:
            self.calls[name] += 1
            try:
                gpu = gpu_of(args[0]) if takes_gpu else None
                fault = self.faults.get(name)
                if fault and (code := fault.apply(gpu)):
                    return code
                if takes_gpu and gpu is not None:
                    if not 0 <= gpu < self.machine.node.gpus:
                        return 2
                    if self.machine.faults.is_lost(gpu, self.t):
                        return GPU_IS_LOST
                    args = (gpu, *args[1:])
                return body(*args)
            except Exception as crash:  # an exception cannot cross C
                self.crashes.append(crash)
                return UNKNOWN_ERROR

        callback = CFUNCTYPE(c_int, *types)(answer)
        self._callbacks.append(callback)
        return _FuncPtr(ctypes.cast(callback, c_void_p).value)

    def fill_fields(self, gpu: int, count: int, address: int) -> int:
        """Answer `nvmlDeviceGetFieldValues`."""
        if delay_s := self.machine.faults.delay_s():
            self.released.wait(delay_s)
        size = count * ENTRY.size
        view = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
        self.fields.fill(gpu, view, count, self.t, self.wall_us)
        return SUCCESS


def gpu_of(handle: int | None) -> int:
    """Return the GPU behind a device handle."""
    return ((handle or 0) - HANDLE_BASE) // 16


def handle_of(gpu: int) -> int:
    """Return the device handle of a GPU."""
    return HANDLE_BASE + 16 * gpu


def put(kind: Any, address: int, value: Any) -> int:
    """Write a number where the caller wants it."""
    kind.from_address(address).value = value
    return SUCCESS


def put_text(address: int, size: int, text: str) -> int:
    """Write a string into the caller's buffer; INSUFFICIENT_SIZE if it does not fit."""
    raw = text.encode() + b"\0"
    if len(raw) > size:
        return 7
    ctypes.memmove(address, raw, len(raw))
    return SUCCESS


def put_bus(address: int, domain: int, bus: int, device: int = 0) -> int:
    """Write an nvmlPciInfo_t."""
    info = pynvml.nvmlPciInfo_t.from_address(address)
    info.domain, info.bus, info.device = domain, bus, device
    info.busId = f"{domain:08X}:{bus:02X}:{device:02X}.0".encode()
    info.busIdLegacy = f"{domain & 0xFFFF:04X}:{bus:02X}:{device:02X}.0".encode()
    return SUCCESS
