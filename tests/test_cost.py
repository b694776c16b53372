"""The cost guard of the benchmark: the work of nvltop per second does not grow unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

BENCHMARK = Path(__file__).parent / "benchmark"


def test_no_count_has_grown_by_more_than_the_margin():
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), "--guard"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_guard_rejects_growth_beyond_the_margin(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARK))
    from guard import compare

    before = {"node": {"calls": 100.0, "bytes": 10.0, "gone": 1.0}}

    def raised(**counts: float) -> tuple[str, int]:
        return compare(before, {"node": {**before["node"], **counts}}, 0.05)

    assert raised() == ("all 3 counts are as accepted", 0)
    assert raised(calls=105.0)[1] == 0
    assert raised(calls=105.1, bytes=20.0)[1] == 2
    assert raised(calls=50.0)[1] == 0
    assert raised(new=0.001)[1] == 1, "what was never done before"
    assert compare(before, {"node": {"calls": 100.0}}, 0.05)[1] == 0
    text, _ = raised(calls=110.0)
    assert [line.split() for line in text.splitlines() if "TOO MUCH" in line] == [
        ["calls", "node", "100.000", "110.000", "x1.100", "TOO", "MUCH"]
    ]
    assert compare({}, {"node": {"calls": 1.0}}, 0.05)[1] == 1, "a case without accepted counts"


def test_the_accepted_counts_cover_every_kind():
    saved = json.loads((BENCHMARK / "guard.json").read_text())
    assert 0 < saved["margin"] <= 0.05
    for counts in saved["counts"].values():
        for kind in ("NVML calls in all", "bursts", "bytes through", "bytes to the terminal, Main",
                     "bytes to the terminal, Links", "frames", "calls to read", "calls to send",
                     "calls to fold", "calls to draw, Main", "calls to draw, Links"):  # fmt: skip
            assert any(name.startswith(kind) and n > 0 for name, n in counts.items()), kind
    busy, idle = saved["counts"]["dgx-h100 training"], saved["counts"]["dgx-h100 idle"]
    assert idle["bytes to the terminal, Main"] < busy["bytes to the terminal, Main"] / 2


def test_every_stage_of_the_reading_process_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARK))
    import counted
    import stages
    from simulated_time import Clock, on_clock

    monkeypatch.setattr(counted, "READ_S", 11.0)  # in which everything but the inventory is read
    clock = Clock()
    with on_clock(clock):
        measured, bursts = stages.measure_reading("dgx-h100", "training", clock, 1.0)
    not_due = {"inventory, once a minute"}
    assert {stage for stage, ms in measured.items() if ms <= 0} == not_due
    assert bursts
    monkeypatch.setattr(stages, "FILE_READS", 1)
    assert all(ms > 0 for ms in stages.measure_files().values())
    shown = stages.table("reading", [{"a": 1.0, "b": 2.0, stages.SIMULATION: 9.0}] * 2)
    assert [line.split()[-2:] for line in shown[-2:]] == [["3.00", "3.00"], ["9.00", "9.00"]]


def test_a_stage_does_not_count_what_it_calls_of_another(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARK))
    import stages

    clock = iter(range(100))
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    watch = stages.Stopwatch()
    inner = watch.timed("inner", lambda: None)
    outer = watch.timed("outer", lambda: (inner(), inner()))
    outer()  # before it measures
    watch.begin()
    outer()
    watch.end()
    assert watch.spent_s == {"outer": 3, "inner": 2}
