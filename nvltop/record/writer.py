"""Write a recording in the background.

Items are redacted, encoded and compressed as they arrive. A separate thread writes the blocks, because a disk
or network share may be slow. When writing fails, recording ends and the run goes on: see
`RecordingWriter.error`.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from nvltop.model import Item, Reading
from nvltop.record.format import RecordingError
from nvltop.record.journal import Journal
from nvltop.record.redact import Redactor
from nvltop.record.stream import compressor

BLOCK_S: Final = 10.0
BLOCK_BYTES: Final = 1 << 18
"""Packing this much takes some ten milliseconds, which nobody sees."""
PLAIN_BLOCK_S: Final = 1.0
"""Files that are not compressed gain nothing by long blocks."""
MAX_WAITING: Final = 16 << 20
"""Bytes that may wait for the disk; some ten minutes of the largest node."""
LEAVE_S: Final = 2.0
"""How long leaving waits for the disk."""
MIN_BYTES: Final = 1 << 16
EXISTS: Final = "exists already, and a recording replaces nothing"


class RecordingWriter:
    """Records items into a new file, and leaves out of them what `redact` takes out.

    With `max_bytes` the file becomes FILE.1 when it has reached half of that, in place of the FILE.1
    before, and a new FILE begins: the two together stay below `max_bytes` and hold nearly half of it or
    more. Each of them replays on its own.
    """

    def __init__(
        self, path: str | Path, max_bytes: int | None = None, redact: Redactor | None = None
    ) -> None:
        """Create the file, mode 0600; raise `RecordingError` if it exists or cannot be created."""
        self.path = Path(path)
        if max_bytes is not None and max_bytes < MIN_BYTES:
            raise RecordingError(f"a recording takes at least {MIN_BYTES >> 10} KiB")
        self._redact = redact or Redactor()
        self._pack = compressor(self.path)
        self._block_s = PLAIN_BLOCK_S if self._pack is bytes else BLOCK_S
        self._most = None if max_bytes is None else max_bytes // 2
        self._journal = Journal(self._redact.removed)
        self._since_s: float | None = None
        self._disk = _Disk(self.path, rotates=max_bytes is not None)
        self._begin()

    @property
    def error(self) -> RecordingError | None:
        """Why recording has stopped, if it has."""
        return self._disk.error

    def write(self, item: Item) -> None:
        """Record an item; does nothing once recording has stopped."""
        if self.error:
            return
        item = self._redact(item)
        self._put(self._journal.lines(item))
        now_s = item.end_s if isinstance(item, Reading) else item.mono_s
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s >= self._block_s or self._block_bytes >= BLOCK_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left; waits no longer than two seconds for the disk."""
        if not self.error:
            self._flush(last=True)
        self._disk.close(LEAVE_S)

    def _begin(self) -> None:
        """Begin a file: the header, then what is known so far, so that the file replays on its own."""
        self._file_bytes = 0
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._put(self._journal.begin())

    def _put(self, lines: list[bytes]) -> None:
        self._block += lines
        self._block_bytes += sum(map(len, lines))

    def _flush(self, last: bool = False) -> None:
        part = self._pack(b"".join(self._block))
        self._block, self._block_bytes, self._since_s = [], 0, None
        self._disk.do(partial(self._disk.append, part), len(part))
        self._file_bytes += len(part)
        # The next part may well be longer than this one.
        if self._most and not last and self._file_bytes + 2 * len(part) > self._most:
            self._disk.do(self._disk.rotate)
            self._begin()


class _Disk:
    """The file and the thread that writes it."""

    def __init__(self, path: Path, rotates: bool) -> None:
        self.path = path
        self.older = path.with_name(f"{path.name}.1")
        self.error: RecordingError | None = None
        self._made: tuple[int, int] | None = None
        """Device and inode of the older file that we have made, if any."""
        if rotates and os.path.lexists(self.older):
            raise RecordingError(f"{self.older}: {EXISTS}")
        try:
            self._fd = self._create(path)
        except OSError as error:
            raise self._failure(error) from None
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._given = self._size = self._done = 0
        self._thread = threading.Thread(target=self._work, name="record", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], None], size: int = 0) -> None:
        """Have the thread do something, in order; recording stops if the disk is far behind."""
        self._given += size
        if self._given - self._done > MAX_WAITING:
            self.error = self.error or RecordingError(
                f"recording stopped: the disk of {self.path} does not answer"
            )
        else:
            self._queue.put(work)

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
        self._done += len(data)

    def rotate(self) -> None:
        """Make the file the older one and begin a new one; an older one that is not ours is not replaced."""
        if os.path.lexists(self.older) and _identity(os.lstat(self.older)) != self._made:
            raise OSError(0, f"{self.older} {EXISTS}")
        self._made = _identity(os.fstat(self._fd))
        os.replace(self.path, self.older)
        os.close(self._fd)
        self._fd = -1
        self._fd = self._create(self.path)
        self._size = 0

    def close(self, wait_s: float) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join(wait_s)
        if self._thread.is_alive():
            self.error = RecordingError(
                f"the disk of {self.path} does not answer: the last seconds may be missing"
            )

    def _work(self) -> None:
        while work := self._queue.get():
            if self.error:
                continue
            try:
                work()
            except OSError as error:
                self.error = RecordingError(f"recording stopped: {self._failure(error)}")
        if self._fd >= 0:
            os.close(self._fd)

    def _create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileExistsError:
            raise OSError(0, EXISTS) from None

    def _failure(self, error: OSError) -> RecordingError:
        return RecordingError(f"{self.path}: {error.strerror or error}")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
