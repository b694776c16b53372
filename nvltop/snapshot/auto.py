"""Automatic snapshots of critical findings while metrics are served without a screen."""

from __future__ import annotations

import threading
from pathlib import Path

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.model import Item
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.snapshot.bundle import CriticalTrigger, SnapshotFiles, redactor, snapshot_files
from nvltop.snapshot.sections.files import SnapshotError
from nvltop.text import print_message


class AutoSnapshot:
    """Writes a snapshot to the current folder when a finding becomes critical."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ring = FlightRecorder(lambda: redactor(settings.full))
        self._history = RateHistory()
        self._critical = CriticalTrigger()
        self._thread: threading.Thread | None = None

    def on_item(self, item: Item) -> None:
        """Keep an item for the recording of a snapshot."""
        self._ring.write(item)

    def on_frame(self, monitor: Monitor) -> None:
        """Write a snapshot if one is due, and print its path on stderr."""
        frame = monitor.frame()
        self._history.add(frame)
        if self._thread and self._thread.is_alive():
            return  # the redactor is in use; the finding is still there when the snapshot is written
        cause = self._critical.cause(frame.findings, frame.tick.mono_s)
        if not cause:
            return
        # Imported late, because it is large and rarely needed.
        from nvltop.tui.offscreen import draw

        screen = draw(monitor, self._history, self._ring.redact, self._settings)
        made = snapshot_files(frame, self._history, self._ring, screen, cause)
        # On a thread, so that neither the recording nor a disk that does not answer stops the exporter.
        self._thread = threading.Thread(target=_save, args=(made, cause), name="snapshot", daemon=True)
        self._thread.start()


def _save(made: SnapshotFiles, cause: str) -> None:
    try:
        message = f"{cause}: snapshot in {made.save(Path())}"
    except SnapshotError as error:
        message = str(error)
    print_message(message)
