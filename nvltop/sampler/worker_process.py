"""One worker process: the parent's ends of its pipes, its driver calls and its last error message."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
from typing import Final

from nvltop.model import Item
from nvltop.nvml.call_tracker import WAITING_CALLS, CallTracker, shared_memory
from nvltop.sampler.launch import start_worker
from nvltop.sampler.protocol import ERRORS_S, WorkerConfig
from nvltop.text import clean
from nvltop.wire.pipe_codec import Receiver

CHUNK: Final = 1 << 15
"""Size of a read, bytes: less than `allocator.LARGE_BYTES`, so that its buffer is not mapped in each call."""
PIPE_BYTES: Final = 1 << 20
"""Requested pipe capacity in bytes, so that a paused screen does not stop the sampling."""
REST_TIMEOUT_S: Final = 0.02
"""Time to wait for the rest of a burst, seconds: the worker writes it while a pipe that was full is read."""
MAX_STDERR: Final = 1 << 16
"""Size of the captured stderr, in bytes, above which it is truncated: libraries may write there for days."""
MAX_MESSAGE: Final = 200
"""Length limit, in characters, of the last error message shown."""


class WorkerProcess:
    """A worker process and the parent's ends of its pipes."""

    def __init__(
        self,
        interval_s: float,
        demo: tuple[str, str] | None,
        leave_out: tuple[int, ...],
        errors_s: float = ERRORS_S,
        frame_s: float = 0.0,
    ) -> None:
        """Start the process; raise `OSError` if the system refuses to."""
        self.ended = False
        self._receiver = Receiver()
        with contextlib.ExitStack() as opened:

            def close_on_error(fd: int) -> int:
                opened.callback(os.close, fd)
                return fd

            items, theirs = map(close_on_error, os.pipe())
            shared = close_on_error(shared_memory())
            self._stderr = close_on_error(os.memfd_create("nvltop-stderr"))
            self.watch = CallTracker(shared)
            with contextlib.suppress(OSError):  # a smaller pipe works too; it only fills earlier
                fcntl.fcntl(items, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            fcntl.fcntl(self._stderr, fcntl.F_SETFL, os.O_APPEND)
            config = WorkerConfig(theirs, shared, interval_s, demo, leave_out, errors_s, frame_s)
            self.process = start_worker(config.to_argument(), self._stderr, (theirs, shared))
            opened.pop_all()
        os.close(theirs)
        os.close(shared)
        os.set_blocking(items, False)
        self.fd = items

    @property
    def rejection(self) -> str:
        """Why the last invalid item was rejected; empty if none was."""
        return self._receiver.rejection

    def read(self) -> list[Item]:
        """Return the complete items that have arrived; never blocks for longer than `REST_TIMEOUT_S`."""
        items: list[Item] = []
        while not self.ended:
            try:
                chunk = os.read(self.fd, CHUNK)
            except BlockingIOError:
                break
            self.ended = not chunk
            items += self._receiver.feed(chunk)
            if len(chunk) == CHUNK:
                continue
            # The pipe is empty, or closed, which the next call detects.
            if not self._receiver.is_incomplete or not select.select([self.fd], [], [], REST_TIMEOUT_S)[0]:
                break
        return items

    def set_interval(self, interval_s: float) -> None:
        """Send the worker another polling interval; ignored if the worker has ended."""
        with contextlib.suppress(OSError, ValueError):
            if self.process.stdin:
                self.process.stdin.write(f"{interval_s!r}\n".encode())
                self.process.stdin.flush()

    def trim_stderr(self) -> None:
        """Discard the captured stderr of the worker and its libraries once it exceeds `MAX_STDERR`."""
        if self._stderr >= 0 and os.fstat(self._stderr).st_size > MAX_STDERR:
            os.ftruncate(self._stderr, 0)

    def last_error(self) -> str:
        """Return the last line that the worker wrote to stderr; empty if there is none."""
        if self._stderr < 0:
            return ""
        size = os.fstat(self._stderr).st_size
        text = os.pread(self._stderr, MAX_STDERR, max(0, size - MAX_STDERR)).decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return clean(lines[-1].strip(), MAX_MESSAGE) if lines else ""

    def last_call(self) -> str:
        """Return the driver call in progress, or interrupted when the worker ended; empty if none."""
        return next((c.function for c in self.watch.in_flight() if c.function not in WAITING_CALLS), "")

    def abandon(self) -> None:
        """Close the pipes, so that the worker exits when its driver call returns; never kill it or wait."""
        if self.fd < 0:
            return
        if self.process.stdin:
            # Closing flushes an interval that is still buffered, which fails if the worker has ended.
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        # A stopped process would not notice that its pipe is closed.
        with contextlib.suppress(OSError):
            self.process.send_signal(signal.SIGCONT)
        os.close(self.fd)
        os.close(self._stderr)
        self.fd = self._stderr = -1
        self.ended = True

    def exited(self) -> bool:
        """Return whether the process has exited."""
        return self.process.poll() is not None

    def detach(self) -> None:
        """Keep `Popen` from warning about a child that still runs when it is garbage-collected."""
        self.process.returncode = self.process.poll() or 0
