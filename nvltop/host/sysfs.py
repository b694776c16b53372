"""Reading files of the kernel; each result is a value or the reason why it is missing.

In containers, the host's files are often mounted elsewhere. `HOST_SYS` and `HOST_PROC` give the
directories, as with other monitors (`-v /sys:/host/sys:ro -e HOST_SYS=/host/sys`).
"""

from __future__ import annotations

import errno
import os
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
    raw = _read(path)
    return raw if isinstance(raw, Missing) else clean(raw.decode(errors="replace").strip())


def _read(path: str | Path) -> Maybe[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(fd, MAX_BYTES)
        finally:
            os.close(fd)
    except OSError as error:
        return _REASONS.get(error.errno or 0) or Missing(clean(os.strerror(error.errno or 0).lower()))


def read_count(path: str | Path) -> Maybe[int]:
    """Return the count in a file."""
    raw = _read(path)
    if isinstance(raw, Missing):
        return raw
    digits = raw.strip()
    if not (digits.isdigit() and len(digits) <= MAX_DIGITS):
        return NOT_SUPPORTED if digits.startswith(b"N/A") else NOT_A_NUMBER
    return int(digits)


def list_names(path: str | Path) -> list[str]:
    """Return the sorted names in a directory; an empty list if it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
