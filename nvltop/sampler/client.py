"""The main process's end of the worker: start it, drain it, notice when it is stuck, leave it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import Final

from nvltop.model import Call, Cost, Inventory, Item, Reading, Tick
from nvltop.nvml.watch import WAITS, Watch, shared_memory
from nvltop.sampler.pipe import Receiver
from nvltop.sampler.protocol import RELOAD, WORKER_MODULE, Job, deadline_s

CHUNK: Final = 1 << 16
PIPE_BYTES: Final = 1 << 20
"""Room in the pipe, so that a screen that pauses does not stop the sampling."""
F_SETPIPE_SZ: Final = 1031
CALL_TOLD_S: Final = 1.0
"""A call is worth telling of after this long, once the node has been read."""
MAX_STUCK: Final = 1
"""Workers that may be left behind stuck: each holds the driver, and another one would hang as well."""
AGAIN_S: Final = 60.0
"""A worker that ends sooner after its start than this is started again only so long after it."""
RELOAD_S: Final = 2.0
"""The same for one that ended because the driver was unloaded or exchanged."""
EXIT_S: Final = 2.0
"""How long the status of a worker that has closed its pipe is waited for; it may hang in its exit."""
NOTED_S: Final = 120.0
"""How long it is told that a worker was started again; that a GPU is left out is told as long as it is so."""


class _Child:
    """One worker process and our ends of its pipes."""

    def __init__(self, interval_s: float, demo: tuple[str, str] | None, leave_out: tuple[int, ...]) -> None:
        items, items_child = os.pipe()
        watch_fd = shared_memory()
        self.watch = Watch(watch_fd)
        try:
            import fcntl

            fcntl.fcntl(items, F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # a smaller pipe works as well, it only stops sooner
        job = Job(items_child, watch_fd, interval_s, demo, leave_out)
        self.process = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE, job.to_argument()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # stub libraries print there
            stderr=subprocess.DEVNULL,
            pass_fds=(items_child, watch_fd),
            start_new_session=True,
        )
        os.close(items_child)
        os.close(watch_fd)
        os.set_blocking(items, False)
        self.fd = items
        self.ended = False
        self._arriving = Receiver()

    def read(self) -> list[Item]:
        """Return the whole items that have arrived."""
        chunks = []
        while not self.ended:
            try:
                chunk = os.read(self.fd, CHUNK)
            except BlockingIOError:
                break
            self.ended = not chunk
            chunks.append(chunk)
            if len(chunk) < CHUNK:
                break  # the pipe is empty, or ended: the next look tells
        return self._arriving.take(b"".join(chunks))

    def tell(self, interval_s: float) -> None:
        """Tell the worker another interval; one that has ended needs none."""
        with contextlib.suppress(OSError, ValueError):
            if self.process.stdin:
                self.process.stdin.write(f"{interval_s!r}\n".encode())
                self.process.stdin.flush()

    def abandon(self) -> None:
        """Let the worker end by itself when its call returns; it is never killed, never waited for."""
        if self.fd < 0:
            return
        if self.process.stdin:
            self.process.stdin.close()
        os.close(self.fd)
        self.fd, self.ended = -1, True
        # Popen warns of a child that still runs when it is collected; this one may, on purpose.
        self.process.returncode = self.process.poll() or 0


class Worker:
    """The source of live items."""

    def __init__(self, interval_s: float, demo: tuple[str, str] | None = None) -> None:
        """Start the worker; returns at once."""
        self._interval_s = interval_s
        self._demo = demo
        self._effective_s = interval_s
        self._started = 1
        self._started_s = self._heard_s = time.monotonic()
        self._left_stuck = 0
        self._crashed = False
        self._answered = False
        self._note = ""
        self._leaves_out = False
        self._child = _Child(interval_s, demo, ())

    def fileno(self) -> int:
        """Descriptor that is readable when items wait; it changes when a worker is replaced."""
        return self._child.fd

    def drain(self) -> list[Item]:
        """Return the items that have arrived; never blocks."""
        items = self._child.read()
        if any(isinstance(item, Inventory) or (isinstance(item, Reading) and item.gpu) for item in items):
            self._heard_s = time.monotonic()
        for item in items:
            if isinstance(item, Inventory):
                self._answered = True
            elif isinstance(item, Reading) and isinstance(item.data, Cost):
                self._effective_s = item.data.interval_s
        return items

    def tick(self) -> Tick:
        """Return the clock and the worker's state; replaces a worker that is stuck or gone, once."""
        now = time.monotonic()
        # A slow start is many calls, none of which need be slow by itself.
        worth_s = CALL_TOLD_S if self._answered else 0.0
        calls = tuple(c for c in self._child.watch.under_way(now - worth_s) if c.function not in WAITS)
        limit = deadline_s(self._effective_s)
        state = "running" if self._answered else "starting"
        if self._started > 1:
            state = "replaced"
        if self._child.ended:
            state = "ended"
            self._start_again(now)
        elif now - self._heard_s > limit and any(now - c.since_s > limit for c in calls):
            # As long as any GPU answers, those that do not are waited for: they may come back.
            state = "stuck"
            if self._left_stuck < MAX_STUCK:
                self._left_stuck += 1
                self._leave_out([c for c in calls if now - c.since_s > limit])
        note = self._note if self._leaves_out or now - self._started_s < NOTED_S else ""
        return Tick(round(now, 6), round(time.time(), 6), self._interval_s, state, calls, note)

    def pace(self, interval_s: float) -> None:
        """Read link counters so often from now on."""
        self._interval_s = self._effective_s = interval_s
        self._child.tell(interval_s)

    def close(self) -> None:
        """Leave the worker; never waits."""
        self._child.abandon()

    def _leave_out(self, stuck: list[Call]) -> None:
        hung = tuple(c.gpu for c in stuck if c.gpu is not None)
        who = f"GPU {', '.join(map(str, hung))}" if hung else "that call"
        self._replace(hung, f"left out {who}: {stuck[0].function} hung")

    def _start_again(self, now: float) -> None:
        """Start another worker for one that ended by itself; one that ends at once is given time."""
        code = self._child.process.poll()
        if code is None and now - self._heard_s < EXIT_S:
            return  # its pipe is closed a moment before its status is there
        reload = code == RELOAD
        lived_s = now - self._started_s
        if lived_s < (RELOAD_S if reload else AGAIN_S) and (reload or self._crashed):
            return
        self._crashed = self._crashed or not reload
        if reload:
            note = "the driver was unloaded or exchanged; reading began anew"
        elif code is not None and code < 0:
            note = f"the reading process crashed (signal {-code}); it was started again"
        else:
            note = f"the reading process ended by itself (status {code}); it was started again"
        self._replace((), note)

    def _replace(self, leave_out: tuple[int, ...], note: str) -> None:
        before, self._child = self._child, _Child(self._interval_s, self._demo, leave_out)
        # Only now, so that the descriptors differ: who waits on the one notices that it is another.
        before.abandon()
        self._started += 1
        self._started_s = self._heard_s = time.monotonic()
        self._note, self._leaves_out = note, bool(leave_out)
