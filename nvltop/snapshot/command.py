"""The flags of snapshots, and the run of `--snapshot`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nvltop.config.settings import Settings
from nvltop.text import clean, print_message

if TYPE_CHECKING:
    from nvltop.model import ItemSource


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


def run(options: argparse.Namespace, settings: Settings, source: ItemSource | None, seconds: float) -> int:
    """Write a snapshot of `source`, or of the recording if it is None; print its path.

    Returns the exit code. Raises `RunError` for a recording that cannot be read and a snapshot that cannot
    be written.
    """
    from nvltop.headless.session import RunError
    from nvltop.snapshot.bundle import redactor, snapshot_files
    from nvltop.snapshot.observe import Observation, observe, observe_recording
    from nvltop.snapshot.sections.files import SnapshotError

    redact = redactor(settings.full)
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
    # Imported late, because the worker is not read during the import.
    from nvltop.tui.offscreen import draw

    made = snapshot_files(
        seen.monitor.frame(),
        seen.history,
        seen.ring,
        draw(seen.monitor, seen.history, seen.ring.redact, settings),
        "requested with --snapshot",
        replayed=source is None,
    )
    try:
        path = str(made.save(Path(options.snapshot)))
    except SnapshotError as error:
        raise RunError(str(error)) from None
    # A program that reads the path needs it unchanged.
    print(clean(path) if sys.stdout.isatty() else path)
    if seen.problem is None:
        return 0
    print_message(str(seen.problem))
    # A hung driver is the subject of the snapshot, so this is a success; a missing driver is an error.
    return seen.problem.code if seen.problem.code > 1 else 0
