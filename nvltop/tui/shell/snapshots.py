"""Snapshots of the live screen with the minutes before them, on a key or on a critical finding."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Frame, Item
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.lifecycle import FILES_REPLACED
from nvltop.tui.shell.main_screen import MainScreen

if TYPE_CHECKING:
    from nvltop.record.flight_recorder import FlightRecorder
    from nvltop.record.redact import Redactor
    from nvltop.snapshot.bundle import CriticalTrigger

FIRST_ITEMS: Final = 256
"""Number of items after which the flight recorder is loaded: the first picture takes about 100."""
WRITE_TIMEOUT_S: Final = 10.0
"""Time that the end of the application waits for a snapshot to be written, seconds: the recording of half an
hour takes about four to make."""
PROGRESS_AFTER_S: Final = 1.0
"""Time after which a snapshot that is still being written is reported, seconds."""
ALREADY_WRITING: Final = "the previous snapshot or picture is still being written"
F8_PRESSED: Final = "F8 pressed"
CLIPBOARD_NOTE: Final = "; report.md is also on the clipboard if the terminal allows it"


class SnapshotTaker:
    """Keeps the last minutes of items, and writes snapshots one at a time, in a thread."""

    def __init__(self, full: bool, replayed: bool, notify: Callable[[str, bool], None]) -> None:
        """Call `notify` with the path of each snapshot, or with the reason that there is none and True."""
        self._full = full
        self._loaded: FlightRecorder | None = None
        """None at first: its modules would delay the first picture."""
        self._first: list[Item] = []
        """The items so far, until the flight recorder is loaded."""
        self._replayed = replayed
        self._notify = notify
        self._thread: threading.Thread | None = None
        self._critical: CriticalTrigger | None = None
        """None until the application first asks for snapshots of critical findings."""
        self._unreported = ""

    def _make_redactor(self) -> Redactor:
        from nvltop.snapshot.bundle import redactor

        return redactor(self._full)

    @property
    def _ring(self) -> FlightRecorder:
        """The flight recorder, with all items so far."""
        if self._loaded is None:
            from nvltop.record.flight_recorder import FlightRecorder

            self._loaded = FlightRecorder(self._make_redactor)
            self._loaded.write(*self._first)
            self._first.clear()
        return self._loaded

    def write(self, *items: Item) -> None:
        """Keep some items."""
        if self._loaded or len(self._first) + len(items) > FIRST_ITEMS:
            self._ring.write(*items)
        else:
            self._first += items

    def clear(self) -> None:
        """Drop the items, for example after a jump back in a replay."""
        self._ring.clear()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def take(
        self, main: MainScreen, view: ViewState, frame: Frame, history: RateHistory, cause: str = F8_PRESSED
    ) -> str | None:
        """Start to write a snapshot into the current folder, and return its report.

        Return None while another snapshot is being written, or if none can be made.
        """
        if self._busy:
            self._notify(ALREADY_WRITING, True)
            return None
        # Imported with the first snapshot: most runs take none.
        from nvltop.snapshot.bundle import snapshot_files
        from nvltop.tui.shell.redacted_screen import picture

        screen = picture(main, view, self._ring.redact)
        made = snapshot_files(frame, history, self._ring, screen, cause, self._replayed, view.nccl_report)
        note = CLIPBOARD_NOTE if cause is F8_PRESSED else ""
        self._start(lambda: f"snapshot in {made.save(Path())}, redacted{note}", "snapshot")
        return made.report

    def take_picture(self, main: MainScreen, view: ViewState) -> None:
        """Start to write a picture of the current tab into the current folder."""
        if self._busy:
            self._notify(ALREADY_WRITING, True)
            return
        from nvltop.snapshot.picture import picture_names, write_picture
        from nvltop.tui.shell.redacted_screen import picture

        svg, names, title = picture(main, view, self._ring.redact), picture_names(view.frame), main.tab.TITLE
        self._start(lambda: f"picture of {title} in {write_picture(names, svg)}, redacted", "picture")

    def _start(self, write: Callable[[], str], what: str) -> None:
        """Call `write` in a thread; it returns the message for the user."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._save, args=(write, what, loop), name=what, daemon=True)
        self._thread.start()
        loop.call_later(PROGRESS_AFTER_S, self._report_progress, self._thread)

    def _report_progress(self, thread: threading.Thread) -> None:
        if thread.is_alive():
            self._notify(f"writing the {thread.name} …", False)

    def take_if_critical(self, main: MainScreen, view: ViewState, frame: Frame, history: RateHistory) -> None:
        """Write a snapshot of a critical finding, unless a recent snapshot has it."""
        if self._busy or self._replayed or not main.is_mounted:
            return
        try:
            from nvltop.snapshot.bundle import CriticalTrigger

            self._critical = self._critical or CriticalTrigger()
            if due := self._critical.cause(frame.findings, frame.tick.mono_s):
                self.take(main, view, frame, history, due)
        except ImportError:
            self._notify(FILES_REPLACED, True)

    def wait(self) -> str:
        """Wait for the last snapshot, at most `WRITE_TIMEOUT_S`; return its message if it was not shown."""
        if self._thread:
            self._thread.join(WRITE_TIMEOUT_S)
            if self._thread.is_alive():
                return f"the {self._thread.name} was not written: it took longer than {WRITE_TIMEOUT_S:g} s"
        return self._unreported

    def _save(self, write: Callable[[], str], what: str, loop: asyncio.AbstractEventLoop) -> None:
        from nvltop.snapshot.sections.files import SnapshotError

        try:
            words, failed = write(), False
        except SnapshotError as error:
            words, failed = str(error), True
        except Exception as error:  # a message is better than a thread that ends silently
            words, failed = f"no {what} was written ({type(error).__name__})", True
        self._unreported = words
        with contextlib.suppress(RuntimeError):  # the application has ended meanwhile
            loop.call_soon_threadsafe(self._report, words, failed)

    def _report(self, words: str, failed: bool) -> None:
        self._unreported = ""
        self._notify(words, failed)
