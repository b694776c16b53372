"""Find the segments of a recording without decoding it.

The header of each segment holds its time and the marks of the previous segment, so that a long recording
needs no separate index, which a killed writer could not write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from nvltop.frozen import frozen
from nvltop.record.archive import open_bytes, read_chunk
from nvltop.record.chunks import HEAD_BYTES, MAGIC, Progress, decompressor
from nvltop.record.format import HEADER_START, MAX_LINE, Mark, RecordingError, parse_header
from nvltop.wire.schema import Schema

WINDOW: Final = 4 << 20
"""Number of bytes that are searched at a time."""
MAX_SEGMENTS: Final = 100_000
"""Number of segments above which the rest of a file is not indexed: some fifty days."""
MAX_HEAD: Final = 1 << 16
"""Length limit of the header of an indexed segment, bytes."""


@frozen
class Segment:
    """A part of a recording that can be read alone."""

    offset: int
    """Position in the file, bytes."""
    mono_s: float
    """CLOCK_MONOTONIC at its beginning."""
    wall_s: float
    """Unix time of the same moment."""
    marks: tuple[Mark, ...]
    """Marks of the previous segment."""


def find_segments(path: Path, progress: Progress | None = None) -> list[Segment]:
    """Return the segments after the first one; raise `RecordingError` if the file cannot be read."""
    segments: list[Segment] = []
    schemas: dict[str, Schema] = {}
    file, total = open_bytes(path)
    with file:
        first = file.read(4)
        file.seek(0)
        magic = next((m for m in MAGIC.values() if first.startswith(m)), b"\n" + HEADER_START)
        read_head = _plain_head if magic.startswith(b"\n") else _compressed_head(path, magic)
        for offset, data in _places(file, magic, total, progress):
            line = read_head(data)
            if not line:
                continue
            try:
                header = parse_header(json.loads(line), schemas)
            except (ValueError, RecursionError):
                continue
            if header.mono_s is None or header.wall_s is None:
                continue
            if segments and header.mono_s < segments[-1].mono_s:
                continue
            at = offset + magic.startswith(b"\n")
            segments.append(Segment(at, header.mono_s, header.wall_s, header.marks))
            if len(segments) >= MAX_SEGMENTS:
                break
    return segments


def _places(
    file: BinaryIO, magic: bytes, total: int, progress: Progress | None
) -> Iterator[tuple[int, memoryview]]:
    """Yield the offsets of `magic`, and the bytes from there on."""
    need = max(HEAD_BYTES.values())
    window, begin = b"", 0
    while True:
        more = _read(file)
        window += more
        if progress:
            progress(min(begin + len(window), total), total)
        # Without enough bytes after it, a place is looked at with the next window.
        end = len(window) if not more else max(0, len(window) - need)
        at = window.find(magic)
        view = memoryview(window)
        while 0 <= at < end:
            yield begin + at, view[at:]
            at = window.find(magic, at + 1)
        if not more:
            return
        view.release()
        window, begin = window[end:], begin + end


def _read(file: BinaryIO) -> bytes:
    try:
        return read_chunk(file, WINDOW)
    except OSError as error:
        raise RecordingError(str(error.strerror or error)) from None


def _plain_head(data: memoryview) -> bytes:
    head = bytes(data[1 : 1 + MAX_HEAD])
    return head[: head.find(b"\n")] if b"\n" in head else b""


def _compressed_head(path: Path, magic: bytes) -> Callable[[memoryview], bytes]:
    """Return a function that decompresses the header at the beginning of a part."""
    new, failures = decompressor(path, magic)
    need = HEAD_BYTES[magic]

    def read_head(data: memoryview) -> bytes:
        part: Any = new()
        try:
            head = part.decompress(bytes(data[:need]), len(HEADER_START))
            if head != HEADER_START:
                return b""
            head += part.decompress(bytes(data[need : need + MAX_HEAD]), min(MAX_HEAD, MAX_LINE))
        except failures:
            return b""
        return head[: head.find(b"\n")] if b"\n" in head else b""

    return read_head
