"""Runs that print reports: `--once`, `--json`, `--csv` and other formats."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from nvltop.analysis.monitor import Monitor
from nvltop.config.settings import Settings
from nvltop.headless.session import HeadlessSession
from nvltop.model import ItemSource
from nvltop.report.formats import Format, RenderOptions
from nvltop.report.startup import SHOW_AFTER_S


class ReportPrinter:
    """Prints reports in one format on stdout."""

    def __init__(
        self, format: Format, times: int | None = None, options: RenderOptions | None = None
    ) -> None:
        """Print `times` reports; None for a single one, which for a recording is of its end."""
        self.times = times
        self.printed = 0
        self._format = format
        self._options = replace(options or RenderOptions(), several=(times or 1) > 1)

    def print(self, monitor: Monitor, only: Sequence[str] | None) -> None:
        """Print the present frame; `only` holds the UUIDs of the GPUs to list."""
        options = replace(self._options, only=only, first=not self.printed)
        print(self._format.render(monitor.frame(), options), flush=True)
        self.printed += 1


def print_reports(
    worker: ItemSource, settings: Settings, printer: ReportPrinter, seconds: float | None = None
) -> None:
    """Print reports an interval apart; the first when rates are known, or after `seconds`."""
    live = HeadlessSession(worker, settings)
    times = printer.times or 1
    last_s: float | None = None
    with live.line:
        if seconds is not None:
            for _ in live.steps_for(seconds):
                pass
            live.line.clear()
            printer.print(live.monitor, live.only)
        while printer.printed < times:
            live.step()
            if not live.pacer.started:
                continue
            now_s = time.monotonic()
            last_s = last_s or now_s
            if live.pacer.due(now_s):
                live.line.clear()
                printer.print(live.monitor, live.only)
                last_s = now_s
            elif now_s - last_s > 2 * SHOW_AFTER_S:
                live.line.show(
                    f"report {printer.printed + 1} of {times}, measuring for {now_s - last_s:.0f} s"
                )
