"""One worker process: our ends of its pipe, what it is doing, and its last words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from typing import Final

from nvltop.model import Item
from nvltop.nvml.call_tracker import WAITS, Watch, shared_memory
from nvltop.sampler.launch import start_worker
from nvltop.sampler.pipe import Receiver
from nvltop.sampler.protocol import Job
from nvltop.text import clean

CHUNK: Final = 1 << 16
PIPE_BYTES: Final = 1 << 20
"""Room in the pipe, so that a screen that pauses does not stop the sampling."""
F_SETPIPE_SZ: Final = 1031
MAX_STDERR: Final = 1 << 16
"""Bytes of stderr kept: libraries may write there for days."""
MAX_WORDS: Final = 200
"""Characters of the last words that are shown."""


class Child:
    """One worker process and our ends of its pipes."""

    def __init__(self, interval_s: float, demo: tuple[str, str] | None, leave_out: tuple[int, ...]) -> None:
        """Start the process; raise `OSError` if the system refuses it."""
        self.ended = False
        self._arriving = Receiver()
        with contextlib.ExitStack() as opened:

            def ours(fd: int) -> int:
                opened.callback(os.close, fd)
                return fd

            items, theirs = map(ours, os.pipe())
            shared = ours(shared_memory())
            self._stderr = ours(os.memfd_create("nvltop-stderr"))
            self.watch = Watch(shared)
            with contextlib.suppress(OSError):  # a smaller pipe works as well, it only stops sooner
                fcntl.fcntl(items, F_SETPIPE_SZ, PIPE_BYTES)
            fcntl.fcntl(self._stderr, fcntl.F_SETFL, os.O_APPEND)
            job = Job(theirs, shared, interval_s, demo, leave_out)
            self.process = start_worker(job.to_argument(), self._stderr, (theirs, shared))
            opened.pop_all()
        os.close(theirs)
        os.close(shared)
        os.set_blocking(items, False)
        self.fd = items

    @property
    def refused(self) -> str:
        """Why an item that came was refused, empty if none was."""
        return self._arriving.refused

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
                break  # the pipe is empty, or ended, which the next call finds
        return self._arriving.take(b"".join(chunks))

    def set_interval(self, interval_s: float) -> None:
        """Have the worker read at another interval; one that has ended needs none."""
        with contextlib.suppress(OSError, ValueError):
            if self.process.stdin:
                self.process.stdin.write(f"{interval_s!r}\n".encode())
                self.process.stdin.flush()

    def trim_stderr(self) -> None:
        """Forget what the worker and its libraries have written to stderr, if it is much."""
        if self._stderr >= 0 and os.fstat(self._stderr).st_size > MAX_STDERR:
            os.ftruncate(self._stderr, 0)

    def last_words(self) -> str:
        """Return the last line that the worker wrote to stderr, empty if there is none."""
        if self._stderr < 0:
            return ""
        size = os.fstat(self._stderr).st_size
        text = os.pread(self._stderr, MAX_STDERR, max(0, size - MAX_STDERR)).decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return clean(lines[-1].strip(), MAX_WORDS) if lines else ""

    def last_call(self) -> str:
        """Return the driver call that is under way, or was when the worker ended; empty if none."""
        return next((c.function for c in self.watch.under_way() if c.function not in WAITS), "")

    def abandon(self) -> None:
        """Let the worker end by itself when its call returns; it is never killed, never waited for."""
        if self.fd < 0:
            return
        if self.process.stdin:
            # A worker that has ended takes no interval that is still to be written.
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        # One that was stopped would not see that its pipe is closed.
        with contextlib.suppress(OSError):
            self.process.send_signal(signal.SIGCONT)
        os.close(self.fd)
        os.close(self._stderr)
        self.fd = self._stderr = -1
        self.ended = True

    def gone(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def forget(self) -> None:
        """Keep `Popen` from warning of a child that still runs when it is collected: this one may."""
        self.process.returncode = self.process.poll() or 0
