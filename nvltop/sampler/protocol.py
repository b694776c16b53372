"""What the main process tells the worker at the start, and the names both ends use."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

WORKER_NAME: Final = "nvltop-worker"
"""What `ps -o comm` shows."""

RELOAD: Final = 75
"""Exit status of a worker whose driver was unloaded or exchanged: a fresh one is to be started."""
FAILED: Final = 70
"""Exit status of a worker of which a thread failed."""

BEAT_S: Final = 0.5
"""How often the worker notes in shared memory that it runs."""
BEAT_LATE_S: Final = 3.0
"""A worker whose last heartbeat is older does not run: it is stopped, frozen, or gets no CPU time."""

STUCK_INTERVALS: Final = 3.0
STUCK_S: Final = 5.0
"""A call is stuck after this many intervals, and never before this many seconds."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker is started for."""

    items_fd: int
    """The worker writes items here."""
    watch_fd: int
    """Shared memory for the calls under way."""
    interval_s: float
    demo: tuple[str, str] | None = None
    """Node and scenario to simulate."""
    leave_out: tuple[int, ...] = ()
    """NVML indices of GPUs not to touch: a call on them hung in an earlier worker."""

    def to_argument(self) -> str:
        """Write the job as one command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, text: str) -> Job:
        """Read a job back."""
        fields = json.loads(text)
        fields["demo"] = tuple(fields["demo"]) if fields["demo"] else None
        fields["leave_out"] = tuple(fields["leave_out"])
        return cls(**fields)


def deadline_s(interval_s: float) -> float:
    """Return after how many seconds without an answer a call counts as stuck."""
    return max(STUCK_INTERVALS * interval_s, STUCK_S)


def guarded(work: Callable[..., None]) -> Callable[..., None]:
    """Let the process end when a thread of it fails: half a worker would show old numbers for ever.

    The main process reads the last line of stderr, which says what failed, and starts another worker.
    """

    def run_guarded(*args: Any) -> None:
        try:
            work(*args)
        except BaseException:  # any failure at all
            with contextlib.suppress(Exception):
                import traceback  # the main process, which loads this module too, needs it for nothing

                traceback.print_exc()
                sys.stderr.flush()
            os._exit(FAILED)

    return run_guarded
