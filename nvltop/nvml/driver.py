"""NVML calls: each returns a value, or `Missing` with NVML's reason.

Nothing outside `nvltop.nvml` imports `pynvml`. Each call is recorded in the `CallTracker` while it lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import pynvml

from nvltop.model import GPU_IS_LOST, NOT_SUPPORTED, Maybe, Missing
from nvltop.model.missing import (
    DEPRECATED,
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    UNSUPPORTED,
    VERSION_NOT_SUPPORTED,
)
from nvltop.nvml.call_tracker import CallTracker
from nvltop.text import clean

N = TypeVar("N", bound=float)

NO_PERMISSION: Final = Missing("no permission")
NOT_FOUND: Final = Missing("not found")
DRIVER_NOT_LOADED: Final = Missing("driver is not loaded")
LIBRARY_NOT_FOUND: Final = Missing("NVML library not found")
VERSIONS_DIFFER: Final = Missing("driver and library versions differ")
IMPLAUSIBLE: Final = Missing("implausible value")
UNDECODABLE: Final = Missing("the driver's text is not valid UTF-8")

REASONS: Final[dict[int, Missing]] = {
    1: Missing("NVML is not initialised"),
    2: INVALID_ARGUMENT,
    3: NOT_SUPPORTED,
    4: NO_PERMISSION,
    6: NOT_FOUND,
    7: Missing("insufficient size"),
    8: Missing("GPU power cable is not attached"),
    9: DRIVER_NOT_LOADED,
    10: Missing("timed out"),
    11: Missing("GPU interrupt problem"),
    12: LIBRARY_NOT_FOUND,
    13: FUNCTION_NOT_FOUND,
    14: Missing("corrupted infoROM"),
    15: GPU_IS_LOST,
    16: Missing("GPU needs a reset"),
    17: Missing("the operating system blocks the GPU"),
    18: VERSIONS_DIFFER,
    19: Missing("in use"),
    20: Missing("driver is out of memory"),
    21: Missing("no data"),
    25: VERSION_NOT_SUPPORTED,
    26: DEPRECATED,
    27: Missing("not ready"),
    28: Missing("GPU not found"),
    29: Missing("invalid state"),
    999: Missing("unknown driver error"),
}
"""Descriptions of NVML's return codes (nvml.h, nvmlReturn_t)."""


def reason(code: int) -> Missing:
    """Return the reason of a missing value for a return code of NVML."""
    return REASONS.get(code) or Missing(f"driver error {code}")


class Driver:
    """The calls to NVML, recorded in a call tracker."""

    def __init__(self, tracker: CallTracker) -> None:
        self.tracker = tracker
        self._branch: int | None = None
        self.unused_samples: deque[Any] = deque()
        """GPM sample buffers that are no longer used; the next GPM sample frees them."""
        self.firmware: dict[str, dict[str, Any]] = {}
        """Firmware and place of each GPU, by UUID; new firmware needs a reset, and so another process."""

    def branch(self) -> int | None:
        """Return the driver branch, such as 580, or None if it cannot be read."""
        if self._branch is None:
            version = self.call(pynvml.nvmlSystemGetDriverVersion)
            number = version.partition(".")[0] if isinstance(version, str) else ""
            self._branch = int(number) if number.isdecimal() else None
        return self._branch

    def call(self, function: Callable[..., Any], *args: Any, gpu: int | None = None) -> Any:
        """Call a `pynvml` function; return its result, or `Missing` with the reason of the failure."""
        return self.run(function, args, gpu)

    def run(self, function: Callable[..., Any], args: Sequence[Any], gpu: int | None) -> Any:
        """Call a `pynvml` function with a sequence of arguments, which takes less time than `call`.

        Return its result, or `Missing` with the reason of the failure.
        """
        try:
            answer = self.tracker.run(function, args, gpu)
        except pynvml.NVMLError as error:
            return reason(error.value)
        except UnicodeDecodeError:
            return UNDECODABLE
        # `isinstance` would call a method in Python of each structure of `pynvml`.
        return clean(answer) if type(answer) is str else answer


class UnsupportedCache:
    """Cache of the calls that a board does not support, so that they are not repeated each time."""

    RETRY_S: Final = 600.0
    """Time until an unsupported call is tried again, seconds; another driver may have been loaded."""

    def __init__(self) -> None:
        self._until: dict[Hashable, tuple[float, Missing]] = {}

    def get(self, key: Hashable, now: float, read: Callable[[], Any]) -> Any:
        """Return the result of `read`, or the cached reason why it is unsupported."""
        cached = self._until.get(key)
        if cached and now < cached[0]:
            return cached[1]
        answer = read()
        if type(answer) is Missing and answer in UNSUPPORTED:
            self._until[key] = (now + self.RETRY_S, answer)
        return answer

    def call(
        self, now: float, driver: Driver, function: Callable[..., Any], args: tuple[Any, ...], gpu: int
    ) -> Any:
        """Return the result of a call on a GPU, or the cached reason why it is unsupported.

        The first argument is the GPU, the others distinguish calls of the same function.
        """
        if self._until:  # empty on most boards
            cached = self._until.get((function, args[1:]))
            if cached and now < cached[0]:
                return cached[1]
        answer = driver.run(function, args, gpu)
        if type(answer) is Missing and answer in UNSUPPORTED:
            self._until[function, args[1:]] = (now + self.RETRY_S, answer)
        return answer


def plausible(value: Maybe[N], low: float, high: float) -> Maybe[N]:
    """Return `value`, or `Missing` if it is outside the range of plausible values."""
    if isinstance(value, Missing) or low <= value <= high:
        return value
    return Missing(
        clean(f"implausible value {value:g}" if isinstance(value, float) else f"implausible value {value}")
    )
