"""One run of the application on a terminal, with the checks before it and the messages after it."""

from __future__ import annotations

import select
import time
from typing import Final

from nvltop.config.settings import Settings
from nvltop.crash import write_report
from nvltop.model import Inventory, Item, ItemSource, Show
from nvltop.tui.shell import terminal
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.lifecycle import ExitStatus, early_exit

FIRST_ITEMS_TIMEOUT_S: Final = 0.5
"""Time after the start of the source until the screen is shown even without an inventory, seconds."""
POLL_INTERVAL_S: Final = 0.01


def run(source: ItemSource, settings: Settings, show: Show | None = None, begun_s: float = 0.0) -> ExitStatus:
    """Run the application until the user leaves; call `show` with each frame.

    `begun_s` is the time at which the source was started (CLOCK_MONOTONIC). Problems that end the run, such
    as a missing driver, are usually found before the terminal is touched.
    """
    problem = terminal.why_unusable()
    if problem:
        return ExitStatus(1, problem)
    terminal.ignore_size_variables()
    terminal.draw_on_terminal()
    terminal.ensure_size()
    arrived = first_items(source, begun_s + FIRST_ITEMS_TIMEOUT_S)
    for item in arrived:
        if isinstance(item, Inventory) and (status := early_exit(item, settings.only)):
            return status
    app = Nvltop(source, settings, show, first_items=arrived)
    app.run_on_terminal(settings.mouse)
    status = ExitStatus(1, write_report(app.crashed)) if app.crashed else app.exit_status
    words, failed = app.finish_files()
    return ExitStatus(status.code or int(failed), "\n".join(filter(None, (status.message, words))))


def first_items(source: ItemSource, end_s: float) -> list[Item]:
    """Return the items of a source up to its first inventory, or until `end_s` (CLOCK_MONOTONIC)."""
    items = source.drain()
    while source.fileno() >= 0 and not any(isinstance(item, Inventory) for item in items):
        left_s = end_s - time.monotonic()
        if left_s <= 0 or not select.select([source.fileno()], [], [], left_s)[0]:
            break
        if not (more := source.drain()):
            # Part of a line has arrived, or the pipe was closed; it stays readable.
            time.sleep(POLL_INTERVAL_S)
        items += more
    return items
