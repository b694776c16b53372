"""The simulated libnvidia-ml: real C function pointers, which nvidia-ml-py calls like the real library's."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import Counter
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int, c_void_p
from typing import Any, Final

from nvltop.nvml.simulated.abi import (
    GPU_IS_LOST,
    INVALID_ARGUMENT,
    SUCCESS,
    UNKNOWN_ERROR,
    FunctionTable,
    SimulatedDriver,
    gpu_of,
)
from nvltop.nvml.simulated.faults import FAULT_S
from nvltop.nvml.simulated.fields import ENTRY, FieldTable
from nvltop.nvml.simulated.machine import Machine

COUNT_FUNCTION: Final = "nvmlDeviceGetCount_v2"
"""The only nvmlDevice function whose first pointer is not a device handle."""

UNCHECKED_FUNCTION: Final = CFUNCTYPE(c_int)
"""Function pointer without argument types, like an attribute of a CDLL.

A wrong argument then fails as it does with the real library.
"""


class Fault:
    """An error or a hang that a test injects into a function."""

    def __init__(self, code: int = 0, gpu: int | None = None, hang: threading.Event | None = None) -> None:
        self.code = code
        self.gpu = gpu
        self.hang = hang

    def apply(self, gpu: int | None) -> int:
        """Wait while the function hangs, then return its error code, or 0 to call the function."""
        if self.gpu is not None and gpu != self.gpu:
            return 0
        if self.hang:
            self.hang.wait()
        return self.code


class Library:
    """A replacement of the CDLL that `pynvml` keeps in `nvmlLib`."""

    def __init__(
        self,
        machine: Machine,
        functions: Callable[[SimulatedDriver], FunctionTable],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.machine = machine
        self.fields = FieldTable(machine)
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, Fault] = {}
        """Injected faults by name of the function, including its version suffix."""
        self.crashes: list[BaseException] = []
        """Exceptions raised by simulated functions; they cannot pass through C."""
        self._clock, self._wall, self._start = clock, wall, clock()
        self.released = threading.Event()
        """Ends all waiting of simulated functions. Only tests set it, so that no call takes real time."""
        self._callbacks: list[Any] = []
        """References that keep the callbacks alive; C has only their addresses."""
        self._functions = functions(self)

    @property
    def t(self) -> float:
        """Seconds since the machine was switched on."""
        return self._clock() - self._start

    @property
    def wall_us(self) -> int:
        """Time of the driver's clock, Unix µs."""
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
                if self.faults and (fault := self.faults.get(name)) and (code := fault.apply(gpu)):
                    return code
                if gpu is None:
                    return body(*args)
                machine = self.machine
                if not 0 <= gpu < len(machine.node.buses):
                    return INVALID_ARGUMENT
                if machine.faults.loses(gpu) and self.t >= FAULT_S:
                    return GPU_IS_LOST
                return body(gpu, *args[1:])
            except Exception as crash:  # an exception cannot cross C
                self.crashes.append(crash)
                return UNKNOWN_ERROR

        callback = CFUNCTYPE(c_int, *types)(answer)
        self._callbacks.append(callback)
        return UNCHECKED_FUNCTION(ctypes.cast(callback, c_void_p).value or 0)

    def fill_fields(self, gpu: int, count: int, address: int) -> int:
        """Fill in the entries of `nvmlDeviceGetFieldValues`, each with a return code of its own."""
        if delay_s := self.machine.faults.delay_s():
            self.released.wait(delay_s)
        entries = memoryview((ctypes.c_char * (count * ENTRY.size)).from_address(address)).cast("B")
        self.fields.fill(gpu, entries, count, self.t, self.wall_us)
        return SUCCESS
