"""What is left behind when nvltop itself fails: a short report in a file, without names of host or user."""

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
from nvltop.home import home
from nvltop.host.versions import versions
from nvltop.text import clean, print_message

MAX_REPORT_CHARS: Final = 20_000


def crash_report(error: BaseException) -> str:
    """Return the report: versions and where it failed; no values, no arguments, no paths of this machine."""
    lines = [f"nvltop {__version__} failed on {time.strftime('%Y-%m-%d %H:%M:%S')}", ""]
    lines += [f"{name} {version}" for name, version in versions().items()]
    lines.append("")
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(f"  {_short(frame.filename)}:{frame.lineno} in {frame.name}")
        lines.append(f"    {frame.line}")
    # What the error says may hold anything; its kind and the place tell what is needed.
    lines.append(type(error).__name__)
    return "\n".join(lines)[:MAX_REPORT_CHARS] + "\n"


def _short(path: str) -> str:
    """Return a file's path from its package on."""
    parts = Path(path).parts
    for root in ("site-packages", "nvltop"):
        if root in parts:
            place = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[place + (root == "site-packages") :])
    return parts[-1] if parts else path


def report_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield where a report may go: the user's state folder (XDG), else the one for temporary files."""
    root = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(root):
        yield Path(root) / "nvltop"
    elif at := home(environ):
        yield at / ".local" / "state" / "nvltop"
    with contextlib.suppress(OSError):  # none can be written
        yield Path(tempfile.gettempdir())


def write_report(error: BaseException) -> str:
    """Write the report, readable by its owner alone; returns one line for the user."""
    text = crash_report(error)
    what = f"nvltop failed ({type(error).__name__})"
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
        return (
            f"{what}; a report for the bug tracker, without names of host or user, is in {clean(str(path))}"
        )
    return f"{what}; no report could be written:\n{text}"


def report_crash(error: BaseException) -> None:
    """Write the report and say where it is."""
    for line in write_report(error).splitlines():
        print_message(line)
