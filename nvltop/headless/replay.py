"""Recordings without a screen: fold one, and print reports of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.config.settings import Settings
from nvltop.headless.print import ReportPrinter
from nvltop.headless.session import RunError, selected_gpus
from nvltop.headless.status_line import StatusLine
from nvltop.model import Inventory, Item, Tick, time_of
from nvltop.record.cut import find_cut
from nvltop.record.format import RecordingError
from nvltop.record.positions import Position
from nvltop.record.reader import STDIN, open_recording
from nvltop.sampler.schedule import Periodic
from nvltop.text import print_message

Part = tuple[Position | None, Position | None]
"""The values of `--from` and `--to`."""
NO_PART: Final[Part] = (None, None)


def replay(
    path: str,
    settings: Settings,
    printer: ReportPrinter,
    seconds: float | None = None,
    part: Part = NO_PART,
) -> None:
    """Print the first `printer.times` frames of a recording an interval apart, or else its last frame.

    With `seconds`, the recording is read up to that time after its start. Of a stream, which may have no end,
    one frame is printed unless `printer.times` says more.
    """
    times = printer.times or (1 if path == STDIN else None)
    last: tuple[Monitor, list[str] | None] | None = None
    line = StatusLine()
    due: Periodic | None = None
    end_s: float | None = None
    for monitor, only, tick in fold_recording(path, settings, line, part=part):
        last = monitor, only
        if due is None:
            due = Periodic(settings.interval_s, tick.mono_s + settings.interval_s)
            end_s = None if seconds is None else tick.mono_s + seconds
        if end_s is not None and tick.mono_s >= end_s:
            break
        if times and printer.printed < times and due.due(tick.mono_s):
            line.clear()
            printer.print(monitor, only)
            if path == STDIN and printer.printed == times:
                return
    if last and (not times or (path == STDIN and not printer.printed)):
        printer.print(*last)


def fold_recording(
    path: str,
    settings: Settings,
    line: StatusLine,
    on_item: Callable[[Item], None] | None = None,
    part: Part = NO_PART,
) -> Iterator[tuple[Monitor, list[str] | None, Tick]]:
    """Fold a recording, or a part of it, yielding at each of its ticks, at least once.

    Shows the progress on `line`, and calls `on_item` with every item. Raises `RunError`.
    """
    monitor = Monitor()
    only: list[str] | None = None
    ticked = False
    try:
        cut = find_cut(path, *part) if any(part) else None
        offset = cut.offset if cut else 0
        with line, open_recording(path, line.file_progress(path), offset) as recording:
            for item in recording:
                if cut and time_of(item) > cut.to_s:
                    break
                monitor.update(item)
                if on_item:
                    on_item(item)
                if isinstance(item, Inventory) and not item.problem:
                    only = selected_gpus(item, settings)
                if isinstance(item, Tick) and (not cut or item.mono_s >= cut.from_s):
                    ticked = True
                    yield monitor, only, item
        if recording.warning:
            print_message(recording.warning)
    except RecordingError as error:
        raise RunError(str(error)) from None
    if not ticked and any(part):
        raise RunError(f"{path}: there is no data between --from and --to")
    if not ticked:
        raise RunError(f"{path}: the recording ends before its first second")
