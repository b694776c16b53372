"""Log files that are followed as they grow, across rotation: those of the fabric manager and of IMEX."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOOK_BACK: Final = 1 << 20
"""Bytes of an old log that are read at the start."""
MAX_READ: Final = 1 << 20
"""Bytes that are read at a time."""


class FollowedFile:
    """A file whose lines are read once each, also when it is rotated, truncated or deleted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""
        self._first = True

    def lines(self) -> Iterator[str]:
        """Yield the whole lines since the last call; none while the file cannot be read."""
        if self._fd >= 0 and self._rotated():
            yield from self._read()
            self.close()
        if self._fd < 0 and not self._open():
            return
        yield from self._read()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._rest = -1, b""

    def _open(self) -> bool:
        first, self._first = self._first, False
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            return False
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return False
        if first and status.st_size > LOOK_BACK:
            os.lseek(fd, status.st_size - LOOK_BACK, os.SEEK_SET)
            # The line that begins in the middle is dropped with the first line end.
            self._rest = b"\0"
        self._fd = fd
        return True

    def _rotated(self) -> bool:
        """Whether another file has the name now, or this one was cut."""
        try:
            here, there = os.fstat(self._fd), os.stat(self._path)
        except OSError:
            return True
        return here.st_ino != there.st_ino or here.st_size < os.lseek(self._fd, 0, os.SEEK_CUR)

    def _read(self) -> Iterator[str]:
        while True:
            try:
                data = os.read(self._fd, MAX_READ)
            except OSError:
                self.close()
                return
            if not data:
                return
            *whole, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > MAX_READ:
                self._rest = b""
            for line in whole:
                if not line.startswith(b"\0"):
                    yield line.decode(errors="replace")
