"""`nvltop --compare A B`: read both sides, print what differs, return the exit code."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from nvltop.compare import json, text
from nvltop.comparison.differences import compare
from nvltop.comparison.sides import Side
from nvltop.comparison.source import SourceError, add_rates, read_file, side_of
from nvltop.config.settings import Settings
from nvltop.headless.session import HeadlessSession, RunError
from nvltop.headless.status_line import StatusLine
from nvltop.model import ItemSource
from nvltop.text import print_message

EQUAL: Final = 0
DIFFERENT: Final = 1
USAGE: Final = 2
LIVE: Final = "live"
LIVE_S: Final = 5.0
"""Seconds for which the live side is observed, enough for rates and for rules without a long delay."""


def run(names: list[str], settings: Settings, open_live: Callable[[], ItemSource], as_json: bool) -> int:
    """Compare two sides and return the exit code. Raises `RunError` if a side cannot be read."""
    before = _read(names[0], settings, open_live)
    after = _read(names[1], settings, open_live, before.time_s)
    comparison = compare(before, after)
    # A reader that has seen enough (`| head`) changes nothing about the result.
    with contextlib.suppress(BrokenPipeError):
        print(json.to_json(comparison) if as_json else text.to_text(comparison))
    return DIFFERENT if comparison.matters else EQUAL


def _read(
    name: str, settings: Settings, open_live: Callable[[], ItemSource], after_s: float | None = None
) -> Side:
    if name != LIVE:
        with StatusLine() as line:
            try:
                side = read_file(name, line.file_progress, after_s=after_s)
            except SourceError as error:
                raise RunError(str(error), *([USAGE] if error.usage else ())) from None
        if side.warning:
            print_message(side.warning)
        return side
    with contextlib.closing(open_live()) as worker:
        return read_live(worker, settings)


def read_live(worker: ItemSource, settings: Settings) -> Side:
    """Observe this machine. Raises `RunError` if the driver cannot be used."""
    session = HeadlessSession(worker, settings)
    rates: dict[str, list[float]] = defaultdict(list)
    with session.line:
        for _ in session.steps_for(LIVE_S):
            add_rates(rates, session.monitor.frame())
    return side_of(LIVE, session.monitor.frame(), rates, LIVE_S)
