"""The text of a recording in chunks, decompressed, without its damaged parts.

A damaged gzip member or Zstandard frame is skipped: reading continues at the next one with the header of a
segment. A part is decompressed completely before any of its text is used, so that its checksum
covers all of it, unless it is much larger than those that nvltop writes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from nvltop.record.archive import open_bytes, read_chunk
from nvltop.record.compression import GZIP, ZSTD, Inflate, zstandard
from nvltop.record.format import HEADER_START, RecordingError

CHUNK: Final = 1 << 16
"""Number of bytes that are read, and decompressed, at a time."""
MAX_PART: Final = 4 << 20
"""Size of a part, in bytes, above which its text is used before its checksum is known."""
MAX_RATIO: Final = 20
"""Ratio of decompressed to compressed size above which a file is rejected; recordings reach 3."""
FREE: Final = 24 << 20
"""Number of decompressed bytes that are allowed in addition to `MAX_RATIO`."""

MAGIC: Final = {".gz": GZIP, ".zst": ZSTD}
"""First bytes of the parts of a compressed file, by its ending."""
HEAD_BYTES: Final = {GZIP: 1 << 10, ZSTD: (1 << 17) + 64}
"""Number of bytes needed to decompress the first bytes of a part; Zstandard needs a complete block."""
CANDIDATE_COST: Final = 1 << 12
"""Number of bytes that each possible start of a part counts as, so that a file cannot contain very many."""

Progress = Callable[[int, int], None]
"""A function that is called with the number of bytes read and the size of the file."""


def decompressor(path: Path, magic: bytes) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """Return the decompressor of parts that begin with `magic`, and its exceptions."""
    if magic == GZIP:
        return Inflate, (zlib.error,)
    zstd = zstandard(path)
    return zstd.ZstdDecompressor, (zstd.ZstdError,)


class Gap:
    """A place where damaged bytes were skipped; `why` is one short clause."""

    def __init__(self, why: str) -> None:
        self.why = why


class Chunks:
    """The text of one file, from its start or from a segment on."""

    def __init__(
        self,
        path: Path,
        progress: Progress | None = None,
        offset: int = 0,
        file: BinaryIO | FileIO | None = None,
    ) -> None:
        """Open a file or a snapshot, or take an open file; raise `RecordingError` if that fails."""
        self._path = path
        self._progress = progress
        self.cut: str | None = None
        """Why the end of the file is missing, if it is."""
        self._read = self._unpacked = 0
        if file is None:
            self._file: BinaryIO | FileIO
            self._file, self._total = open_bytes(path)
        else:
            self._file, self._total = file, 0
        if offset:
            self._file.seek(offset)
            self._read = offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Iterator[bytes | Gap]:
        """Yield the text, and a `Gap` where some of it is damaged."""
        data = self._next()
        suffix = self._path.suffix
        damaged = suffix in MAGIC and not data.startswith((*MAGIC.values(), HEADER_START))
        if damaged and data:
            new, failures = decompressor(self._path, MAGIC[suffix])
            data, _ = self._resync(b"\0" + data, new, failures, MAGIC[suffix])
            yield Gap("the compressed data is damaged")
        for magic in MAGIC.values():
            if data.startswith(magic):
                yield from self._unpack(data, *decompressor(self._path, magic), magic)
                return
        while data:
            yield data
            data = self._next()

    def _next(self) -> bytes:
        try:
            data = read_chunk(self._file, CHUNK)
        except OSError as error:
            raise RecordingError(f"{self._path}: {error.strerror or error}") from None
        self._read += len(data)
        if self._progress:
            self._progress(self._read, self._total)
        return data

    def _count(self, size: int) -> None:
        """Count decompressed bytes, including those of damaged parts: this bounds the time as well."""
        self._unpacked += size
        if self._unpacked > MAX_RATIO * self._read + FREE:
            raise RecordingError(f"{self._path}: decompresses to more than {MAX_RATIO} times its size")

    def _unpack(
        self, data: bytes, new: Callable[[], Any], failures: tuple[type[Exception], ...], magic: bytes
    ) -> Iterator[bytes | Gap]:
        """Yield the text of one part after the other."""
        while data:
            raw: bytearray | None = bytearray(data)
            part, text, failed = new(), bytearray(), False
            try:
                while not part.eof:
                    unpacked = part.decompress(data, CHUNK)
                    self._count(len(unpacked))
                    text += unpacked
                    if raw is None or len(text) > MAX_PART:
                        raw = None
                        yield bytes(text)
                        text.clear()
                    data = b""
                    if not part.eof and part.needs_input:
                        data = self._next()
                        if not data:
                            break
                        if raw is not None:
                            raw += data
            except failures:
                failed = True
            if part.eof and not failed:
                yield bytes(text)
                data = part.unused_data or self._next()
                if data and not data.startswith(magic):
                    data = data if len(data) >= len(magic) else data + self._next()
                    failed, raw = not data.startswith(magic), bytearray(b"\0" + data)
            if failed or not part.eof:
                at_end = not failed and not part.eof
                data, head = self._resync(bytes(raw or b""), new, failures, magic)
                if at_end and not data:
                    # The last part is incomplete: its text is used as far as it goes.
                    self.cut = "the file ends in the middle of a part"
                    yield bytes(text)
                    return
                yield Gap("the compressed data is damaged")
                if not head:
                    return

    def _resync(
        self, raw: bytes, new: Callable[[], Any], failures: tuple[type[Exception], ...], magic: bytes
    ) -> tuple[bytes, bool]:
        """Return the data from the next part that begins a segment, and whether there is one."""
        at = 1
        while True:
            at = raw.find(magic, at)
            if at < 0:
                more = self._next()
                if not more:
                    return b"", False
                raw = raw[-len(magic) + 1 :] + more
                at = 0
                continue
            need = HEAD_BYTES[magic]
            while len(raw) - at < need and (more := self._next()):
                raw, at = raw[at:] + more, 0
            self._count(CANDIDATE_COST)
            try:
                head = new().decompress(raw[at : at + need], len(HEADER_START))
            except failures:
                head = b""
            if head == HEADER_START:
                return raw[at:], True
            at += 1
