"""Runs without a screen: text or JSON on stdout, once or at intervals."""

from __future__ import annotations

import contextlib
import json
import select as selectors
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from nvltop.analysis.activity.pair_estimate import estimate_pairs
from nvltop.analysis.monitor import Monitor
from nvltop.analysis.select import NoSuchGpuError, select
from nvltop.analysis.verdict import ACTIVE_STATES
from nvltop.config.settings import REPORT_INTERVAL_S, SCREEN_INTERVAL_S, Settings
from nvltop.headless.pacing import ReportPacer
from nvltop.headless.status_line import SHOW_AFTER_S, StatusLine, startup_progress
from nvltop.model import Frame, Inventory, Item, Problem, Reading, Show, Tick
from nvltop.record.format import RecordingError
from nvltop.record.reader import open_recording
from nvltop.record.recorded import Source
from nvltop.report.check import answered_within, to_check
from nvltop.report.csv import to_csv
from nvltop.report.json import to_json
from nvltop.report.text import to_text
from nvltop.sampler.schedule import Due
from nvltop.text import print_message

CALL_TIMEOUT_S: Final = 60.0
"""A node with persistence mode off can take this long to wake its GPUs: how long one call may take."""
RESTART_WAIT_S: Final = 5.0
"""How long a worker that ended at its start may take to be there again."""
ANSWER_WAIT_S: Final = 7.0
"""How long a check waits at its end for GPUs that have not answered since; then there is a finding of it."""


