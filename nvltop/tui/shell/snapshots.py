"""Snapshots from the live screen: with what led up to them, by a key or by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Frame, Item
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.snapshot.bundle import CriticalTrigger, SnapshotFiles, redactor, snapshot_files
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.main_screen import MainScreen

WRITE_TIMEOUT_S: Final = 2.0
"""How long leaving waits for the disk."""
ALREADY_WRITING: Final = "the snapshot before is still being written"
F8_PRESSED: Final = "somebody pressed F8"
CLIPBOARD_NOTE: Final = "; report.md is on the clipboard, too, if the terminal allows it"


class SnapshotTaker:
    """Keeps the last minutes, and makes snapshots one at a time; nothing of it waits for driver or disk."""

    def __init__(self, full: bool, replayed: bool, told: Callable[[str, bool], None]) -> None:
        """Take what is told where a snapshot is, or why there is none (True)."""
        self._ring = FlightRecorder(redactor(full))
        self._replayed = replayed
        self._told = told
        self._thread: threading.Thread | None = None
        self._critical = CriticalTrigger()
        self._untold = ""

    def write(self, *items: Item) -> None:
        """Take items."""
        self._ring.write(*items)

    def clear(self) -> None:
        """Forget what was taken, as after a jump back in a replay."""
        self._ring.clear()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def take(
        self, main: MainScreen, view: ViewState, frame: Frame, history: RateHistory, cause: str = F8_PRESSED
    ) -> str | None:
        """Begin to write a snapshot into the current folder, and return its report.

        None while another one is being written.
        """
        if self._busy:
            self._told(ALREADY_WRITING, True)
            return None
        from nvltop.tui.shell.redacted_screen import picture  # with the first one: see `snapshot.bundle`

        screen = picture(main, view, self._ring.redact)
        made = snapshot_files(frame, history, self._ring, screen, cause, self._replayed)
        work = (made, CLIPBOARD_NOTE if cause is F8_PRESSED else "", asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._save, args=work, name="snapshot", daemon=True)
        self._thread.start()
        return made.report

    def take_if_critical(self, main: MainScreen, view: ViewState, frame: Frame, history: RateHistory) -> None:
        """Write a snapshot of a critical finding for which there has been none of late."""
        if self._busy or self._replayed or not main.is_mounted:
            return
        if due := self._critical.cause(frame.findings, frame.tick.mono_s):
            self.take(main, view, frame, history, due)

    def wait(self) -> str:
        """Let the last one end, for two seconds at most; return what could not be told of it any more."""
        if self._thread:
            self._thread.join(WRITE_TIMEOUT_S)
        return self._untold

    def _save(self, made: SnapshotFiles, more: str, loop: asyncio.AbstractEventLoop) -> None:
        from nvltop.snapshot.sections.files import SnapshotError

        try:
            words, failed = f"snapshot in {made.save(Path())}, redacted{more}", False
        except SnapshotError as error:
            words, failed = str(error), True
        except Exception as error:  # better these words than none
            words, failed = f"no snapshot was written ({type(error).__name__})", True
        self._untold = words
        with contextlib.suppress(RuntimeError):  # the screen has gone meanwhile
            loop.call_soon_threadsafe(self._tell, words, failed)

    def _tell(self, words: str, failed: bool) -> None:
        self._untold = ""
        self._told(words, failed)
