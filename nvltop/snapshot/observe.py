"""A look at a node or a recording without a screen, and what led up to what is seen: for a snapshot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from nvltop.analysis.history import History
from nvltop.analysis.monitor import Monitor
from nvltop.config.settings import Settings
from nvltop.headless.session import Live, RunError, recorded
from nvltop.headless.status_line import Line
from nvltop.record.flight_recorder import Ring
from nvltop.record.recorded import Source
from nvltop.record.redact import Redactor

NO_ANSWER_S: Final = 10.0
"""How long a snapshot waits for a driver that says nothing at all; then this is what it tells."""
QUIET_S: Final = 0.5
"""How long the end of a sweep is waited for."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a node, or at a recording, has come to."""

    monitor: Monitor
    history: History
    ring: Ring
    problem: RunError | None = None
    """Why there is little to see, if so."""


def look(worker: Source, settings: Settings, seconds: float, redact: Redactor) -> Look:
    """Look for so long, or until it is clear that the driver does not answer."""
    live = Live(worker, settings, patience_s=NO_ANSWER_S)
    history, ring = History(), Ring(redact)
    live.taken = ring.write
    try:
        with live.line:
            for _ in live.look(seconds):
                history.add(live.monitor.frame())
            while not live.pacer.due(time.monotonic()):
                live.step()
                history.add(live.monitor.frame())
            # Not in the middle of a sweep.
            ends = time.monotonic() + QUIET_S
            while live.step() and time.monotonic() < ends:
                pass
        history.add(live.monitor.frame())
    except RunError as problem:
        # The time, and what hangs.
        tick = worker.tick()
        live.monitor.update(tick)
        ring.write(tick)
        return Look(live.monitor, history, ring, problem)
    return Look(live.monitor, history, ring)


def look_at_recording(path: str, settings: Settings, seconds: float | None, redact: Redactor) -> Look:
    """Look at a recording up to its end, or for so many seconds of it."""
    history, ring, begun_s, monitor = History(), Ring(redact), None, Monitor()
    line = Line()
    for monitor, _, tick in recorded(path, settings, line, ring.write):
        history.add(monitor.frame())
        begun_s = tick.mono_s if begun_s is None else begun_s
        if seconds is not None and tick.mono_s - begun_s >= seconds:
            break
    line.clear()
    return Look(monitor, history, ring)