class RunError(RuntimeError):
    """The run cannot go on; the message is one line for the user."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def as_json(
    frame: Frame, only: list[str] | None, several: bool, estimated: bool = False, ascii_only: bool = False
) -> str:
    """Return a frame as JSON: indented for one, one line each for several."""
    values = to_json(frame, only, estimate_pairs(frame) if estimated else None)
    return json.dumps(values, indent=None if several else 1, ensure_ascii=ascii_only, allow_nan=False)


def as_text(frame: Frame, only: list[str] | None, several: bool) -> str:
    """Return a frame as text."""
    return to_text(frame, only) + ("\n" if several else "")


def as_csv(frame: Frame, only: list[str] | None, several: bool) -> str:
    """Return a frame as lines of CSV."""
    return to_csv(frame, only)


Format = Callable[[Frame, "list[str] | None", bool], str]


def failure(problem: Problem) -> RunError:
    """Turn a problem with the driver into the end of the run."""
    return RunError(f"{problem.summary}; {problem.next_step}", 3)


class HeadlessSession:
    """A worker that is read without a screen."""

    def __init__(
        self, worker: Source, settings: Settings, patient: bool = False, patience_s: float = CALL_TIMEOUT_S
    ) -> None:
        """Read `worker`; `patient` waits for a driver that does not answer, and outlives one that goes.

        Who is not waits `patience_s` for the answer to one call at the start, however many there are.
        """
        self.monitor = Monitor()
        self.line = StatusLine()
        self.on_item: Callable[[Item], None] | None = None
        """Told of every item."""
        self._patience_s = patience_s
        self.only: list[str] | None = None
        self.pacer = ReportPacer(settings.interval_s)
        self._worker = worker
        self._settings = settings
        self._patient = patient
        self._begun_s = self._alive_s = time.monotonic()
        self._newest_s = 0.0

    def step(self) -> bool:
        """Fold what arrives within a moment, and return whether anything has.

        A driver that does not answer for long ends the run.
        """
        self._await_items(self.pacer.wait_s(time.monotonic()))
        items = self._worker.drain()
        tick = self._worker.tick()
        for item in items:
            self._take(item)
            if isinstance(item, Inventory):
                if item.problem and self._patient and self.pacer.started:
                    continue
                if item.problem:
                    raise failure(item.problem)
                self.only = _selected(item, self._settings)
                self.pacer.expect(item, tick.mono_s)
                self.line.clear()
            elif isinstance(item, Reading):
                self.pacer.note(item, tick.mono_s)
        self._take(tick)
        if not self.pacer.started:
            self._wait(tick)
        return bool(items)

    def _await_items(self, seconds: float) -> None:
        """Wait until items are there, or for so long; while there is no worker, none come."""
        fd = self._worker.fileno()
        selectors.select([fd] if fd >= 0 else [], [], [], seconds)

    def steps_for(self, seconds: float) -> Iterator[None]:
        """Step for so many seconds from the first reading on, telling how far that is; yield at each step."""
        begun_s: float | None = None
        looked_s = 0.0
        while looked_s < seconds:
            self.step()
            yield
            if self.pacer.started:
                begun_s = begun_s or time.monotonic()
                looked_s = time.monotonic() - begun_s
            if looked_s > SHOW_AFTER_S:
                self.line.show(f"{looked_s:.0f} of {seconds:g} s looked at")

    def _wait(self, tick: Tick) -> None:
        """Tell what the first reading waits for; end the run if a call does not come back."""
        now_s = time.monotonic()
        newest_s = max((call.since_s for call in tick.calls), default=self._newest_s)
        if newest_s > self._newest_s:
            # The call before has come back.
            self._newest_s, self._alive_s = newest_s, now_s
        waited_s, silent_s = now_s - self._begun_s, now_s - self._alive_s
        if waited_s > SHOW_AFTER_S:
            self.line.show(startup_progress(tick, waited_s))
        if self._patient:
            return
        if tick.worker == "ended" and waited_s > RESTART_WAIT_S:
            raise RunError(tick.note or "nvltop's reading process has ended")
        if silent_s > self._patience_s:
            if not tick.calls:
                # No call is under way, so the driver is not what keeps us waiting.
                raise RunError(f"nvltop's reading process has sent nothing in {silent_s:.0f} s")
            where = f": {tick.calls[0].function} has not answered"
            raise RunError(
                f"the NVIDIA driver did not answer in {silent_s:.0f} s{where}; see `dmesg` for Xid lines"
            )

    def _take(self, item: Item) -> None:
        self.monitor.update(item)
        if self.on_item:
            self.on_item(item)


def run(worker: Source, settings: Settings, times: int, write: Format, seconds: float | None = None) -> None:
    """Print `times` frames, an interval apart; the first when rates are known, or after `seconds`."""
    live = HeadlessSession(worker, settings)
    printed, told_s = 0, None
    with live.line:
        if seconds is not None:
            for _ in live.steps_for(seconds):
                pass
            live.line.clear()
            print(write(live.monitor.frame(), live.only, times > 1), flush=True)
            printed = 1
        while printed < times:
            live.step()
            if not live.pacer.started:
                continue
            now_s = time.monotonic()
            told_s = told_s or now_s
            if live.pacer.due(now_s):
                live.line.clear()
                print(write(live.monitor.frame(), live.only, times > 1), flush=True)
                printed, told_s = printed + 1, now_s
            elif now_s - told_s > 2 * SHOW_AFTER_S:
                live.line.show(f"report {printed + 1} of {times}, measuring for {now_s - told_s:.0f} s")


class Observer(Protocol):
    """Told of everything that a long run sees."""

    def on_item(self, item: Item) -> None:
        """Take an item."""

    def on_frame(self, monitor: Monitor) -> None:
        """Look at what the items have come to."""


def wanted_interval_s(frame: Frame) -> float:
    """Return how often link counters are to be read: densely while a job may have steps to be seen."""
    works = bool(frame.jobs) or any(j.state in ACTIVE_STATES for j in frame.judgements)
    return SCREEN_INTERVAL_S if works else REPORT_INTERVAL_S


def serve(
    worker: Source, settings: Settings, show: Show, observer: Observer | None = None, adapt: bool = False
) -> None:
    """Show frames at the interval until a signal, or `max_refreshes`, ends it.

    With `adapt`, link counters are read as often as the work on the GPUs calls for.
    """
    live = HeadlessSession(worker, settings, patient=True)
    interval_s = settings.interval_s
    live.on_item = observer.on_item if observer else None
    due_s, shown = 0.0, 0
    with live.line, _signals() as ended:
        while not ended and (settings.max_refreshes is None or shown < settings.max_refreshes):
            live.step()
            if time.monotonic() >= due_s:
                frame = live.monitor.frame()
                show(frame, live.only)
                if observer:
                    observer.on_frame(live.monitor)
                if adapt and (wanted_s := wanted_interval_s(frame)) != interval_s:
                    interval_s = wanted_s
                    worker.pace(interval_s)
                due_s, shown = time.monotonic() + settings.interval_s, shown + 1


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that ask to end, but for those ignored from outside (`nohup`)."""
    came: list[int] = []
    asked = [
        n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in asked}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check(worker: Source, settings: Settings, seconds: float) -> int:
    """Look for so long, print one line for a monitoring system, and return its exit code."""
    live = HeadlessSession(worker, settings)
    with live.line:
        for _ in live.steps_for(seconds):
            pass
        # A driver that has stopped answering just now is silent for long enough to say so.
        ends_s = time.monotonic()
        while (late_s := time.monotonic() - ends_s) < ANSWER_WAIT_S:
            live.step()
            if answered_within(live.monitor.frame(), late_s):
                break
    return _verdict(*to_check(live.monitor.frame(), seconds))


