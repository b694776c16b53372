"""Where the blocks of a recording are written: a file, or standard output; each on a thread of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nvltop.record.format import RecordingError

MAX_WAITING: Final = 16 << 20
"""Number of bytes that may wait for the disk: some ten minutes of the largest node."""
SYNC_S: Final = 5.0
"""Shortest time between two syncs of the file to the disk, seconds."""
EXISTS: Final = "exists already, and a recording replaces nothing"


class Output:
    """A thread that writes blocks in order."""

    name: str
    """The disk or stream, for messages."""

    def __init__(self) -> None:
        self.error: RecordingError | None = None
        """Why writing has stopped, if it has."""
        self.is_closed = False
        """Whether the reader of a stream has closed it."""
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._queued = self._written = 0
        self._thread = threading.Thread(target=self._work, name="record", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], None], size: int = 0) -> None:
        """Run `work` on the thread, in order; stop the recording if the disk is far behind."""
        self._queued += size
        if self._queued - self._written > MAX_WAITING:
            self.error = self.error or RecordingError(f"recording stopped: {self.name} does not answer")
        else:
            self._queue.put(work)

    def append(self, data: bytes) -> None:
        """Write a block."""
        raise NotImplementedError

    def rotate(self) -> None:
        """Begin a new file; a stream goes on."""

    def close(self, wait_s: float) -> None:
        """End the thread; wait for it no longer than `wait_s`."""
        self._queue.put(None)
        self._thread.join(wait_s)
        if self._thread.is_alive():
            self.error = RecordingError(f"{self.name} does not answer: the last seconds may be missing")

    def _work(self) -> None:
        while work := self._queue.get():
            if self.error or self.is_closed:
                continue
            try:
                work()
            except BrokenPipeError:
                self.is_closed = True
            except OSError as error:
                self.error = RecordingError(f"recording stopped: {self._message(error)}")
        self._release()

    def _message(self, error: OSError) -> str:
        return f"{self.name}: {error.strerror or error}"

    def _release(self) -> None:
        """Close the file, on the thread."""


class StreamOutput(Output):
    """Standard output."""

    name = "standard output"

    def append(self, data: bytes) -> None:
        """Write a block; raise `BrokenPipeError` if the reader has closed the stream."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]
        self._written += len(data)


class FileOutput(Output):
    """A new file."""

    def __init__(self, path: Path, rotates: bool) -> None:
        """Create the file; raise `RecordingError` if it exists or cannot be created."""
        self.path = path
        self.name = f"the disk of {path}"
        self.older = path.with_name(f"{path.name}.1")
        self._made: tuple[int, int] | None = None
        """Device and inode of the older file, if this object has made one."""
        if rotates and os.path.lexists(self.older):
            raise RecordingError(f"{self.older}: {EXISTS}")
        try:
            self._fd = self._create(path)
        except OSError as error:
            raise RecordingError(self._message(error)) from None
        self._size = 0
        self._synced_s = time.monotonic()
        super().__init__()

    def append(self, data: bytes) -> None:
        """Write at the end of the file, all or nothing."""
        if os.fstat(self._fd).st_nlink == 0:
            raise OSError(0, "the file was removed")
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)
        self._written += len(data)
        now_s = time.monotonic()
        if now_s - self._synced_s >= SYNC_S:
            self._synced_s = now_s
            with contextlib.suppress(OSError):  # not all file systems can
                os.fdatasync(self._fd)

    def rotate(self) -> None:
        """Rename the file to the older one and begin a new one; never replace another program's file."""
        if os.path.lexists(self.older) and _identity(os.lstat(self.older)) != self._made:
            raise OSError(0, f"{self.older} {EXISTS}")
        self._made = _identity(os.fstat(self._fd))
        os.replace(self.path, self.older)
        os.close(self._fd)
        self._fd = -1
        self._fd = self._create(self.path)
        self._size = 0

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileExistsError:
            raise OSError(0, EXISTS) from None

    def _message(self, error: OSError) -> str:
        return f"{self.path}: {error.strerror or error}"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
