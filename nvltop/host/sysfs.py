"""Reading files of the kernel; each result is a value or the reason why it is missing.

In containers, the host's files are often mounted elsewhere. `HOST_SYS` and `HOST_PROC` give the
directories, as with other monitors (`-v /sys:/host/sys:ro -e HOST_SYS=/host/sys`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from nvltop.model import NOT_SUPPORTED, Maybe, Missing
from nvltop.text import clean

MAX_BYTES: Final = 4096
"""Size of the largest file in sysfs."""
MAX_DIGITS: Final = 20
"""Number of digits of a 64-bit count."""
NO_PERMISSION: Final = Missing("no permission")
NOT_THERE: Final = Missing("not there")
DEVICE_GONE: Final = Missing("the device is gone")
NOT_A_NUMBER: Final = Missing("the file does not contain a number")
_REASONS: Final = {
    errno.EACCES: NO_PERMISSION,
    errno.EPERM: NO_PERMISSION,
    errno.ENOENT: NOT_THERE,
    errno.ENOTDIR: NOT_THERE,
    errno.ENODEV: DEVICE_GONE,
    errno.EINVAL: NOT_SUPPORTED,
    errno.EOPNOTSUPP: NOT_SUPPORTED,
}


def sys_root() -> Path:
    """Return the directory of sysfs."""
    return Path(os.environ.get("HOST_SYS") or "/sys")


def proc_root() -> Path:
    """Return the directory of procfs."""
    return Path(os.environ.get("HOST_PROC") or "/proc")


def read_text(path: str | Path) -> Maybe[str]:
    """Return the text of a file without surrounding white space."""
    return _text(_read(path))


def read_count(path: str | Path) -> Maybe[int]:
    """Return the count in a file."""
    return _count(_read(path))


def _text(raw: Maybe[bytes]) -> Maybe[str]:
    return raw if isinstance(raw, Missing) else clean(raw.decode(errors="replace").strip())


def _count(raw: Maybe[bytes]) -> Maybe[int]:
    if isinstance(raw, Missing):
        return raw
    digits = raw.strip()
    if not (digits.isdigit() and len(digits) <= MAX_DIGITS):
        return NOT_SUPPORTED if digits.startswith(b"N/A") else NOT_A_NUMBER
    return int(digits)


def _read(path: str | Path, keep: Callable[[int], None] = os.close) -> Maybe[bytes]:
    """Read a file; then call `keep` with its descriptor if the kernel makes its content at each read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        end: Callable[[int], None] = os.close
        try:
            raw = os.read(fd, MAX_BYTES)
            # The content of any other file has the file's size.
            if keep is not os.close and os.fstat(fd).st_size != len(raw):
                end = keep
            return raw
        finally:
            end(fd)
    except OSError as error:
        return _REASONS.get(error.errno or 0) or Missing(clean(os.strerror(error.errno or 0).lower()))


class KeptFiles:
    """The files of a device's folder, which stay open: opening takes eight times as long as reading."""

    def __init__(self, folder: str, keeps: bool = True) -> None:
        """Open files when they are first read; without `keeps`, at each reading."""
        self._folder = folder
        self._keeps = keeps
        self._device: tuple[int, int] | None = None
        """What the folder was when the files were opened: its file system and inode."""
        self._open: dict[str, int] = {}

    def begin(self) -> None:
        """Begin a reading: close the files if the device is gone, or another one has its name now."""
        try:
            found = os.stat(self._folder)
            device = found.st_dev, found.st_ino
        except OSError:
            device = None
        if device != self._device:
            self.close()
            self._device = device

    def close(self) -> None:
        """Close the files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def read_text(self, name: str) -> Maybe[str]:
        """Return the text of a file without surrounding white space."""
        return _text(self._read(name))

    def read_count(self, name: str) -> Maybe[int]:
        """Return the count in a file."""
        return _count(self._read(name))

    def _read(self, name: str) -> Maybe[bytes]:
        if name in self._open:
            try:
                return os.pread(self._open[name], MAX_BYTES, 0)
            except OSError:
                # The device may have been removed since `begin`; its name says what is there now.
                os.close(self._open.pop(name))
        keep = partial(self._open.__setitem__, name) if self._keeps else os.close
        return _read(f"{self._folder}/{name}", keep)


def list_names(path: str | Path) -> list[str]:
    """Return the sorted names in a directory; an empty list if it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
