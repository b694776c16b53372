"""Files that keys write: a recording of what is read from now on, and the config file."""

from __future__ import annotations

import time
from pathlib import Path

from nvltop.config.file import ConfigError, changed, save
from nvltop.config.settings import Settings
from nvltop.model import Inventory
from nvltop.record.format import RecordingError
from nvltop.record.recording_source import RecordingSource
from nvltop.record.writer import RecordingWriter
from nvltop.tui.shell.source import Source


def record_or_stop(source: Source, inventory: Inventory) -> tuple[Source, str, bool]:
    """Record into a new file in the current folder, or stop.

    Returns the source to go on with, what to tell, and whether that is a failure.
    """
    if isinstance(source, RecordingSource):
        return source.stop(), f"recorded to {source.path}", False
    try:
        recorder = RecordingWriter(Path(time.strftime("nvltop-%Y%m%d-%H%M%S.gz")))
    except RecordingError as error:
        return source, str(error), True
    recorder.write(inventory)
    return RecordingSource(source, recorder), f"recording to {recorder.path}, redacted; F7 stops", False


def save_settings(before: Settings, now: Settings) -> tuple[str, bool]:
    """Write changes into the config file; return what to tell, if anything, and whether it failed."""
    changes = changed(before, now)
    if not changes:
        return "", False
    if now.config is None:
        return "the settings were not written: you have no home folder", True
    try:
        save(now.config, changes)
    except ConfigError as error:
        return str(error), True
    return f"written to {now.config}", False
