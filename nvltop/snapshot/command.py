"""The flags of snapshots and pictures, and the run of `--snapshot` and `--picture`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nvltop.config.settings import Settings
from nvltop.text import clean, print_message

if TYPE_CHECKING:
    from nvltop.model import ItemSource
    from nvltop.snapshot.observe import Observation

MIN_SIZE, MAX_SIZE = 10, 500
"""Fewest and most columns or lines of a picture."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of snapshots to a parser."""
    group = parser.add_argument_group("snapshots for bug reports (redacted; on the live screen: F8)")
    group.add_argument(
        "--snapshot",
        nargs="?",
        const=".",
        metavar="PATH",
        help="write report, values, screen and recording to a new folder (or .tar.gz archive)",
    )
    group.add_argument(
        "--full", action="store_true", help="keep the arguments of processes, with secrets removed"
    )
    group.add_argument(
        "--snapshot-on-critical",
        action="store_true",
        help="write a snapshot when a rule becomes critical (screen and --serve; at most hourly per rule)",
    )

    group.add_argument(
        "--picture", metavar="FILE", help="write only a picture of the screen (SVG, redacted) to a new FILE"
    )
    group.add_argument(
        "--size", type=_size, metavar="WxH", help="columns and lines of the picture (default: the terminal's)"
    )


def _size(text: str) -> tuple[int, int]:
    """Return columns and lines of `120x36`."""
    match = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(size) < MIN_SIZE or max(size) > MAX_SIZE:
        raise argparse.ArgumentTypeError(
            f"invalid size {text!r} (expected e.g. 120x36, each from {MIN_SIZE} to {MAX_SIZE})"
        )
    return size


def run(options: argparse.Namespace, settings: Settings, source: ItemSource | None, seconds: float) -> int:
    """Write a snapshot or picture of `source`, or of the recording if it is None; print its path.

    Returns the exit code. Raises `RunError` for a recording that cannot be read, and for files that cannot be
    written.
    """
    from nvltop.headless.session import RunError
    from nvltop.record.redact import Unredacted
    from nvltop.snapshot.bundle import redactor
    from nvltop.snapshot.observe import observe, observe_recording
    from nvltop.snapshot.sections.files import SnapshotError

    redact = Unredacted() if options.no_redact else redactor(settings.full)
    seen: Observation
    if source is None:
        seen = observe_recording(
            options.replay,
            settings,
            seconds if options.replay == "-" else options.seconds,
            redact,
            (options.begin, options.end),
        )
    else:
        seen = observe(source, settings, seconds, redact)
    write = _write_snapshot if options.snapshot is not None else _write_picture
    try:
        path = str(write(options, settings, seen))
    except SnapshotError as error:
        raise RunError(str(error)) from None
    # A program that reads the path needs it unchanged.
    print(clean(path) if sys.stdout.isatty() else path)
    if seen.problem is None:
        return 0
    print_message(str(seen.problem))
    # A hung driver is the subject of the snapshot, so this is a success; a missing driver is an error.
    return seen.problem.code if seen.problem.code > 1 else 0


def _write_snapshot(options: argparse.Namespace, settings: Settings, seen: Observation) -> Path:
    from nvltop.snapshot.bundle import snapshot_files

    # Imported late, because the worker is not read during the import.
    from nvltop.tui.offscreen import draw

    made = snapshot_files(
        seen.monitor.frame(),
        seen.history,
        seen.ring,
        draw(seen.monitor, seen.history, seen.ring.redact, settings),
        "requested with --snapshot",
        replayed=options.replay is not None,
    )
    return made.save(Path(options.snapshot))


def _write_picture(options: argparse.Namespace, settings: Settings, seen: Observation) -> Path:
    from nvltop.snapshot.picture import write_picture
    from nvltop.tui.offscreen import draw

    size = options.size
    if size is None and sys.stdout.isatty():
        size = tuple(os.get_terminal_size(sys.stdout.fileno()))
    svg = draw(seen.monitor, seen.history, seen.ring.redact, settings, size)
    return write_picture(iter([Path(options.picture)]), svg)
