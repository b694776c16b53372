"""The line for monitoring systems, and its exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvltop.cli import main
from nvltop.model import Finding, FindingKey, Missing, NvLink, Pending, Severity
from nvltop.report.check import SEVERITY_CODES, to_check
from nvltop.report.phrases import nvlink_line
from nvltop.report.text import to_text

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
        ("h100-two", "fabric-stuck", 130, 2),
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


def test_a_pending_condition_gives_no_verdict(bench):
    b = bench("dgx-h100", "p2p-fallback")
    b.interval_s = 1.0
    frame = b.run(8)
    assert frame.findings == ()
    line, code = to_check(frame, 8)
    assert code == 3
    assert line.startswith(
        "NVLINK UNKNOWN - too early for a verdict after 8 s: GPUs 0-7 are busy and communicate"
    )
    assert {c.name for c in frame.checks if c.outcome == "pending"} == {"P2P over NVLink"}
    frame = b.run(30)
    assert to_check(frame, 38)[1] == 1


def test_a_condition_that_was_not_observed_is_ok_for_the_observed_time(bench):
    b = bench()
    b.interval_s = 1.0
    frame = b.run(6)
    checks = {c.name: c for c in frame.checks}
    assert to_check(frame, 6)[1] == 0
    assert checks["clocks"].outcome == "fine"
    assert checks["clocks"].detail.endswith("(watched 6 s)")
    assert checks["clocks"].watched_s == 6.0
    assert "watched" not in {c.name: c for c in b.run(40).checks}["clocks"].detail


@pytest.mark.parametrize(("wait_s", "when"), [(0.0, "with the next readings"), (20.0, "in 20 s if it lasts")])
def test_a_pending_condition_says_when_it_counts(bench, wait_s, when):
    """It said `critical in 0 s if it lasts` where only further readings were needed."""
    down = Finding("link-down", Severity.CRITICAL, None, 6, "It went down", headline="down")
    line, code = to_check(replace(bench().run(2), findings=(), pending=(Pending(down, wait_s),)), 6)
    assert code == 3
    assert f": It went down; critical {when} (`--for`)" in line


def test_a_fault_that_is_over_is_named(bench):
    """A link that was down for 7 s of 25 left no trace in `NVLINK OK`."""
    down = Finding("link-down", Severity.CRITICAL, None, 6, "It went down", headline="GPU 2 link 6 DOWN")
    frame = replace(bench().run(6), past_findings=(down, replace(down, severity=Severity.NOTICE)))
    line, code = to_check(frame, 6)
    assert code == 0
    assert "; over by now: GPU 2 link 6 DOWN" in line
    assert "more)" not in line
    assert "DOWN (and 1 more)" in to_check(replace(frame, past_findings=(down, down)), 6)[0]


def test_rates_are_those_of_the_text_report(bench):
    """They were those of the last reading: 0 between two bursts."""
    for part in range(8):
        b = bench()
        frame = b.run(8 + part / 4)
        nvlinks = [g.nvlink for g in frame.gpus]
        found = to_check(frame, 8)[0]
        for way in ("tx", "rx"):
            mean = sum(getattr(n, f"mean_{way}_bytes_per_s") for n in nvlinks)
            assert f" {way}_bytes_per_s={mean:.0f};" in found


@pytest.mark.parametrize(
    ("severities", "pending", "code"),
    [
        ((), (), 0),
        (("notice", "info"), ("notice", "unknown"), 0),
        ((), ("warning",), 3),
        (("unknown",), (), 3),
        (("unknown",), ("critical",), 3),
        (("warning", "unknown"), ("critical",), 1),
        (("critical", "warning"), ("critical",), 2),
    ],
)
def test_critical_precedes_warning_precedes_unknown_precedes_ok(bench, severities, pending, code):
    def finding(i, severity):
        return Finding(
            "rule", Severity(severity), None, None, f"Sentence {i}", headline=f"headline {i}",
            key=FindingKey(f"rule/{i}"),
        )  # fmt: skip

    frame = replace(
        bench().run(2),
        findings=tuple(finding(i, s) for i, s in enumerate(severities)),
        pending=tuple(Pending(finding(i, s), 20.0) for i, s in enumerate(pending)),
    )
    assert to_check(frame, 6)[1] == code


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(Severity)), st.sampled_from(Severity), st.sampled_from(Severity))
def test_the_worst_severity_that_counts_decides_the_exit_code(small, severities, one, other):
    def code(*found):
        findings = tuple(
            Finding("rule", s, None, None, f"Sentence {i}", key=FindingKey(f"rule/{i}"))
            for i, s in enumerate(found)
        )
        return to_check(replace(small, findings=findings), 6)[1]

    decisive = [s for s in severities if s in SEVERITY_CODES]
    assert code(*severities) == (code(max(decisive)) if decisive else 0)
    if one <= other and Severity.UNKNOWN not in (one, other):
        assert code(one) <= code(other)


@pytest.fixture
def small(bench):
    return bench("rtx4090-pair").run(2)


def test_what_follows_from_another_finding_is_not_counted(bench):
    a, b = FindingKey("a"), FindingKey("b")
    root = Finding("link-down", Severity.CRITICAL, None, 7, "It is down", headline="down", key=a)
    other = replace(root, key=b, caused_by=a, summary="The other end")
    line, code = to_check(replace(bench().run(2), findings=(root, other)), 6)
    assert code == 2
    assert "more)" not in line
    assert "critical=1 " in line


def test_unread_values_are_not_in_the_performance_data(bench):
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
        (["--check", "--json"], "are mutually exclusive"),
        (["--check", "--for", "soon"], "invalid duration"),
        (["--check", "--replay", "no-such-file"], "no-such-file"),
        (["--check", "--demo", "no-driver"], "not loaded"),
        (["--check", "--demo", "no-gpu"], "shows no GPU"),
    ],
)
def test_without_a_verdict_the_code_is_3_with_one_line_on_stdout(capsys, arguments, word):
    assert main(arguments) == 3
    out = capsys.readouterr().out
    assert out.startswith("NVLINK UNKNOWN - ")
    assert out.count("\n") == 1
    assert word in out


def test_a_crash_gives_no_verdict(capsys, monkeypatch):
    monkeypatch.setattr("nvltop.cli._main", lambda argv: 1 // 0)
    assert main(["--check"]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_for_needs_check(capsys):
    assert main(["--for", "5"]) == 2
    assert "--for needs" in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_code_is_valid_even_if_nobody_reads_the_line(tmp_path, unbuffered):
    command = [sys.executable, "-m", "nvltop", "--demo", "dgx-h100", "--scenario", "p2p-dead", "--check"]
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    lost = "nvltop: cannot write: No space left on device\n"
    for out, err in ((writing, ""), (full, lost)):
        done = subprocess.run(
            [*command, "--for", "1"],
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            text=True,
            timeout=30,
            check=False,
        )
        os.close(out)
        assert (done.returncode, done.stderr) == (2, err)


def test_incomplete_readings_give_no_verdict(bench):
    b = bench()
    b.interval_s = 1.0
    frame = b.run(6.0)
    assert to_check(frame, 6)[1] == 0
    old = replace(frame, gpus=(*frame.gpus[:7], replace(frame.gpus[7], stale=True)))
    line, code = to_check(old, 6)
    assert code == 3
    assert "1 of 8 GPUs has not been read for" in line
    assert "tx_bytes_per_s" not in line
    for worker, words in (("ended", "has ended"), ("paused", "does not run")):
        line, code = to_check(replace(frame, tick=replace(frame.tick, worker=worker, note="")), 6)
        assert (code, f"reading process {words}" in line) == (3, True)
    unread = replace(frame.gpus[0], nvlink=replace(frame.gpus[0].nvlink, links_up=Missing("not read yet")))
    line, code = to_check(replace(frame, gpus=(unread, *frame.gpus[1:])), 6)
    assert code == 3
    assert "? of 144 links up" in line
    no_errors = {k: v for k, v in frame.gpus[0].age_s.items() if k != "errors"}
    line, code = to_check(replace(frame, gpus=(replace(frame.gpus[0], age_s=no_errors), *frame.gpus[1:])), 6)
    assert code == 3
    assert "error counters could not be read" in line


def test_counters_that_could_not_be_read_are_not_without_errors(bench):
    """It said `no errors in 24 s` beside `not known: link errors`."""
    frame = bench().run(6)

    def unread(count):
        why = Missing("not supported")
        gpus = [replace(g, nvlink=replace(g.nvlink, errors_total=why)) for g in frame.gpus[:count]]
        return to_check(replace(frame, gpus=(*gpus, *frame.gpus[count:])), 6)[0]

    assert "links up, link errors unknown; " in unread(8)
    assert "links up, no errors in 6 s (GPUs 0, 1 unknown); " in unread(2)
    assert "links up, no errors in 6 s; " in unread(0)


def test_the_time_without_errors_is_between_two_readings(bench):
    b = bench()
    b.interval_s = 1.0
    assert "error counters read once" in to_check(b.poll(), 0)[0]
    assert "no errors in 6 s" in to_check(b.run(6.0), 6)[0]


@pytest.mark.parametrize(("why", "marked"), [("unknown driver error", True), ("not supported", False)])
def test_links_of_a_gpu_that_could_not_be_read_are_not_left_out_silently(bench, why, marked):
    """A GPU that was lost from the start left `126/126 links up` and `0 on all 126 links`."""
    frame = bench().run(6)
    unread = replace(frame.gpus[5], nvlink=NvLink(links_present=Missing(why)), links=())
    partly = replace(frame, gpus=(*frame.gpus[:5], unread, *frame.gpus[6:]))
    assert ("126+?/126+? links up" in nvlink_line(partly)) == marked
    assert ("126+? of 126+? links up" in to_check(partly, 6)[0]) == marked
    assert ("0 on 126 links, unknown on GPU 5" in to_text(partly, verbose=False)) == marked
    assert ("0 on all 126 links" in to_text(partly, verbose=False)) != marked
