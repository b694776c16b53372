"""`--snapshot`: a snapshot without a screen."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nvltop.config.settings import Settings
from nvltop.text import clean, print_message

if TYPE_CHECKING:
    from nvltop.record.recorded import Source


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Describe the flags of snapshots."""
    group = parser.add_argument_group("snapshots for bug reports (redacted; in the live screen: F8)")
    group.add_argument(
        "--snapshot",
        nargs="?",
        const=".",
        metavar="PATH",
        help="write report, values, picture and recording into a new folder (.tar.gz: an archive)",
    )
    group.add_argument("--full", action="store_true", help="keep process arguments, with secrets removed")
    group.add_argument(
        "--snapshot-on-critical",
        action="store_true",
        help="screen and --serve: write one of what is critical, at most one an hour a rule",
    )


def run(options: argparse.Namespace, settings: Settings, source: Source | None, seconds: float) -> int:
    """Write a snapshot of what `source` (None: the recording) shows, and print where it is.

    Returns the exit code; raises `RunError` for a recording that cannot be read, and for a disk that
    takes nothing.
    """
    from nvltop.headless.session import RunError
    from nvltop.snapshot.bundle import redactor, snapshot_files
    from nvltop.snapshot.observe import Observation, observe, observe_recording
    from nvltop.snapshot.sections.files import SnapshotError

    redact = redactor(settings.full)
    seen: Observation
    if source is None:
        seen = observe_recording(options.replay, settings, options.seconds, redact)
    else:
        seen = observe(source, settings, seconds, redact)
    # Only now: while it is loaded, nothing is read.
    from nvltop.tui.offscreen import draw

    made = snapshot_files(
        seen.monitor.frame(),
        seen.history,
        seen.ring,
        draw(seen.monitor, seen.history, seen.ring.redact, settings),
        "--snapshot asked for it",
        replayed=source is None,
    )
    try:
        path = str(made.save(Path(options.snapshot)))
    except SnapshotError as error:
        raise RunError(str(error)) from None
    # A program that reads it needs the name as it is.
    print(clean(path) if sys.stdout.isatty() else path)
    if seen.problem is None:
        return 0
    print_message(str(seen.problem))
    # A driver that does not answer is what the snapshot is of; none at all is told as ever.
    return seen.problem.code if seen.problem.code > 1 else 0
