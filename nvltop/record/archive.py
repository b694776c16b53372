"""Finds the recording in a snapshot: in its folder, or in its `.tar.gz`, which may come from a stranger.

Of an archive one regular file is read into memory, and nothing is ever unpacked to disk, so that neither
paths nor links in it can do any harm.
"""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from nvltop.record.format import RecordingError

RECORDING: Final = "recording.gz"
"""Its name in a snapshot."""
MAX_UNPACKED: Final = 64 << 20
"""Bytes of a whole archive; a snapshot has ten million at most."""
BLOCK: Final = 512
CHUNK: Final = 1 << 16
_REGULAR: Final = (b"0", b"\0")


def open_bytes(path: Path) -> tuple[BinaryIO, int]:
    """Open a recording, or the one in a snapshot; also return its size. Raises `RecordingError`."""
    try:
        if os.path.isdir(path):
            path = path / RECORDING
            if not os.path.lexists(path):
                raise RecordingError(f"{path.parent}: a folder, but no snapshot: it has no {RECORDING}")
        # A pipe or a device has no end that could be waited for.
        file: BinaryIO = open(path, "rb", opener=_open_regular)  # noqa: SIM115
        if not _is_archive(file):
            return file, os.fstat(file.fileno()).st_size
        with file:
            content = _member(file, RECORDING)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from None
    return io.BytesIO(content), len(content)


def read_member(path: Path, member: str) -> bytes:
    """Return the contents of a file in a snapshot, folder or archive. Raises `RecordingError`."""
    try:
        if os.path.isdir(path):
            path = path / member
        file: BinaryIO
        with open(path, "rb", opener=_open_regular) as file:
            return _member(file, member) if _is_archive(file) else read_chunk(file, MAX_UNPACKED)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from None


def _open_regular(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "not a regular file")


def read_chunk(file: BinaryIO, count: int) -> bytes:
    """Return up to so many bytes; raise `OSError` where they would have to be waited for, as in /proc."""
    data: bytes | None = file.read(count)
    if data is None:
        raise OSError(0, "not a file with an end")
    return data


def _is_archive(file: BinaryIO) -> bool:
    """Whether a file begins as a tar archive, compressed or not."""
    try:
        head = _Unpacked(file).read(BLOCK)
    except ValueError:
        head = b""
    file.seek(0)
    return len(head) == BLOCK and _size(head) is not None


def _member(file: BinaryIO, member: str) -> bytes:
    """Return the contents of a member of an archive. Raises `ValueError` if there is no such member."""
    unpacked = _Unpacked(file)
    while any(head := unpacked.read(BLOCK)):
        size = _size(head)
        if len(head) < BLOCK or size is None:
            raise ValueError("a damaged archive")
        content = unpacked.read(size)
        if len(content) < size:
            raise ValueError("the archive is cut off")
        name = head[:100].partition(b"\0")[0].rpartition(b"/")[2]
        if name == member.encode() and head[156:157] in _REGULAR:
            return content
        unpacked.read(-size % BLOCK)
    raise ValueError(f"an archive without a {member}")


def _size(head: bytes) -> int | None:
    """Return how many bytes of content follow a tar header; None if it is none."""
    try:
        told, size = (int(head[a:b].strip(b" \0") or b"0", 8) for a, b in ((148, 156), (124, 136)))
    except ValueError:
        return None
    total = sum(head) - sum(head[148:156]) + 8 * ord(" ")
    return size if told == total and size >= 0 else None


class _Unpacked:
    """Bytes of a file, unpacked if it is gzip; `ValueError` beyond `MAX_UNPACKED` and where it is damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = self._inflated(file)
        self._rest = b""
        self._read = 0

    def read(self, count: int) -> bytes:
        """Return so many bytes; fewer only at the end."""
        self._read += count
        if self._read > MAX_UNPACKED:
            raise ValueError(f"an archive that unpacks to more than {MAX_UNPACKED >> 20} MiB")
        parts = [self._rest]
        have = len(self._rest)
        while have < count and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            have += len(chunk)
        whole = b"".join(parts)
        self._rest = whole[count:]
        return whole[:count]

    def _inflated(self, file: BinaryIO) -> Iterator[bytes]:
        data = read_chunk(file, CHUNK)
        if not data.startswith(b"\x1f\x8b"):
            while data:
                yield data
                data = read_chunk(file, CHUNK)
            return
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not inflate.eof and (data or (data := read_chunk(file, CHUNK))):
            try:
                yield inflate.decompress(data, CHUNK)
            except zlib.error:
                raise ValueError("the compressed data is damaged") from None
            data = inflate.unconsumed_tail
