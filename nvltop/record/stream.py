"""Bytes of a recording on disk: plain, gzip or Zstandard, in parts that can be read without each other.

Writing compresses blocks of about ten seconds, each a whole gzip member or Zstandard frame, so that a
crash costs no more than the block under way. Reading gives lines, never holds more than one of them,
and gives up on files that unpack to absurd lengths.
"""

from __future__ import annotations

import contextlib
import importlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from nvltop.record.archive import open_bytes, read_chunk
from nvltop.record.format import MAX_LINE, RecordingError

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
CHUNK: Final = 1 << 16
MAX_RATIO: Final = 20
FREE: Final = 5 << 20
"""A file may unpack to this many bytes and to `MAX_RATIO` times its own; recordings reach 3 times."""

Compress = Callable[[bytes], bytes]
Progress = Callable[[int, int], None]
"""Told now and then how many bytes of how many have been read."""


def compressor(path: Path) -> Compress:
    """Return what makes a block of lines a part of the file, by the file's ending."""
    if path.suffix == ".gz":
        return gzip_part
    if path.suffix == ".zst":
        zstd = _zstandard(path)
        return lambda block: bytes(zstd.compress(block, 9))
    return bytes


def gzip_part(block: bytes) -> bytes:
    """Pack lines as a whole gzip member."""
    # Filtered: noise has no repetitions, looking for short ones only costs. Looking harder than at level 4
    # takes twice as long for a fortieth of the size.
    deflate = zlib.compressobj(4, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return deflate.compress(block) + deflate.flush()


def _zstandard(path: Path) -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise RecordingError(f"{path}: .zst needs Python 3.14 or the package backports.zstd; .gz needs nothing")


class _Inflate:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = CHUNK) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class LineReader:
    """Lines of a recording, without their ends."""

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        """Open a file or a snapshot; raise `RecordingError` if that fails."""
        self._path = path
        self._progress = progress
        self.line = 0
        """Number of the line returned last, from 1."""
        self.cut: str | None = None
        """Why the end is missing, if it is."""
        self._read = self._unpacked = 0
        self._file, self._total = open_bytes(path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def error(self, what: str) -> RecordingError:
        """Return the error that says what is wrong with the line."""
        return RecordingError(f"{self._path}:{max(self.line, 1)}: {what}")

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines that are whole."""
        rest = bytearray()
        for chunk in self._chunks():
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                self.line += 1
                rest += chunk[start:end]
                if len(rest) > MAX_LINE:
                    raise self.error(f"a line longer than {MAX_LINE >> 20} MiB")
                yield bytes(rest)
                rest.clear()
                start = end + 1
            rest += chunk[start:]
            if len(rest) > MAX_LINE:
                self.line += 1
                raise self.error(f"a line longer than {MAX_LINE >> 20} MiB")
        if rest:
            self.cut = self.cut or "the last line is not whole"

    def _chunks(self) -> Iterator[bytes]:
        first = self._next()
        if first.startswith(GZIP):
            yield from self._unpack(first, _Inflate, (zlib.error,))
        elif first.startswith(ZSTD):
            zstd = _zstandard(self._path)
            yield from self._unpack(first, zstd.ZstdDecompressor, (zstd.ZstdError,))
        else:
            while first:
                yield first
                first = self._next()

    def _next(self) -> bytes:
        try:
            data = read_chunk(self._file, CHUNK)
        except OSError as error:
            raise self.error(error.strerror or str(error)) from None
        self._read += len(data)
        if self._progress:
            self._progress(self._read, self._total)
        return data

    def _unpack(
        self, data: bytes, new: Callable[[], Any], failures: tuple[type[Exception], ...]
    ) -> Iterator[bytes]:
        """Unpack part after part."""
        while data:
            part = new()
            while not part.eof:
                try:
                    unpacked = part.decompress(data, CHUNK)
                except failures:
                    raise self.error("the compressed data is damaged") from None
                self._unpacked += len(unpacked)
                if self._unpacked > MAX_RATIO * self._read + FREE:
                    raise self.error(f"unpacks to more than {MAX_RATIO} times its size")
                if unpacked:
                    yield unpacked
                data = b""
                if not part.eof and part.needs_input:
                    data = self._next()
                    if not data:
                        self.cut = "the file ends in the middle of a part"
                        return
            data = part.unused_data or self._next()
