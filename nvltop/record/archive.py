"""Finds the recording in a snapshot: in its folder, or in its `.tar.gz`, which may come from a stranger.

One regular file of an archive is read into memory and nothing is unpacked to disk, so that paths and links
in the archive cannot do any harm.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from nvltop.record.format import RecordingError

RECORDING: Final = "recording.gz"
"""Name of the recording in a snapshot."""
MAX_UNPACKED: Final = 64 << 20
"""Largest unpacked archive in bytes; a snapshot has at most ten million."""
MAX_MEMBERS: Final = 1000
"""Largest number of files in an archive; each takes a kilobyte of memory, and a snapshot has four."""


def open_bytes(path: Path) -> tuple[BinaryIO, int]:
    """Open a recording, or the one in a snapshot; also return its size. Raises `RecordingError`."""
    try:
        if os.path.isdir(path):
            path = path / RECORDING
            if not os.path.lexists(path):
                raise RecordingError(f"{path.parent}: a folder, but no snapshot: it has no {RECORDING}")
        # A pipe or a device has no end that could be waited for.
        file: BinaryIO = open(path, "rb", opener=_open_regular)  # noqa: SIM115
        with contextlib.ExitStack() as opened:
            opened.enter_context(file)
            content = _member(file, RECORDING)
            if content is None:
                opened.pop_all()
                file.seek(0)
                return file, os.fstat(file.fileno()).st_size
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
            content = _member(file, member)
            if content is None:
                file.seek(0)
                return read_chunk(file, MAX_UNPACKED)
            return content
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from None


def read_file(path: Path, limit: int, start: bytes, word: bytes) -> bytes | None:
    """Return the contents of a regular file that starts with `start` and has `word` in its first bytes.

    Returns None for another file. Raises `RecordingError`, also for one of more than `limit` bytes.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            head = read_chunk(file, 64)
            if not head.startswith(start) or word not in head:
                return None
            text = head + read_chunk(file, limit + 1)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    if len(text) > limit:
        raise RecordingError(f"{path}: larger than {limit >> 20} MiB")
    return text


def _open_regular(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "not a regular file")


def read_chunk(file: IO[bytes], count: int) -> bytes:
    """Return up to `count` bytes; raise `OSError` for a file that has none yet, as some in /proc."""
    data: bytes | None = file.read(count)
    if data is None:
        raise OSError(0, "not a file with an end")
    return data


def _member(file: BinaryIO, name: str) -> bytes | None:
    """Return the contents of the member `name` in any folder of an archive; None if it is not an archive.

    Raises `ValueError` for an archive that is damaged, too large, or has no such member.
    """
    # Takes 6 ms to import, and only recordings that are read need it.
    import tarfile

    # RecursionError: tarfile reads a header of long names, and what follows it, in one more call.
    damaged = (tarfile.TarError, OSError, EOFError, zlib.error, RecursionError)
    unpacked = cast("IO[bytes]", _Unpacked(file))
    archive: tarfile.TarFile | None = None
    try:
        archive = tarfile.open(fileobj=unpacked, mode="r|")  # noqa: SIM115
        for number, member in enumerate(archive):
            if number == MAX_MEMBERS:
                raise ValueError(f"an archive of more than {MAX_MEMBERS} files")
            if member.size > MAX_UNPACKED:
                raise _too_large()
            is_file = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
            if is_file and member.name.rpartition("/")[2] == name:
                content = archive.extractfile(member)
                return content.read() if content else b""
    except damaged as error:
        if archive is None and not isinstance(error, RecursionError):
            return None
        raise ValueError("the archive is damaged or cut off") from None
    raise ValueError(f"the archive has no {name}, or is damaged before it")


def _too_large() -> ValueError:
    return ValueError(f"an archive that unpacks to more than {MAX_UNPACKED >> 20} MiB")


class _Unpacked:
    """The bytes of a file, unpacked if it is gzip; reading more than `MAX_UNPACKED` raises `ValueError`."""

    def __init__(self, file: BinaryIO) -> None:
        packed = read_chunk(file, 2) == b"\x1f\x8b"
        file.seek(0)
        self._file = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if packed else file)
        self._left = MAX_UNPACKED

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes."""
        data = read_chunk(self._file, count)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large()
        return data