def _verdict(text: str, code: int) -> int:
    """Print a verdict and return its code, which holds even if nobody takes the text."""
    with contextlib.suppress(OSError):
        print(text, flush=True)
    return code


def replay(
    path: str, settings: Settings, times: int | None, write: Format, seconds: float | None = None
) -> None:
    """Print the last frame of a recording, or its first `times` an interval apart.

    With `seconds`, the recording is read up to there only.
    """
    printed, last, line = 0, None, StatusLine()
    due: Due | None = None
    end_s: float | None = None
    for monitor, only, tick in fold_recording(path, settings, line):
        last = monitor, only
        if due is None:
            due = Due(settings.interval_s, tick.mono_s + settings.interval_s)
            end_s = None if seconds is None else tick.mono_s + seconds
        if end_s is not None and tick.mono_s >= end_s:
            break
        if times and printed < times and due.at(tick.mono_s):
            line.clear()
            print(write(monitor.frame(), only, times > 1), flush=True)
            printed += 1
    if last and not times:
        print(write(last[0].frame(), last[1], False), flush=True)


def check_recording(path: str, settings: Settings, seconds: float | None) -> int:
    """Print the line of a recording as of its end, or after so many seconds; returns its exit code."""
    begun_s: float | None = None
    looked_s = 0.0
    folded, line = Monitor(), StatusLine()
    for monitor, _, tick in fold_recording(path, settings, line):
        folded, begun_s = monitor, tick.mono_s if begun_s is None else begun_s
        looked_s = tick.mono_s - begun_s
        if seconds is not None and looked_s >= seconds:
            break
    line.clear()
    return _verdict(*to_check(folded.frame(), looked_s))


def fold_recording(
    path: str, settings: Settings, line: StatusLine, taken: Callable[[Item], None] | None = None
) -> Iterator[tuple[Monitor, list[str] | None, Tick]]:
    """Fold a recording, stopping at each of its ticks; there is one at least.

    `line` tells how far that is, `taken` is told every item.
    """
    monitor = Monitor()
    only: list[str] | None = None
    ticked = False
    try:
        with line, open_recording(path, line.file_progress(path)) as recording:
            for item in recording:
                monitor.update(item)
                if taken:
                    taken(item)
                if isinstance(item, Inventory) and not item.problem:
                    only = _selected(item, settings)
                if isinstance(item, Tick):
                    ticked = True
                    yield monitor, only, item
        if recording.warning:
            print_message(recording.warning)
    except RecordingError as error:
        raise RunError(str(error)) from None
    if not ticked:
        raise RunError(f"{path}: the recording ends before its first second")


def _selected(inventory: Inventory, settings: Settings) -> list[str] | None:
    try:
        return select(inventory.gpus, settings.only)
    except NoSuchGpuError as error:
        raise RunError(str(error), 2) from None
