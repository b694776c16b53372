"""Recording what the screen shows into a file, started and stopped by a key."""

from __future__ import annotations

import time
from pathlib import Path

from nvltop.model import Inventory, Item, ItemSource, Tick
from nvltop.record.format import RecordingError
from nvltop.record.recording_source import RecordingSource


class RecordingControl:
    """A source that passes on the items of another one, and records them while recording is on."""

    def __init__(self, source: ItemSource) -> None:
        """Wrap `source`, which may already be a recorded source."""
        self._recorded = source if isinstance(source, RecordingSource) else None
        self._source = source

    @property
    def active(self) -> bool:
        """Whether items are recorded."""
        return self._recorded is not None

    @property
    def source(self) -> ItemSource:
        """The source whose items are passed on."""
        return self._source

    def toggle(self, inventory: Inventory) -> tuple[str, bool]:
        """Start to record into a new file in the current folder, or stop.

        Return a message, and whether it reports a failure.
        """
        if self._recorded:
            path = self._recorded.path
            self._source, self._recorded = self._recorded.stop(), None
            return f"recorded to {path}", False
        from nvltop.record.writer import RecordingWriter

        try:
            recorder = RecordingWriter(Path(time.strftime("nvltop-%Y%m%d-%H%M%S.gz")))
        except RecordingError as error:
            return str(error), True
        recorder.write(inventory)
        self._source = self._recorded = RecordingSource(self._source, recorder)
        return f"recording to {recorder.path}, redacted; F7 stops", False

    def finish(self) -> str:
        """Write the end of the recording; return why it is incomplete, empty if it is not."""
        if not self._recorded:
            return ""
        self._recorded.stop()
        return str(self._recorded.error or "")

    def fileno(self) -> int:
        """Return the descriptor of the source."""
        return self._source.fileno()

    def drain(self) -> list[Item]:
        """Return the items of the source."""
        return self._source.drain()

    def tick(self) -> Tick:
        """Return the tick of the source."""
        return self._source.tick()

    def set_interval(self, interval_s: float) -> None:
        """Pass the requested interval to the source."""
        self._source.set_interval(interval_s)

    def close(self) -> None:
        """Close the source, and write the end of the recording."""
        self._source.close()
