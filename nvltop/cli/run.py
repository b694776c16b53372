"""One run: opens the source, the exporter and the output, and closes them again."""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import TYPE_CHECKING

from nvltop.allocator import return_freed_memory
from nvltop.cli.exit_codes import FAILED, NO_DRIVER, OK, CommandError, exit_on_signals
from nvltop.cli.options import chosen_format, read_settings, requested_interval
from nvltop.cli.parser import DEFAULT_CHECK_S
from nvltop.cli.streams import stdin_for_data
from nvltop.config.settings import FRAME_INTERVAL_S, Settings
from nvltop.export import flags as metrics
from nvltop.export.address import ServeError
from nvltop.gc_tuning import disable_during_startup
from nvltop.nvml.demo_nodes import DEFAULT_SCENARIO
from nvltop.report.formats import TEXT, RenderOptions
from nvltop.sampler.protocol import ERRORS_S
from nvltop.snapshot import command
from nvltop.text import print_message
from nvltop.tui.asyncio_loader import load_asyncio

if TYPE_CHECKING:
    from nvltop.export.exporter import Exporter
    from nvltop.model import ItemSource
    from nvltop.record.format import RecordingError


def run(options: argparse.Namespace, on_screen: bool) -> int:
    """Run as the options say and return the exit code; raise `CommandError`."""
    settings = read_settings(options, on_screen)
    if on_screen:
        disable_during_startup()
        return_freed_memory()
    with contextlib.ExitStack() as opened:
        if options.record and not on_screen:
            opened.enter_context(exit_on_signals())
        code, source = _run(options, settings, on_screen, opened)
    # Only now is the recording complete, or known to be incomplete. The screen reports its own recordings.
    if not on_screen and (failed := _not_recorded(source)):
        print_message(str(failed))
        return code if code or options.check else FAILED
    return code


def _run(
    options: argparse.Namespace,
    settings: Settings,
    on_screen: bool,
    opened: contextlib.ExitStack,
) -> tuple[int, ItemSource | None]:
    """Run and return the exit code and the source; everything to be closed is added to `opened`."""
    # The worker is started before other imports: it starts up while the modules of the screen load.
    from nvltop.record.format import RecordingError

    try:
        exporter = metrics.start(options)
        begun_s = time.monotonic()
        if exporter:
            opened.callback(exporter.close)
        source = _source(options, settings, on_screen)
        if source:
            opened.callback(source.close)
        if exporter:
            print_message(f"metrics on {exporter.url}")
        if on_screen:
            load_asyncio()
            from nvltop.tui.shell.run import run as show_screen

            assert source is not None
            outcome = show_screen(source, settings, exporter.show if exporter else None, begun_s)
            for line in outcome.message.splitlines():
                print_message(line)
            return int(outcome.code), source
        return _run_headless(options, settings, source, exporter), source
    except (RecordingError, ServeError) as error:
        raise CommandError(str(error), FAILED) from None


def _not_recorded(source: ItemSource | None) -> RecordingError | None:
    """Return why the end of the recording is missing; None if it is complete."""
    from nvltop.record.recording_source import RecordingSource

    return source.error if isinstance(source, RecordingSource) else None


def _run_headless(
    options: argparse.Namespace, settings: Settings, source: ItemSource | None, exporter: Exporter | None
) -> int:
    """Run without a screen; `source` is None for a recording."""
    from nvltop.headless.session import RunError

    try:
        if exporter and source:
            return _serve(options, settings, source, exporter)
        if options.record == "-":
            from nvltop.headless.record import record_stream
            from nvltop.record.recording_source import RecordingSource

            assert isinstance(source, RecordingSource)
            record_stream(source, settings, options.max_iterations)
            return OK
        if options.check:
            from nvltop.headless.check import check, check_recording

            if source:
                return check(source, settings, options.seconds or DEFAULT_CHECK_S)
            return check_recording(
                options.replay,
                settings,
                options.seconds or (DEFAULT_CHECK_S if options.replay == "-" else None),
            )
        if options.snapshot is not None or options.picture:
            return command.run(options, settings, source, options.seconds or DEFAULT_CHECK_S)
        from nvltop.headless.print import ReportPrinter, print_reports

        rendered = RenderOptions(estimate=options.estimate, ascii_only=options.ascii, verbose=options.verbose)
        printer = ReportPrinter(chosen_format(options) or TEXT, options.max_iterations, rendered)
        if source:
            print_reports(source, settings, printer, options.seconds)
        else:
            from nvltop.headless.replay import replay

            replay(options.replay, settings, printer, options.seconds, (options.begin, options.end))
    except RunError as failed:
        raise CommandError(str(failed), failed.code) from None
    return OK


def _serve(options: argparse.Namespace, settings: Settings, source: ItemSource, exporter: Exporter) -> int:
    from nvltop.headless.serve import serve

    observer = None
    if settings.snapshot_on_critical:
        from nvltop.snapshot.auto import AutoSnapshot

        observer = AutoSnapshot(settings)
    serve(source, settings, exporter.show, observer, adapt=not requested_interval(options))
    return OK


def _source(options: argparse.Namespace, settings: Settings, on_screen: bool) -> ItemSource | None:
    """Open the source of the items; None for a recording that is folded without a clock."""
    if options.replay is not None:
        if not on_screen:
            return None
        if options.replay == "-":
            from nvltop.record.stream_source import StreamSource

            return StreamSource(stdin_for_data())
        from nvltop.headless.status_line import StatusLine
        from nvltop.record.replay import ReplaySource

        with StatusLine() as line:
            return ReplaySource(options.replay, line.file_progress(options.replay))
    return open_live(options, settings, frame_s=FRAME_INTERVAL_S if on_screen else 0.0)


def open_live(
    options: argparse.Namespace, settings: Settings, errors_s: float = ERRORS_S, frame_s: float = 0.0
) -> ItemSource:
    """Start to read this machine, or the simulated one, and to record it if requested.

    `errors_s` is the interval of the error counters in seconds, `frame_s` that of a screen's frames (0:
    no screen). Raises `CommandError` and `RecordingError`.
    """
    from nvltop.sampler.client import Worker, WorkerError

    try:
        worker = Worker(settings.interval_s, demo_of(options), errors_s, frame_s)
    except WorkerError as error:
        raise CommandError(str(error), NO_DRIVER) from None
    if options.record is None:
        return worker
    from nvltop.record.format import RecordingError
    from nvltop.record.recording_source import RecordingSource
    from nvltop.record.redact import Unredacted
    from nvltop.record.writer import RecordingWriter

    try:
        redact = Unredacted() if options.no_redact else None
        return RecordingSource(worker, RecordingWriter(options.record, options.record_max, redact))
    except RecordingError:
        worker.close()
        raise


def demo_of(options: argparse.Namespace) -> tuple[str, str] | None:
    """Return the simulated node and its scenario; None without `--demo`."""
    return (options.demo, options.scenario or DEFAULT_SCENARIO) if options.demo else None
