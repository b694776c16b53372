"""Observe a node or a recording without a screen, including its recent past, for a snapshot."""

from __future__ import annotations

import time
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.frozen import frozen
from nvltop.headless.replay import NO_PART, Part, fold_recording
from nvltop.headless.session import HeadlessSession, RunError
from nvltop.headless.status_line import StatusLine
from nvltop.model import ItemSource
from nvltop.record.flight_recorder import FlightRecorder
from nvltop.record.redact import Redactor

CALL_TIMEOUT_S: Final = 10.0
"""Seconds after which a snapshot reports a driver that does not answer at all."""
SWEEP_END_WAIT_S: Final = 0.5
"""Seconds to wait for the end of a sweep."""


@frozen
class Observation:
    """The result of observing a node or a recording."""

    monitor: Monitor
    history: RateHistory
    ring: FlightRecorder
    problem: RunError | None = None
    """Why the observation is incomplete, if it is."""


def observe(worker: ItemSource, settings: Settings, seconds: float, redact: Redactor) -> Observation:
    """Observe a node for `seconds`, or until the driver is found to be unresponsive."""
    live = HeadlessSession(worker, settings, patience_s=CALL_TIMEOUT_S)
    history, ring = RateHistory(), FlightRecorder(lambda: redact)
    live.on_item = ring.write
    try:
        with live.line:
            for _ in live.steps_for(seconds):
                history.add(live.monitor.frame())
            while not live.pacer.due(time.monotonic()):
                live.step()
                history.add(live.monitor.frame())
            # The observation does not end in the middle of a sweep.
            ends = time.monotonic() + SWEEP_END_WAIT_S
            while live.step() and time.monotonic() < ends:
                pass
        history.add(live.monitor.frame())
    except RunError as problem:
        # The last tick holds the time and the call that hangs.
        tick = worker.tick()
        live.monitor.update(tick)
        ring.write(tick)
        return Observation(live.monitor, history, ring, problem)
    return Observation(live.monitor, history, ring)


def observe_recording(
    path: str, settings: Settings, seconds: float | None, redact: Redactor, part: Part = NO_PART
) -> Observation:
    """Observe a recording, or a part of it, up to its end, or for its first `seconds`."""
    history, ring, begun_s, monitor = RateHistory(), FlightRecorder(lambda: redact), None, Monitor()
    line = StatusLine()
    for monitor, _, tick in fold_recording(path, settings, line, ring.write, part):
        history.add(monitor.frame())
        begun_s = tick.mono_s if begun_s is None else begun_s
        if seconds is not None and tick.mono_s - begun_s >= seconds:
            break
    line.clear()
    return Observation(monitor, history, ring)
