"""A source whose items are recorded as they pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nvltop.model import Item, ItemSource, Tick
from nvltop.record.format import RecordingError

if TYPE_CHECKING:
    from nvltop.record.writer import RecordingWriter


class RecordingSource:
    """Passes everything on. When the file can no longer be written, the tick says so and the run goes on."""

    def __init__(self, source: ItemSource, recorder: RecordingWriter) -> None:
        self._source = source
        self._recorder = recorder

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._recorder.path

    @property
    def error(self) -> RecordingError | None:
        """Why recording has stopped before its end, if it has."""
        return self._recorder.error

    @property
    def is_closed(self) -> bool:
        """Whether the reader of a stream has closed it."""
        return self._recorder.is_closed

    def stop(self) -> ItemSource:
        """End the recording, and return the source."""
        self._recorder.close()
        return self._source

    def fileno(self) -> int:
        """Return the source's descriptor."""
        return self._source.fileno()

    def drain(self) -> list[Item]:
        """Return what the source has, and record it."""
        items = self._source.drain()
        for item in items:
            self._recorder.write(item)
        return items

    def tick(self) -> Tick:
        """Return the source's tick, and record it; its note says if recording has stopped."""
        tick = self._source.tick()
        self._recorder.write(tick)
        if self._recorder.error:
            tick = replace(tick, note=str(self._recorder.error))
        return tick

    def set_interval(self, interval_s: float) -> None:
        """Pass it on."""
        self._source.set_interval(interval_s)

    def close(self) -> None:
        """Leave the source first: nothing waits for it, and the file gets its last lines."""
        self._source.close()
        self._recorder.close()
