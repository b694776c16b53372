"""Writes the files of a snapshot to a folder or a `.tar.gz`, atomically and readable only by the owner."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

ARCHIVES: Final = (".tar.gz", ".tgz")
EXISTS_MESSAGE: Final = "exists already; a snapshot replaces no file"
MAX_SAME_SECOND: Final = 1000
"""Most snapshots in one folder with the same name, which is of a second."""
_NAME_TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})


class SnapshotError(Exception):
    """An error writing a snapshot; the message is one line for the user."""


def snapshot_name(wall_s: float) -> str:
    """Return the name of a snapshot: `nvltop-snapshot-20261121-140211`."""
    return time.strftime("nvltop-snapshot-%Y%m%d-%H%M%S", time.localtime(wall_s))


def save(path: Path, files: Mapping[str, bytes], wall_s: float) -> Path:
    """Write the files to a new folder or archive, or inside an existing folder; return its path.

    The files are written under a temporary name, which is then changed. Raises `SnapshotError`.
    """
    archive = path.name.endswith(ARCHIVES)
    inside = os.path.isdir(path)
    name = snapshot_name(wall_s)
    folder = path if inside else path.parent
    numbered = (folder / f"{name}{f'-{n}' if n > 1 else ''}" for n in range(1, MAX_SAME_SECOND))
    names = numbered if inside else iter((path,))
    try:
        if archive and not inside:
            return _archive(folder, names, name, files, wall_s)
        return _folder(folder, names, files)
    except OSError as error:
        raise SnapshotError(
            f"{_absolute(path)}: {error.strerror or error}; no snapshot was written"
        ) from None


def _absolute(path: Path) -> Path:
    with contextlib.suppress(OSError):  # the current folder was removed
        return path.absolute()
    return path


def _folder(parent: Path, names: Iterator[Path], files: Mapping[str, bytes]) -> Path:
    begun = Path(tempfile.mkdtemp(prefix=".nvltop-", dir=parent))
    try:
        for name, content in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            _write_all(os.open(begun / name, flags, 0o600), content)
        return _rename_to_free(names, lambda to: os.rename(begun, to))
    except BaseException:  # whatever the error, no temporary file is left behind
        shutil.rmtree(begun, ignore_errors=True)
        raise


def _archive(
    parent: Path, names: Iterator[Path], root: str, files: Mapping[str, bytes], wall_s: float
) -> Path:
    packed = to_archive(root, files, wall_s)
    fd, begun = tempfile.mkstemp(prefix=".nvltop-", dir=parent)
    try:
        _write_all(fd, packed)
        return _rename_to_free(names, lambda to: _rename_file(begun, to))
    except BaseException:  # whatever the error, no temporary file is left behind
        with contextlib.suppress(OSError):
            os.unlink(begun)
        raise


def _rename_file(begun: str, to: Path) -> None:
    """Rename a file, unless another file has the name."""
    try:
        os.link(begun, to)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links; the name was free a moment ago.
        os.rename(begun, to)
    else:
        os.unlink(begun)


def to_archive(root: str, files: Mapping[str, bytes], wall_s: float) -> bytes:
    """Return a `.tar.gz` with the files in a folder `root`, without the names of owner and machine."""
    # Imported here, because it takes a megabyte of memory.
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{root}/{name}")
            info.size, info.mode, info.mtime = len(content), 0o600, int(wall_s)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def _write_all(fd: int, content: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        # A full disk may report its error only now.
        os.fsync(file.fileno())


def _rename_to_free(names: Iterator[Path], rename: Callable[[Path], None]) -> Path:
    """Rename to the first of these names that is free."""
    for name in names:
        if os.path.lexists(name):
            continue
        try:
            rename(name)
        except OSError as error:
            # Another snapshot has just taken the name.
            if error.errno in _NAME_TAKEN:
                continue
            raise
        return name
    raise OSError(0, EXISTS_MESSAGE)
