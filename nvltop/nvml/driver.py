"""The one way into NVML: every answer is a value or `Missing` with NVML's reason.

Nothing outside `nvltop.nvml` imports `pynvml`. Each call is noted in the `Watch` while it lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import pynvml

from nvltop.model import GPU_IS_LOST, NOT_SUPPORTED, Missing
from nvltop.nvml.call_tracker import CallTracker
from nvltop.text import clean

INVALID_ARGUMENT: Final = Missing("invalid argument")
NO_PERMISSION: Final = Missing("no permission")
FUNCTION_NOT_FOUND: Final = Missing("driver is too old for this")
IMPLAUSIBLE: Final = Missing("implausible value")
UNDECODABLE: Final = Missing("the driver's text is not valid UTF-8")

REASONS: Final[dict[int, Missing]] = {
    1: Missing("NVML is not initialised"),
    2: INVALID_ARGUMENT,
    3: NOT_SUPPORTED,
    4: NO_PERMISSION,
    6: Missing("not found"),
    7: Missing("insufficient size"),
    8: Missing("GPU power cable is not attached"),
    9: Missing("driver is not loaded"),
    10: Missing("timed out"),
    11: Missing("GPU interrupt problem"),
    12: Missing("NVML library not found"),
    13: FUNCTION_NOT_FOUND,
    14: Missing("corrupted infoROM"),
    15: GPU_IS_LOST,
    16: Missing("GPU needs a reset"),
    17: Missing("the operating system blocks the GPU"),
    18: Missing("driver and library versions differ"),
    19: Missing("in use"),
    20: Missing("driver is out of memory"),
    21: Missing("no data"),
    25: Missing("driver does not know this version of the call"),
    26: Missing("deprecated"),
    27: Missing("not ready"),
    28: Missing("GPU not found"),
    29: Missing("invalid state"),
    999: Missing("unknown driver error"),
}
"""NVML's return codes (nvml.h, nvmlReturn_t) in words."""

UNSUPPORTED: Final = frozenset(
    (NOT_SUPPORTED, FUNCTION_NOT_FOUND, INVALID_ARGUMENT, REASONS[25], REASONS[26])
)
"""Reasons that will not go away by asking again."""


def reason(code: int) -> Missing:
    """Return NVML's return code as the reason why a value is missing."""
    return REASONS.get(code) or Missing(f"driver error {code}")


class Driver:
    """A session with the driver."""

    def __init__(self, watch: CallTracker) -> None:
        self.tracker = watch
        self._branch: int | None = None
        self.unused_samples: deque[Any] = deque()
        """GPM sample buffers that nobody uses any more; the next sample to be taken frees them."""

    def branch(self) -> int | None:
        """Return the driver's branch, such as 580; None if that cannot be read."""
        if self._branch is None:
            version = self.call(pynvml.nvmlSystemGetDriverVersion)
            number = version.partition(".")[0] if isinstance(version, str) else ""
            self._branch = int(number) if number.isdecimal() else None
        return self._branch

    def call(self, function: Callable[..., Any], *args: Any, gpu: int | None = None) -> Any:
        """Call a `pynvml` function; the answer, or `Missing` with the reason of the failure."""
        start = self.tracker.begin(function.__name__, gpu)
        try:
            answer = function(*args)
        except pynvml.NVMLError as error:
            return reason(error.value)
        except UnicodeDecodeError:
            return UNDECODABLE
        finally:
            self.tracker.end(function.__name__, start, gpu)
        return clean(answer) if isinstance(answer, str) else answer


class UnsupportedCache:
    """Remembers what a board does not support, so that it is not asked at every turn."""

    RETRY_S: Final = 600.0
    """A driver reload under us may bring a call to life; rarely worth asking."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, Missing]] = {}

    def get(self, key: str, now: float, question: Callable[[], Any]) -> Any:
        """Return the answer to `question`, or the remembered reason why there is none."""
        refused = self._until.get(key)
        if refused and now < refused[0]:
            return refused[1]
        answer = question()
        if isinstance(answer, Missing) and answer in UNSUPPORTED:
            self._until[key] = (now + self.RETRY_S, answer)
        return answer


def plausible(value: Any, low: float, high: float) -> Any:
    """Return `value`, or `Missing` if no such quantity can be outside [`low`, `high`]."""
    if isinstance(value, Missing) or low <= value <= high:
        return value
    return Missing(
        clean(f"implausible value {value:g}" if isinstance(value, float) else f"implausible value {value}")
    )
