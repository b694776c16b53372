"""The picture of the screen alone: its file name, and how it is written."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nvltop.model import Frame, known
from nvltop.snapshot.sections.files import MAX_SAME_SECOND, SnapshotError

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9.-]+")


def picture_names(frame: Frame) -> Iterator[Path]:
    """Yield names in the current folder: `nvltop-HOST-20261121-140211.svg`, then numbered ones."""
    host = frame.inventory.hostname
    named = frame.inventory.demo.split(",")[0] if frame.inventory.demo else host if known(host) else ""
    parts = ("nvltop", _NOT_IN_NAMES.sub("-", named), time.strftime("%Y%m%d-%H%M%S"))
    name = "-".join(filter(None, parts))
    for number in range(1, MAX_SAME_SECOND):
        yield Path(f"{name}-{number}.svg" if number > 1 else f"{name}.svg")


def write_picture(names: Iterator[Path], svg: str) -> Path:
    """Write a picture to the first name that is free, readable only by its owner; return its path.

    Raises `SnapshotError`.
    """
    path = Path()
    for path in names:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise SnapshotError(f"{path}: {error.strerror or error}; no picture was written") from None
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(svg.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise SnapshotError(f"{path}: {error.strerror or error}; the picture is incomplete") from None
        return path
    raise SnapshotError(f"{path}: exists already; a picture replaces no file")
