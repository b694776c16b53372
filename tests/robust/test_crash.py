"""Crash reports of nvltop."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nvltop import crash


def failing():
    secret = "hunter2"
    raise ValueError(f"password {secret} of user@{os.uname().nodename}")


def raised() -> BaseException:
    try:
        failing()
    except ValueError as error:
        return error
    raise AssertionError


def test_the_report_has_the_location_but_no_values(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    line = crash.write_report(raised())
    [path] = (tmp_path / "nvltop").iterdir()
    assert str(path) in line
    assert "\n" not in line
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "test_crash.py" in text
    assert "in failing" in text
    assert "ValueError" in text
    assert "textual " in text
    for private in ("hunter2\n", os.uname().nodename, str(Path(__file__).parent), str(Path.home()) + "/"):
        assert private not in text


def test_a_report_that_cannot_be_written_is_printed(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(blocked))
    assert "no report could be written" in crash.write_report(raised())


def test_a_report_without_a_screen_ends_in_one_line(tmp_path):
    code = (
        "import nvltop.cli as c, nvltop.cli.run as r; r._run_headless = lambda *a: 1 // 0;"
        "exit(c.main(['--once', '--demo']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=30, env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("nvltop: nvltop failed (ZeroDivisionError); a report")
    assert len(list((tmp_path / "nvltop").iterdir())) == 1
