"""The client of the worker process: start it, read its items, and replace it when it hangs or ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from nvltop.model import Call, Cost, Inventory, Item, Reading, Tick
from nvltop.nvml.call_tracker import WAITING_CALLS
from nvltop.sampler import stuck_workers
from nvltop.sampler.pauses import RunningTime
from nvltop.sampler.protocol import ERRORS_S, EXIT_RELOAD, HEARTBEAT_LATE_S, deadline_s
from nvltop.sampler.worker_process import WorkerProcess

LONG_CALL_S: Final = 1.0
"""Duration in seconds after which a driver call in progress is reported, once the node has been read."""
MAX_STUCK_WORKERS: Final = 1
"""Number of stuck workers of this run above which no replacement is started: it would hang as well."""
RESTART_BACKOFF_S: Final = 60.0
"""Restart back-off, seconds, for a worker that ended within this time of its start."""
RELOAD_BACKOFF_S: Final = 2.0
"""Restart back-off, seconds, for a worker that ended because the driver was unloaded or replaced."""
START_RETRY_S: Final = 5.0
"""Time in seconds after which starting a worker is tried again when the system refused to."""
EXIT_STATUS_TIMEOUT_S: Final = 2.0
"""Time in seconds to wait for the exit status of a worker that has closed its pipe."""
NOTE_DURATION_S: Final = 120.0
"""Time in seconds for which a restart is mentioned. An excluded GPU is mentioned while it is excluded."""
STUCK_CHECK_S: Final = 5.0
"""Interval in seconds between checks whether stuck workers of earlier runs still wait."""
WORKER_LABEL: Final = "nvltop's reading process"


class WorkerError(RuntimeError):
    """The refusal to start a worker; the message is one line for the user."""


class Worker:
    """The source of live items."""

    def __init__(
        self,
        interval_s: float,
        demo: tuple[str, str] | None = None,
        errors_s: float = ERRORS_S,
        frame_s: float = 0.0,
    ) -> None:
        """Start the worker; return at once. Raise `WorkerError` if earlier ones wait for the driver.

        With `frame_s`, the readings of that time arrive together, seconds.
        """
        now = time.monotonic()
        self._interval_s = self._effective_s = interval_s
        self._demo = demo
        self._errors_s = errors_s
        self._frame_s = frame_s
        self._earlier = [] if demo else stuck_workers.find()
        if refusal := stuck_workers.refusal(self._earlier):
            raise WorkerError(refusal)
        self._earlier_checked_s = now
        self._started = 0
        self._started_s = self._answered_s = now
        self._running = RunningTime(now)
        self._stuck: list[WorkerProcess] = []
        """Replaced workers of this run whose driver call has not returned yet."""
        self._retried_s = -RESTART_BACKOFF_S
        self._crashed = False
        self._answered = False
        self._note = ""
        self._rejection = ("", -NOTE_DURATION_S)
        self._leave_out = tuple(sorted({gpu for w in self._earlier for gpu in w.gpus}))
        self._child: WorkerProcess | None = None
        self._start(
            f"left out {_gpus(self._leave_out)}: a call of an earlier nvltop hangs" if self._leave_out else ""
        )

    def fileno(self) -> int:
        """Return a descriptor that is readable when items wait; -1 if no worker runs.

        A replacement of the worker changes the descriptor.
        """
        return self._child.fd if self._child and not self._child.ended else -1

    def drain(self) -> list[Item]:
        """Return the items that have arrived; never blocks."""
        if self._child is None:
            return []
        items = self._child.read()
        if self._child.rejection != self._rejection[0]:
            self._rejection = self._child.rejection, time.monotonic()
        if any(isinstance(item, Inventory) or (isinstance(item, Reading) and item.gpu) for item in items):
            self._answered_s = time.monotonic()
        for item in items:
            if isinstance(item, Inventory):
                self._answered = True
            elif isinstance(item, Reading) and isinstance(item.data, Cost):
                self._effective_s = item.data.interval_s
        return items

    def tick(self) -> Tick:
        """Return the clock and the worker's state; replace a worker that is stuck or has ended."""
        now = time.monotonic()
        self._retry_left_out(now)
        calls: tuple[Call, ...] = ()
        if self._child is None or self._child.ended:
            self._running.note(now, self._max_tick_gap_s(), True)
            state = "ended"
            self._start_again(now)
        else:
            state, calls = self._state(self._child, now)
        is_recent = now - self._started_s < NOTE_DURATION_S
        shown = self._leave_out or self._child is None or self._child.ended or is_recent
        notes = [self._note] if shown else []
        rejection, rejected_s = self._rejection
        if rejection and now - rejected_s < NOTE_DURATION_S:
            notes.append(f"rejected an invalid value: {rejection}")
        note = "; ".join(filter(None, notes))
        return Tick(round(now, 6), round(time.time(), 6), self._interval_s, state, calls, note)

    def set_interval(self, interval_s: float) -> None:
        """Read link counters every `interval_s` seconds from now on."""
        self._interval_s = self._effective_s = interval_s
        if self._child:
            self._child.set_interval(interval_s)

    def close(self) -> None:
        """Abandon the worker; never wait for it."""
        for child in (*self._stuck, self._child):
            if child:
                child.abandon()
                child.detach()
        self._stuck, self._child = [], None

    def _max_tick_gap_s(self) -> float:
        """Return the longest time between two ticks while this process runs, in seconds."""
        return 2 * max(1.0, self._interval_s) + 1.0

    def _state(self, child: WorkerProcess, now: float) -> tuple[str, tuple[Call, ...]]:
        """Return the state of a running worker, and its long calls; replace the worker if it is stuck."""
        child.trim_stderr()
        beat_s = child.watch.heartbeat_s
        is_running = not beat_s or now - beat_s < HEARTBEAT_LATE_S
        self._running.note(now, self._max_tick_gap_s(), is_running)
        if not is_running and self._running.resumed_ago_s() > HEARTBEAT_LATE_S:
            return "paused", ()
        # A slow start consists of many calls; each may be short.
        long_s = LONG_CALL_S if self._answered else 0.0
        in_flight = [
            replace(c, since_s=c.since_s + self._running.paused_since(c.since_s))
            for c in child.watch.in_flight(now - long_s)
            if c.function not in WAITING_CALLS
        ]
        calls = tuple(c for c in in_flight if now - c.since_s > long_s)
        limit_s = deadline_s(self._effective_s)
        silent_s = now - self._answered_s - self._running.paused_since(self._answered_s)
        hung = [c for c in calls if now - c.since_s > limit_s]
        if silent_s > limit_s and hung:
            # While any GPU answers, the worker keeps waiting for the others: they may recover.
            if len(self._stuck) < MAX_STUCK_WORKERS:
                self._replace_stuck(hung)
            return "stuck", calls
        if self._started > 1:
            return "replaced", calls
        return "running" if self._answered else "starting", calls

    def _replace_stuck(self, hung: Sequence[Call]) -> None:
        """Leave the worker in its driver call, and start another that leaves out the GPUs that hang."""
        gpus = {c.gpu for c in hung if c.gpu is not None}
        self._leave_out = tuple(sorted(gpus | set(self._leave_out)))
        who = _gpus(tuple(sorted(gpus))) if gpus else "that call"
        if self._child:
            self._stuck.append(self._child)
        self._start(f"left out {who}: {hung[0].function} hung")

    def _retry_left_out(self, now: float) -> None:
        """Read GPUs again once the workers that hung in calls on them have ended: the calls have returned."""
        self._stuck = [child for child in self._stuck if not child.exited()]
        if self._earlier and now - self._earlier_checked_s > STUCK_CHECK_S:
            self._earlier, self._earlier_checked_s = stuck_workers.find(), now
        if not self._leave_out or self._stuck or self._earlier or now - self._retried_s < RESTART_BACKOFF_S:
            return
        self._retried_s = now
        who, self._leave_out = _gpus(self._leave_out), ()
        self._start(f"the call that hung has returned; {who} is read again")

    def _start_again(self, now: float) -> None:
        """Replace a worker that ended by itself; wait for the back-off if it ended soon after its start."""
        child = self._child
        if child is None:
            if now - self._started_s >= START_RETRY_S:
                self._start(self._note)
            return
        if not child.exited() and now - self._answered_s < EXIT_STATUS_TIMEOUT_S:
            return  # the pipe closes a moment before the exit status is available
        code = child.process.poll()
        reload = code == EXIT_RELOAD
        lived_s = now - self._started_s
        if reload:
            ended = "the driver was unloaded or replaced"
        else:
            ended = _exit_message(code, child.last_error(), child.last_call())
        if lived_s < (RELOAD_BACKOFF_S if reload else RESTART_BACKOFF_S) and (reload or self._crashed):
            self._note = f"{ended}; it is restarted once a minute" if not reload else ended
            return
        self._crashed = self._crashed or not reload
        self._start(f"{ended}; {'reading has restarted' if reload else 'it was restarted'}")

    def _start(self, note: str) -> None:
        """Start a worker in place of the current one; if the system refuses, there is none for now."""
        before = self._child
        try:
            self._child = WorkerProcess(
                self._interval_s, self._demo, self._leave_out, self._errors_s, self._frame_s
            )
        except (OSError, RuntimeError) as error:
            self._child = None
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            note = f"{WORKER_LABEL} could not be started: {why}"
        # Closed only now, so that the descriptors differ and a caller that polls the old one notices.
        if before:
            before.abandon()
            if before not in self._stuck:
                before.detach()
        now = time.monotonic()
        self._started += self._child is not None
        self._started_s = self._answered_s = now
        self._running = RunningTime(now)
        self._note = note


def _gpus(indices: Sequence[int]) -> str:
    return f"GPU {', '.join(map(str, indices))}"


def _exit_message(code: int | None, error: str, call: str) -> str:
    """Return how a worker ended, as a clause for the user."""
    if code is None:
        return f"{WORKER_LABEL} hangs in its exit"
    if code < 0:
        where = f" in {call}" if call else ""
        return f"{WORKER_LABEL} was ended by signal {-code}{where}" + (f": {error}" if error else "")
    return f"{WORKER_LABEL} failed: {error or f'status {code}'}"
