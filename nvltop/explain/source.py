"""Bytes of a log, from a file or from stdin, unpacked if it is gzip, in chunks that end with a line.

A log may come from a stranger: nothing is written, memory is bounded, and what unpacks to more than
`MAX_UNPACKED` bytes is refused.
"""

from __future__ import annotations

import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

CHUNK: Final = 1 << 20
"""Bytes that are examined at a time."""
MAX_LINE: Final = 1 << 20
"""Bytes after which a line without an end is cut."""
MAX_UNPACKED: Final = 8 << 30
"""Bytes of an unpacked log after which it is refused."""
GZIP: Final = b"\x1f\x8b"
OTHERS: Final = {
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"LPKSHHRH": "a binary journal; export it with `journalctl -k -o json`",
}
"""Formats that are recognised and not read."""


class ExplainError(Exception):
    """The log cannot be read; the message is one line for the user."""


class Source:
    """A log that is open."""

    def __init__(self, name: str) -> None:
        """Open a file, or stdin for `-`."""
        self.name = name
        self.newest_s = time.time()
        """Unix time after which no line was written."""
        try:
            self._file = _stdin() if name == "-" else _open(name)
            status = os.fstat(self._file.fileno())
        except (OSError, ValueError) as error:
            raise ExplainError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
        if stat.S_ISREG(status.st_mode):
            self.newest_s = min(self.newest_s, max(status.st_mtime, 0.0))

    def chunks(self) -> Iterator[bytes]:
        """Yield the log in chunks of whole lines; raise `ExplainError` where it cannot be read."""
        rest = b""
        for data in self._unpacked():
            end = data.rfind(b"\n") + 1
            if not end and len(rest) + len(data) < MAX_LINE:
                rest += data
                continue
            end = end or len(data)
            yield rest + data[:end]
            rest = data[end:]
        if rest:
            yield rest

    def close(self) -> None:
        """Close the file; stdin stays open."""
        if self.name != "-":
            self._file.close()

    def _unpacked(self) -> Iterator[bytes]:
        data = self._read()
        for magic, what in OTHERS.items():
            if data.startswith(magic):
                raise ExplainError(f"{self.name}: {what}, not text or gzip")
        packed = data.startswith(GZIP)
        total = 0
        for chunk in self._inflated(data) if packed else self._plain(data):
            total += len(chunk)
            if total > MAX_UNPACKED:
                raise ExplainError(f"{self.name}: more than {MAX_UNPACKED >> 30} GiB")
            yield chunk

    def _plain(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield data
            data = self._read()

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        """Yield unpacked bytes; gzip files may be joined to one another."""
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while data:
            try:
                chunk = inflate.decompress(data, CHUNK)
            except zlib.error:
                raise ExplainError(f"{self.name}: the compressed data is damaged") from None
            if chunk:
                yield chunk
            data = inflate.unconsumed_tail
            if inflate.eof:
                data = inflate.unused_data or self._read()
                if not data.startswith(GZIP):
                    return
                inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
            elif not data:
                data = self._read()
        if not inflate.eof:
            raise ExplainError(f"{self.name}: the compressed data is cut off")

    def _read(self) -> bytes:
        try:
            data: bytes | None = self._file.read(CHUNK)
        except OSError as error:
            raise ExplainError(f"{self.name}: {error.strerror or error}") from None
        if data is None:
            raise ExplainError(f"{self.name}: not a file with an end")
        return data


def _stdin() -> BinaryIO:
    return sys.stdin.buffer


def _open(name: str) -> BinaryIO:
    # Never wait for a pipe that nobody writes to, and never take a terminal over.
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) and name.startswith("/dev/fd/"):
        # A pipe of the shell, as in `--explain <(journalctl -k)`.
        os.set_blocking(fd, True)
    elif not stat.S_ISREG(mode):
        os.close(fd)
        raise OSError(0, "not a regular file")
    return open(fd, "rb", buffering=0)
