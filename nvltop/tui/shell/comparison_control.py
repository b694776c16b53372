"""What the screen compares with: an earlier moment of this run, or a file that a thread reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nvltop.model import Frame, known
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.lifecycle import FILES_REPLACED

if TYPE_CHECKING:
    from nvltop.comparison.baseline import Baseline

NOW: Final = "now"
START: Final = "start"
FILE: Final = "file"
MAX_PATH_CHARS: Final = 4096
PLACEHOLDER: Final = "a snapshot, a recording (FILE@TIME for a time in it), or --json output"
NOTHING_YET: Final = "nothing to compare yet: the error counters were not read"


class ComparisonControl:
    """Begins and ends a comparison; keeps the first complete frame for `since start`."""

    def __init__(
        self, view: ViewState, notify: Callable[[str, bool], None], changed: Callable[[], None]
    ) -> None:
        """Call `notify` with messages for the user, and `changed` after a change of the baseline."""
        self._view = view
        self._notify = notify
        self._changed = changed
        self._first: Frame | None = None
        """The first frame in which the error counters of all GPUs were read."""
        self._attempt = 0
        """Number of the newest request; a file that is read for an older one is dropped."""
        self.path = ""
        """The last path that the user entered."""

    def add_frame(self, frame: Frame) -> None:
        """Keep the first complete frame."""
        if self._first is None and _is_complete(frame):
            self._first = frame

    def restart(self) -> None:
        """Forget moments of a replay that has jumped back: its counts since the start began again."""
        self._first = None
        if self._view.baseline and not self._view.baseline.from_file:
            self.end()

    def options(self) -> Sequence[tuple[str, str]]:
        """Return the ids and texts of the menu."""
        began = f" ({_clock(self._first.started_s)})" if self._first else ""
        return (NOW, "Since now"), (START, f"Since start{began}"), (FILE, "A file...")

    def begin(self, option: str) -> None:
        """Compare with now or with the start."""
        try:
            from nvltop.comparison.baseline import of_frame, of_start
        except ImportError:
            self._notify(FILES_REPLACED, True)
            return
        frame = self._view.frame if option == NOW else self._first
        if frame is None or not _is_complete(frame):
            self._notify(NOTHING_YET, True)
        elif option == NOW:
            self._use(of_frame(frame, _clock(frame.tick.wall_s)))
        else:
            self._use(of_start(frame, f"the start at {_clock(frame.started_s)}"))

    def end(self) -> None:
        """End the comparison."""
        self._use(None)

    def read(self, path: str) -> None:
        """Read a file in a thread, and compare with it."""
        self.path = path
        self._attempt += 1
        work = (path, self._view.frame, self._attempt, asyncio.get_running_loop())
        threading.Thread(target=self._read, args=work, name="compare", daemon=True).start()

    def _read(self, path: str, frame: Frame, attempt: int, loop: asyncio.AbstractEventLoop) -> None:
        from nvltop.comparison.baseline import of_file
        from nvltop.comparison.source import SourceError, read_file

        baseline, warning = None, ""
        try:
            side = read_file(os.path.expanduser(path), brief=True)
            baseline, warning = of_file(side, frame), side.warning
        except SourceError as error:
            warning = str(error)
        except Exception as error:  # a message is better than a thread that ends silently
            warning = f"{path}: cannot be compared ({type(error).__name__})"
        with contextlib.suppress(RuntimeError):  # the application has ended meanwhile
            loop.call_soon_threadsafe(self._arrived, baseline, warning, attempt)

    def _arrived(self, baseline: Baseline | None, warning: str, attempt: int) -> None:
        if attempt != self._attempt:
            return
        if warning:
            self._notify(warning, baseline is None)
        if baseline:
            self._use(baseline)

    def _use(self, baseline: Baseline | None) -> None:
        self._attempt += 1
        self._view.baseline = baseline
        self._changed()


def _is_complete(frame: Frame) -> bool:
    return bool(frame.gpus) and all(not g.links or known(g.nvlink.errors_total) for g in frame.gpus)


def _clock(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s):%H:%M:%S}"
