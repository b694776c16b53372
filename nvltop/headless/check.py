"""The run of `--check`: one line for a monitoring system, and its exit code."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from nvltop.analysis.monitor import Monitor
from nvltop.config.settings import Settings
from nvltop.headless.replay import fold_recording
from nvltop.headless.session import HeadlessSession
from nvltop.headless.status_line import StatusLine
from nvltop.model import ItemSource
from nvltop.report.check import answered_within, to_check

ANSWER_WAIT_S: Final = 7.0
"""Seconds at the end of a check for GPUs to answer once more; after them a finding reports the silence."""


def check(worker: ItemSource, settings: Settings, seconds: float) -> int:
    """Observe the node for `seconds`, print the line, and return its exit code."""
    live = HeadlessSession(worker, settings)
    with live.line:
        for _ in live.steps_for(seconds):
            pass
        # A driver that stopped answering just now has not been silent long enough for a finding yet.
        ends_s = time.monotonic()
        while (late_s := time.monotonic() - ends_s) < ANSWER_WAIT_S:
            live.step()
            if answered_within(live.monitor.frame(), late_s):
                break
    return print_verdict(*to_check(live.monitor.frame(), seconds))


def check_recording(path: str, settings: Settings, seconds: float | None) -> int:
    """Print the line for the end of a recording, or for `seconds` after its start; return its exit code."""
    begun_s: float | None = None
    observed_s = 0.0
    last, line = Monitor(), StatusLine()
    for monitor, _, tick in fold_recording(path, settings, line):
        last, begun_s = monitor, tick.mono_s if begun_s is None else begun_s
        observed_s = tick.mono_s - begun_s
        if seconds is not None and observed_s >= seconds:
            break
    line.clear()
    return print_verdict(*to_check(last.frame(), observed_s))


def print_verdict(text: str, code: int) -> int:
    """Print a verdict and return its code, which is valid even if the text cannot be written.

    An error is reported at exit, when stdout is flushed.
    """
    with contextlib.suppress(OSError):
        print(text)
    return code
