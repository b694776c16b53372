"""The main process's end of the worker: start it, drain it, notice when it is stuck or gone, leave it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from nvltop.model import Call, Cost, Inventory, Item, Reading, Tick
from nvltop.nvml.call_tracker import WAITS
from nvltop.sampler import waiting
from nvltop.sampler.child import Child
from nvltop.sampler.pauses import RunningTime
from nvltop.sampler.protocol import BEAT_LATE_S, RELOAD, deadline_s

CALL_TOLD_S: Final = 1.0
"""A call is worth telling of after this long, once the node has been read."""
MAX_STUCK: Final = 1
"""Workers that may be left behind stuck: each holds the driver, and another one would hang as well."""
AGAIN_S: Final = 60.0
"""A worker that ends sooner after its start than this is started again only so long after it."""
RELOAD_S: Final = 2.0
"""The same for one that ended because the driver was unloaded or exchanged."""
REFUSED_S: Final = 5.0
"""When the system refused to start a worker, the next try comes after this long."""
EXIT_S: Final = 2.0
"""How long the status of a worker that has closed its pipe is waited for; it may hang in its exit."""
NOTED_S: Final = 120.0
"""How long it is said that a worker was started again; that a GPU is left out is said as long as it is so."""
EARLIER_S: Final = 5.0
"""How often it is looked whether a worker of an earlier run, whose GPU is left out, still waits."""
WORKER: Final = "nvltop's reading process"


class WorkerError(RuntimeError):
    """No worker may be started; the message is one line for the user."""


class Worker:
    """The source of live items."""

    def __init__(self, interval_s: float, demo: tuple[str, str] | None = None) -> None:
        """Start the worker; returns at once. Raise `WorkerError` if earlier ones wait for the driver."""
        now = time.monotonic()
        self._interval_s = self._effective_s = interval_s
        self._demo = demo
        self._earlier = [] if demo else waiting.earlier()
        if refusal := waiting.refusal(self._earlier):
            raise WorkerError(refusal)
        self._looked_s = now
        self._started = 0
        self._started_s = self._heard_s = now
        self._running = RunningTime(now)
        self._left: list[Child] = []
        """Workers that were left behind in a driver call and are still in it."""
        self._taken_back_s = -AGAIN_S
        self._crashed = False
        self._answered = False
        self._note = ""
        self._refused_note = ("", -NOTED_S)
        self._leave_out = tuple(sorted({gpu for w in self._earlier for gpu in w.gpus}))
        self._child: Child | None = None
        self._start(
            f"left out {_gpus(self._leave_out)}: a call of an earlier nvltop hangs" if self._leave_out else ""
        )

    def fileno(self) -> int:
        """Descriptor that is readable when items wait; it changes with the worker, -1 while there is none."""
        return self._child.fd if self._child and not self._child.ended else -1

    def drain(self) -> list[Item]:
        """Return the items that have arrived; never blocks."""
        if self._child is None:
            return []
        items = self._child.read()
        if self._child.refused != self._refused_note[0]:
            self._refused_note = self._child.refused, time.monotonic()
        if any(isinstance(item, Inventory) or (isinstance(item, Reading) and item.gpu) for item in items):
            self._heard_s = time.monotonic()
        for item in items:
            if isinstance(item, Inventory):
                self._answered = True
            elif isinstance(item, Reading) and isinstance(item.data, Cost):
                self._effective_s = item.data.interval_s
        return items

    def tick(self) -> Tick:
        """Return the clock and the worker's state; replaces a worker that is stuck or gone."""
        now = time.monotonic()
        self._look_after_left(now)
        calls: tuple[Call, ...] = ()
        if self._child is None or self._child.ended:
            self._running.note(now, self._most_s(), True)
            state = "ended"
            self._start_again(now)
        else:
            state, calls = self._state(self._child, now)
        noted = self._leave_out or self._child is None or self._child.ended or now - self._started_s < NOTED_S
        notes = [self._note] if noted else []
        if now - self._refused_note[1] < NOTED_S and self._refused_note[0]:
            notes.append(f"refused what cannot be: {self._refused_note[0]}")
        note = "; ".join(filter(None, notes))
        return Tick(round(now, 6), round(time.time(), 6), self._interval_s, state, calls, note)

    def pace(self, interval_s: float) -> None:
        """Read link counters so often from now on."""
        self._interval_s = self._effective_s = interval_s
        if self._child:
            self._child.set_interval(interval_s)

    def close(self) -> None:
        """Leave the worker; never waits."""
        for child in (*self._left, self._child):
            if child:
                child.abandon()
                child.forget()
        self._left, self._child = [], None

    def _most_s(self) -> float:
        """Return how far apart two ticks are at most while this process runs."""
        return 2 * max(1.0, self._interval_s) + 1.0

    def _state(self, child: Child, now: float) -> tuple[str, tuple[Call, ...]]:
        """Return the state of a worker that lives, and its long calls; leaves one that is stuck."""
        child.trim_stderr()
        beat_s = child.watch.beat_s
        beats = not beat_s or now - beat_s < BEAT_LATE_S
        self._running.note(now, self._most_s(), beats)
        if not beats and self._running.resumed_ago_s() > BEAT_LATE_S:
            return "paused", ()
        # A slow start is many calls, none of which need be slow by itself.
        worth_s = CALL_TOLD_S if self._answered else 0.0
        under_way = [
            replace(c, since_s=c.since_s + self._running.paused_since(c.since_s))
            for c in child.watch.under_way(now - worth_s)
            if c.function not in WAITS
        ]
        calls = tuple(c for c in under_way if now - c.since_s > worth_s)
        limit = deadline_s(self._effective_s)
        silent_s = now - self._heard_s - self._running.paused_since(self._heard_s)
        hung = [c for c in calls if now - c.since_s > limit]
        if silent_s > limit and hung:
            # As long as any GPU answers, those that do not are waited for: they may come back.
            if len(self._left) < MAX_STUCK:
                self._leave(hung)
            return "stuck", calls
        if self._started > 1:
            return "replaced", calls
        return "running" if self._answered else "starting", calls

    def _leave(self, hung: Sequence[Call]) -> None:
        """Leave the worker in its call, and go on with another that does not touch the GPUs that hang."""
        gpus = {c.gpu for c in hung if c.gpu is not None}
        self._leave_out = tuple(sorted(gpus | set(self._leave_out)))
        who = _gpus(tuple(sorted(gpus))) if gpus else "that call"
        if self._child:
            self._left.append(self._child)
        self._start(f"left out {who}: {hung[0].function} hung")

    def _look_after_left(self, now: float) -> None:
        """Take GPUs back whose hanging calls have returned: the workers that waited for them have ended."""
        self._left = [child for child in self._left if not child.gone()]
        if self._earlier and now - self._looked_s > EARLIER_S:
            self._earlier, self._looked_s = waiting.earlier(), now
        if not self._leave_out or self._left or self._earlier or now - self._taken_back_s < AGAIN_S:
            return
        self._taken_back_s = now
        who, self._leave_out = _gpus(self._leave_out), ()
        self._start(f"the call that hung has returned; {who} is read again")

    def _start_again(self, now: float) -> None:
        """Start another worker for one that ended by itself; one that ends at once is given time."""
        child = self._child
        if child is None:
            if now - self._started_s >= REFUSED_S:
                self._start(self._note)
            return
        if not child.gone() and now - self._heard_s < EXIT_S:
            return  # its pipe is closed a moment before its status is there
        code = child.process.poll()
        reload = code == RELOAD
        lived_s = now - self._started_s
        if reload:
            ended = "the driver was unloaded or exchanged"
        else:
            ended = _ended(code, child.last_words(), child.last_call())
        if lived_s < (RELOAD_S if reload else AGAIN_S) and (reload or self._crashed):
            self._note = f"{ended}; it is started again once a minute" if not reload else ended
            return
        self._crashed = self._crashed or not reload
        self._start(f"{ended}; {'reading began anew' if reload else 'it was started again'}")

    def _start(self, note: str) -> None:
        """Start a worker in place of the one before; if the system refuses, there is none for now."""
        before = self._child
        try:
            self._child = Child(self._interval_s, self._demo, self._leave_out)
        except (OSError, RuntimeError) as error:
            self._child = None
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            note = f"{WORKER} could not be started: {why}"
        # Only now, so that the descriptors differ: who waits on the one notices that it is another.
        if before:
            before.abandon()
            if before not in self._left:
                before.forget()
        now = time.monotonic()
        self._started += self._child is not None
        self._started_s = self._heard_s = now
        self._running = RunningTime(now)
        self._note = note


def _gpus(indices: Sequence[int]) -> str:
    return f"GPU {', '.join(map(str, indices))}"


def _ended(code: int | None, words: str, call: str) -> str:
    """Return how a worker ended, in words."""
    if code is None:
        return f"{WORKER} hangs in its exit"
    if code < 0:
        where = f" in {call}" if call else ""
        return f"{WORKER} was ended by signal {-code}{where}" + (f": {words}" if words else "")
    return f"{WORKER} failed: {words or f'status {code}'}"
