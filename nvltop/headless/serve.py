"""The run of `--serve`: frames for the exporter until a signal ends it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Protocol

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.verdict import ACTIVE_STATES
from nvltop.config.settings import REPORT_INTERVAL_S, SCREEN_INTERVAL_S, Settings
from nvltop.headless.session import HeadlessSession
from nvltop.model import Frame, Item, ItemSource, Show


class Observer(Protocol):
    """Follows a long run."""

    def on_item(self, item: Item) -> None:
        """Handle an item, before it is folded into a frame."""

    def on_frame(self, monitor: Monitor) -> None:
        """Handle a frame that was shown; `monitor` makes it."""


def wanted_interval_s(frame: Frame) -> float:
    """Return the interval for reading link counters: short while a job that may have steps is running."""
    works = bool(frame.jobs) or any(j.state in ACTIVE_STATES for j in frame.judgements)
    return SCREEN_INTERVAL_S if works else REPORT_INTERVAL_S


def serve(
    worker: ItemSource, settings: Settings, show: Show, observer: Observer | None = None, adapt: bool = False
) -> None:
    """Show a frame each interval until a signal ends the run, or `max_refreshes` frames were shown.

    With `adapt`, the interval for reading link counters follows the work on the GPUs.
    """
    live = HeadlessSession(worker, settings, patient=True)
    interval_s = settings.interval_s
    live.on_item = observer.on_item if observer else None
    due_s, shown = 0.0, 0
    with live.line, _ending_signals() as received:
        while not received and (settings.max_refreshes is None or shown < settings.max_refreshes):
            live.step()
            if time.monotonic() >= due_s:
                frame = live.monitor.frame()
                show(frame, live.only)
                if observer:
                    observer.on_frame(live.monitor)
                if adapt and (wanted_s := wanted_interval_s(frame)) != interval_s:
                    interval_s = wanted_s
                    worker.set_interval(interval_s)
                due_s, shown = time.monotonic() + settings.interval_s, shown + 1


@contextlib.contextmanager
def _ending_signals() -> Iterator[list[int]]:
    """Collect the signals that end the run, except those ignored by the parent (`nohup`)."""
    received: list[int] = []
    ending = [
        n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in ending}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
