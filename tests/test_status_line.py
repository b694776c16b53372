"""The progress line: on stderr if it is a terminal, cleared at the end, and never on stdout."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from types import SimpleNamespace

import pyte
import pytest

from nvltop.config.settings import Settings
from nvltop.headless import session, status_line
from nvltop.headless.print import ReportPrinter, print_reports
from nvltop.headless.replay import replay
from nvltop.headless.status_line import StatusLine
from nvltop.model import Call, Item, Tick
from nvltop.record.writer import RecordingWriter
from nvltop.report.formats import TEXT
from nvltop.report.startup import startup_progress

SLOW = ("--demo", "rubin", "--scenario", "slow-driver")
"""A node whose first reading takes a few seconds, spread over all calls."""


@pytest.fixture
def written(monkeypatch):
    """Texts written to a stderr that is a terminal."""
    written: list[str] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            raise OSError

        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None:
            pass

    monkeypatch.setattr(status_line, "sys", SimpleNamespace(stderr=Terminal()))
    return written


def on_terminal(*arguments: str) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """Run nvltop with stderr on a terminal and stdout in a pipe; return the output of both."""
    master, slave = pty.openpty()
    try:
        run = subprocess.run(
            [sys.executable, "-m", "nvltop", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, timeout=60, check=False,
        )  # fmt: skip
        # An end mark, so that reading does not block if nothing was written.
        os.write(slave, b"END")
        got = b""
        while not got.endswith(b"END"):
            got += os.read(master, 1 << 16)
    finally:
        os.close(slave)
        os.close(master)
    return run, got


def left_over(written: bytes) -> str:
    """Return the text that a terminal shows after this output."""
    screen = pyte.Screen(80, 5)
    pyte.ByteStream(screen).feed(written)
    return "\n".join(screen.display).strip()


def test_a_slow_start_and_a_check_show_progress_and_clear_it():
    run, written = on_terminal(*SLOW, "--check", "--for", "3")
    assert run.returncode == 0
    assert run.stdout.startswith(b"NVLINK OK - 8 GPUs")
    assert run.stdout.count(b"\n") == 1
    assert re.search(rb"nvltop: GPU \d: nvmlDeviceGetFieldValues for 0\.\ds, \d\.\ds in all", written)
    assert b"nvltop: 2 of 3 s observed" in written
    assert left_over(written) == "END"


def test_no_progress_if_stderr_is_not_a_terminal():
    run = subprocess.run(
        [sys.executable, "-m", "nvltop", *SLOW, "--json", "--interval", "0.2"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.stderr == b""
    assert len(json.loads(run.stdout)["gpus"]) == 8


def test_a_line_overwrites_itself_and_is_cleared(written):
    with StatusLine() as line:
        line.show("a long line of words")
        line.show("a long line of words")
        line.show("short")
    screen = pyte.Screen(80, 3)
    stream = pyte.Stream(screen)
    shown = []
    for text in written:
        stream.feed(text)
        if text:
            shown.append(screen.display[0].strip())
    assert shown == ["nvltop: a long line of words", "nvltop: short", ""]
    assert screen.cursor.x == screen.cursor.y == 0


def test_a_line_is_never_wider_than_the_terminal(written):
    StatusLine().show("x" * 500)
    assert len("".join(written).strip("\r")) < status_line.DEFAULT_COLUMNS


def test_a_hostile_file_name_reaches_no_terminal(written):
    StatusLine().file_progress("\x1b[2J.gz")(1 << 20, 1 << 21)
    assert "\x1b" not in "".join(written)


def test_a_large_recording_shows_progress_and_a_small_one_does_not(
    written, bench, tmp_path, monkeypatch, capsys
):
    b, path = bench("h100-nvl-pair"), tmp_path / "run.nvltop"
    recorder = RecordingWriter(path)
    later = Tick(b.clock.now + 1, 1e9 + 1, 1.0)
    for item in (b.inventory, Tick(b.clock.now, 1e9, 1.0), later):
        recorder.write(item)
    recorder.close()
    replay(str(path), Settings(), ReportPrinter(TEXT))
    assert not written
    monkeypatch.setattr(status_line, "LARGE_FILE_BYTES", 1)
    monkeypatch.setattr("nvltop.record.chunks.CHUNK", 64)
    replay(str(path), Settings(), ReportPrinter(TEXT))
    assert any(re.match(rf"\rnvltop: [1-9]\d? % of {path.parent.parent}", text) for text in written)
    assert capsys.readouterr().out.count("H100 NVL") >= 2
    assert left_over("".join(written).encode()) == ""


def tick(*calls: Call) -> Tick:
    return Tick(100.0, 1e9, 1.0, "starting", calls)


def test_a_slow_start_shows_the_call_it_waits_for():
    first, second = (
        Call("inventory", "nvmlInit_v2", None, 60.0),
        Call("inventory", "nvmlDeviceGetUUID", 3, 97.0),
    )
    assert startup_progress(tick(), 12.0) == "first reading of the node, 12s in all"
    assert startup_progress(tick(first), 45.0) == "driver: nvmlInit_v2 for 40s, 45s in all"
    assert startup_progress(tick(second), 130.0) == "GPU 3: nvmlDeviceGetUUID for 3.0s, 2m in all"


class Starting:
    """A worker whose first reading takes two minutes, a call per second, until one does not return."""

    def __init__(self, clock: list[float], stuck_s: float) -> None:
        self._clock, self._stuck_s = clock, stuck_s
        self._pipe = os.pipe()

    def fileno(self) -> int:
        return self._pipe[0]

    def drain(self) -> list[Item]:
        self._clock[0] += 1.0
        return []

    def set_interval(self, interval_s: float) -> None:
        raise AssertionError("a report keeps its interval")

    def close(self) -> None:
        """Do nothing: the test ends first."""

    def tick(self) -> Tick:
        now_s = self._clock[0]
        call = Call("inventory", "nvmlDeviceGetNvLinkRemotePciInfo", 1, min(now_s - 0.5, self._stuck_s))
        return Tick(now_s, now_s, 1.0, "starting", (call,))


def test_start_up_may_take_long_while_calls_return(written, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(select, "select", lambda *_: ((), (), ()))
    with pytest.raises(session.RunError, match=r"in 61 s: nvmlDeviceGetNvLinkRemotePciInfo has not"):
        print_reports(Starting(clock, stuck_s=1300.0), Settings(), ReportPrinter(TEXT))
    assert clock[0] == pytest.approx(1300.0 + session.CALL_TIMEOUT_S, abs=3.0)
    assert any("GPU 1: nvmlDeviceGetNvLinkRemotePciInfo for 0.5s, 2m in all" in text for text in written)
    assert left_over("".join(written).encode()) == ""
