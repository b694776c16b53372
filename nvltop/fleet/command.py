"""Reports of many nodes without a screen: `--prometheus URL` with `--once` or `--json`."""

from __future__ import annotations

import time

from nvltop.fleet import json, text
from nvltop.fleet.engine import FleetEngine
from nvltop.fleet.source import Source
from nvltop.frozen import frozen


@frozen
class ReportOptions:
    """Which reports to print."""

    as_json: bool
    reports: int
    interval_s: float
    ascii_only: bool = False


def print_reports(source: Source, options: ReportOptions) -> None:
    """Print reports; raise `FleetError` if the source cannot be asked."""
    engine = FleetEngine(source)
    due_s = time.monotonic()
    for i in range(options.reports):
        if i:
            due_s += options.interval_s
            time.sleep(max(0.0, due_s - time.monotonic()))
        view = engine.refresh()
        several = options.reports > 1
        if options.as_json:
            print(json.render(view, several, options.ascii_only), flush=True)
        else:
            print(text.render(view) + ("\n" if several else ""), flush=True)
