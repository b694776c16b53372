"""The start-up configuration of the worker, and the names and time limits that both processes use."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from nvltop.frozen import frozen

WORKER_NAME: Final = "nvltop-worker"
"""Process name of the worker, as `ps -o comm` shows it."""

EXIT_RELOAD: Final = 75
"""Exit status of a worker whose driver was unloaded or replaced: only a new process loads the new library."""
EXIT_FAILED: Final = 70
"""Exit status of a worker in which a thread raised an exception."""

ERRORS_S: Final = 5.0
"""Default interval of the error counters, seconds."""

HEARTBEAT_S: Final = 1.0
"""Interval, in seconds, at which the worker writes the time to shared memory."""
HEARTBEAT_LATE_S: Final = 3.0
"""Age of the last heartbeat, seconds, after which the worker counts as paused (stopped, frozen, starved)."""

STUCK_INTERVALS: Final = 3.0
"""Number of intervals after which a call counts as stuck, but see `MIN_STUCK_S`."""
MIN_STUCK_S: Final = 5.0
"""Time in seconds before which no call counts as stuck."""


@frozen
class WorkerConfig:
    """The configuration of one worker process."""

    items_fd: int
    """Descriptor of the pipe to which the worker writes items."""
    watch_fd: int
    """Descriptor of the shared memory for the driver calls in progress."""
    interval_s: float
    demo: tuple[str, str] | None = None
    """Node and scenario to simulate."""
    leave_out: tuple[int, ...] = ()
    """NVML indices of GPUs to leave out, because a call on them hung in an earlier worker."""
    errors_s: float = ERRORS_S
    """Interval of the error counters, seconds."""
    frame_s: float = 0.0
    """Interval of the frames of a screen, at which readings are sent, seconds; 0 without a screen."""

    def to_argument(self) -> str:
        """Return the configuration as one command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, text: str) -> WorkerConfig:
        """Return the configuration that `to_argument` has written."""
        fields = json.loads(text)
        fields["demo"] = tuple(fields["demo"]) if fields["demo"] else None
        fields["leave_out"] = tuple(fields["leave_out"])
        return cls(**fields)


def deadline_s(interval_s: float) -> float:
    """Return the seconds after which a call without an answer counts as stuck."""
    return max(STUCK_INTERVALS * interval_s, MIN_STUCK_S)


def exit_on_failure(work: Callable[..., None]) -> Callable[..., None]:
    """Return `work` wrapped so that any exception ends the process; a partial worker would send stale values.

    The main process reads the last line of stderr, which names the error, and starts another worker.
    """

    def run_guarded(*args: Any) -> None:
        try:
            work(*args)
        except BaseException:  # any failure at all
            with contextlib.suppress(Exception):
                import traceback  # imported late: the main process loads this module as well

                traceback.print_exc()
                sys.stderr.flush()
            os._exit(EXIT_FAILED)

    return run_guarded
