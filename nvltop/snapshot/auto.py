"""Snapshots of what is critical while metrics are served and nobody looks at a screen."""

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
    """Writes a snapshot into the current folder when something critical is found."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ring = FlightRecorder(redactor(settings.full))
        self._history = RateHistory()
        self._critical = CriticalTrigger()

    def on_item(self, item: Item) -> None:
        """Keep an item for what leads up to a snapshot."""
        self._ring.write(item)

    def on_frame(self, monitor: Monitor) -> None:
        """Write a snapshot if one is due, and tell on stderr where it is."""
        frame = monitor.frame()
        self._history.add(frame)
        why = self._critical.cause(frame.findings, frame.tick.mono_s)
        if not why:
            return
        # Seldom needed, and large.
        from nvltop.tui.offscreen import draw

        screen = draw(monitor, self._history, self._ring.redact, self._settings)
        made = snapshot_files(frame, self._history, self._ring, screen, why)
        # A disk that does not answer stops nothing.
        threading.Thread(target=_save, args=(made, why), name="snapshot", daemon=True).start()


def _save(made: SnapshotFiles, why: str) -> None:
    try:
        told = f"{why}: snapshot in {made.save(Path())}"
    except SnapshotError as error:
        told = str(error)
    print_message(told)
