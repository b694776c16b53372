"""`nvltop --run -- COMMAND`: measure before, while and after a command runs; return its exit code."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from nvltop.config.settings import Settings
from nvltop.headless.session import HeadlessSession, RunError
from nvltop.model import Frame, ItemSource
from nvltop.run_command import json, text
from nvltop.run_command.child import Child, CommandNotRunError
from nvltop.run_command.summary import RunObserver, RunSummary
from nvltop.text import print_message

INTERVAL_S: Final = 0.25
"""Refresh interval unless another one is requested, seconds."""
ERRORS_INTERVAL_S: Final = 1.0
"""Interval of the error counters, seconds: a command must not wait long for the last reading of them."""
BASELINE_WAIT_S: Final = 3.0
"""Seconds that the command waits for the first reading of all GPUs."""
LAST_READING_WAIT_S: Final = 2.5
"""Seconds after the command's end in which the last readings are awaited."""


def run(
    command: Sequence[str], settings: Settings, open_source: Callable[[], ItemSource], as_json: bool
) -> int:
    """Run a command, print on stderr what it did to the links, and return its exit code."""
    with contextlib.ExitStack() as opened:
        session: HeadlessSession | None = None
        problem = ""
        try:
            source = open_source()
            opened.callback(source.close)
            session = HeadlessSession(source, settings, patient=True)
            _read_baseline(session)
        except RunError as error:
            session, problem = None, str(error)
        begun_s = time.monotonic()
        try:
            child = Child(command)
        except CommandNotRunError as error:
            print_message(str(error))
            return error.code
        observer = RunObserver(child.pid)
        if session:
            observer.begin(session.monitor.frame())
            problem = _observe(session, child, observer)
        child.ended.wait()
        end_s = time.monotonic()
        if session and not problem:
            problem = _read_last(session, observer, end_s)
        found = observer.summary(tuple(command), child.exit_code, end_s - begun_s, problem, end_s)
        _print(found, as_json)
        return child.exit_code


def _read_baseline(session: HeadlessSession) -> None:
    """Read every GPU once, so that the traffic of the command is counted from its start."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < BASELINE_WAIT_S:
        session.step()
        frame = session.monitor.frame()
        if frame.gpus and all(_is_read(frame, 0.0)):
            return


def _is_read(frame: Frame, since_s: float) -> list[bool]:
    """Return for each GPU whether link and error counters were read after `since_s` (CLOCK_MONOTONIC)."""
    groups = ("links", "errors")
    return [
        g.state != "ok"
        or not g.links
        or all(frame.tick.mono_s - g.age_s.get(group, float("inf")) >= since_s for group in groups)
        for g in frame.gpus
    ]


def _observe(session: HeadlessSession, child: Child, observer: RunObserver) -> str:
    """Read until the command ends; return why reading ended early, if it did."""
    try:
        while not child.ended.is_set():
            session.step()
            observer.add(session.monitor.frame())
    except RunError as error:
        return str(error)
    return ""


def _read_last(session: HeadlessSession, observer: RunObserver, end_s: float) -> str:
    """Read once more after the end; return why that failed, if it did."""
    try:
        while time.monotonic() - end_s < LAST_READING_WAIT_S:
            session.step()
            frame = session.monitor.frame()
            observer.add(frame)
            if all(_is_read(frame, end_s)):
                break
    except RunError as error:
        return str(error)
    return ""


def _print(found: RunSummary, as_json: bool) -> None:
    """Print on stderr: stdout belongs to the command."""
    words = json.to_json(found) if as_json else text.to_text(found)
    with contextlib.suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)
