"""The line for monitoring systems, and its exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from nvltop.cli import main
from nvltop.model import Missing
from nvltop.report.check import to_check

PERFORMANCE = re.compile(r"(?:[a-z_]+=-?\d+(?:;[^; ]*){0,4} ?)+")


@pytest.mark.parametrize(
    ("node", "scenario", "seconds", "code"),
    [
        ("dgx-h100", "training", 8, 0),
        ("rtx4090-pair", "idle", 8, 0),
        ("h100-mig", "idle", 8, 0),
        ("dgx-h100", "errors", 12, 1),
        ("dgx-h100", "link-down", 16, 2),
        ("dgx-h100", "p2p-dead", 4, 2),
        ("dgx-h100", "fabric-stuck", 20, 3),
        ("dgx-h100", "fabric-stuck", 130, 2),
    ],
)
def test_exit_codes(bench, node, scenario, seconds, code):
    b = bench(node, scenario)
    b.interval_s = 1.0
    line, got = to_check(b.run(seconds), seconds)
    assert got == code
    assert line.startswith(f"NVLINK {('OK', 'WARNING', 'CRITICAL', 'UNKNOWN')[code]} - ")
    text, bar, performance = line.partition(" | ")
    assert bar
    assert "\n" not in line
    assert "|" not in text
    assert PERFORMANCE.fullmatch(performance), performance


def test_what_could_not_be_read_is_no_number(bench):
    def refuse(lib):
        for table in lib.fields.tables:
            for field_id in (138, 139, 140, 141):
                table[field_id] = lambda g, s, t: (4, 0, 0)

    b = bench(prepare=refuse)
    b.interval_s = 1.0
    line, code = to_check(b.run(6), 6)
    assert code == 3
    assert "link health is unknown" in line
    assert "tx_bytes_per_s" not in line
    assert "links_up=144;;;0;144" in line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--check", "--bogus"], "unrecognized"),
        (["--check", "--json"], "exclude each other"),
        (["--check", "--for", "soon"], "no time such as"),
        (["--check", "--replay", "no-such-file"], "no-such-file"),
        (["--check", "--demo", "no-driver"], "not loaded"),
        (["--check", "--demo", "no-gpu"], "shows no GPU"),
    ],
)
def test_what_is_no_verdict_ends_in_3_with_one_line_on_stdout(capsys, arguments, word):
    assert main(arguments) == 3
    out = capsys.readouterr().out
    assert out.startswith("NVLINK UNKNOWN - ")
    assert out.count("\n") == 1
    assert word in out


def test_a_crash_is_no_verdict(capsys, monkeypatch):
    monkeypatch.setattr("nvltop.cli._main", lambda argv: 1 // 0)
    assert main(["--check"]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_for_needs_check(capsys):
    assert main(["--for", "5"]) == 2
    assert "--for goes with" in capsys.readouterr().err


def test_the_code_holds_even_if_nobody_reads_the_line(tmp_path):
    command = [sys.executable, "-m", "nvltop", "--demo", "dgx-h100", "--scenario", "p2p-dead", "--check"]
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    for out in (writing, full):
        done = subprocess.run(
            [*command, "--for", "1"], stdout=out, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
        os.close(out)
        assert (done.returncode, done.stderr) == (2, "")


def test_what_was_not_read_to_the_end_is_no_verdict(bench):
    b = bench()
    b.interval_s = 1.0
    frame = b.run(6.0)
    assert to_check(frame, 6)[1] == 0
    old = replace(frame, gpus=(*frame.gpus[:7], replace(frame.gpus[7], stale=True)))
    line, code = to_check(old, 6)
    assert code == 3
    assert "1 of 8 GPUs have not been read for" in line
    assert "tx_bytes_per_s" not in line
    for worker in ("ended", "paused"):
        line, code = to_check(replace(frame, tick=replace(frame.tick, worker=worker, note="")), 6)
        assert (code, "reading process does not run" in line) == (3, True)
    unread = replace(frame.gpus[0], nvlink=replace(frame.gpus[0].nvlink, links_up=Missing("not read yet")))
    line, code = to_check(replace(frame, gpus=(unread, *frame.gpus[1:])), 6)
    assert code == 3
    assert "? of 144 links up" in line
    no_errors = {k: v for k, v in frame.gpus[0].age_s.items() if k != "errors"}
    line, code = to_check(replace(frame, gpus=(replace(frame.gpus[0], age_s=no_errors), *frame.gpus[1:])), 6)
    assert code == 3
    assert "error counters could not be read" in line


def test_over_what_time_no_error_was_counted(bench):
    b = bench()
    b.interval_s = 1.0
    assert "error counters read once" in to_check(b.poll(), 0)[0]
    assert "no errors in 6 s" in to_check(b.run(6.0), 6)[0]
