"""Crash reports: a short text in a file, without the names of host and user."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from nvltop import __version__
from nvltop.home import xdg_folder
from nvltop.host.versions import versions
from nvltop.text import clean, print_message

MAX_REPORT_CHARS: Final = 20_000


def crash_report(error: BaseException) -> str:
    """Return a report: versions and the traceback, without values, arguments and paths of this machine."""
    lines = [f"nvltop {__version__} failed on {time.strftime('%Y-%m-%d %H:%M:%S')}", ""]
    lines += [f"{name} {version}" for name, version in versions().items()]
    lines.append("")
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(f"  {_short(frame.filename)}:{frame.lineno} in {frame.name}")
        lines.append(f"    {frame.line}")
    # The message of the error could contain anything; its type and traceback are enough.
    lines.append(type(error).__name__)
    return "\n".join(lines)[:MAX_REPORT_CHARS] + "\n"


def _short(path: str) -> str:
    """Return the path of a file relative to the folder of its package."""
    parts = Path(path).parts
    for root in ("site-packages", "nvltop"):
        if root in parts:
            place = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[place + (root == "site-packages") :])
    return parts[-1] if parts else path


def report_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders to try: the user's state folder (XDG), then the one for temporary files."""
    if folder := xdg_folder(environ, "XDG_STATE_HOME", ".local/state"):
        yield folder
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir())


def write_report(error: BaseException) -> str:
    """Write a report that only its owner can read, and return one line for the user."""
    text = crash_report(error)
    failure = f"nvltop failed ({type(error).__name__})"
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for place in report_folders(os.environ):
        path = place / name
        try:
            place.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError:
            continue
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        where = clean(str(path))
        return f"{failure}; a report for the bug tracker, without names of host or user, is in {where}"
    return f"{failure}; no report could be written:\n{text}"


def report_crash(error: BaseException) -> None:
    """Write a report and print its path."""
    for line in write_report(error).splitlines():
        print_message(line)
