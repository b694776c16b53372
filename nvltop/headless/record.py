"""The run of `--record -`: a recording on standard output, and nothing else."""

from __future__ import annotations

import time

from nvltop.config.settings import Settings
from nvltop.headless.session import HeadlessSession
from nvltop.record.recording_source import RecordingSource


def record_stream(source: RecordingSource, settings: Settings, times: int | None) -> None:
    """Record `times` frames an interval apart, or until the reader closes the stream."""
    live = HeadlessSession(source, settings, patient=True)
    frames = 0
    with live.line:
        while not source.is_closed and source.error is None and (times is None or frames < times):
            live.step()
            frames += live.pacer.started and live.pacer.due(time.monotonic())
