"""Reports are of different readings, an interval apart, from the first one on."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.config.settings import Settings
from nvltop.headless.pacing import STRAGGLER_WAIT_S, ReportPacer
from nvltop.headless.print import ReportPrinter
from nvltop.headless.replay import replay
from nvltop.model import (
    Cost,
    Counter,
    Gpu,
    GpuInterval,
    Inventory,
    LinkCounters,
    Reading,
    Remote,
    Scope,
    Tick,
)
from nvltop.record.writer import RecordingWriter
from nvltop.report.formats import FORMATS

COUNTS = LinkCounters(Counter.DATA, Scope.LINK, (1,), (1,))
STEP_S = 0.001
PATIENCE_S = 20.0


def node(*linked: bool) -> Inventory:
    remotes = {True: (Remote(),), False: ()}
    gpus = tuple(Gpu(i, f"GPU-{i}", remotes=remotes[has]) for i, has in enumerate(linked))
    return Inventory(0.0, 0.0, gpus=gpus)


def read(gpu: int, at_s: float) -> Reading:
    return Reading(f"GPU-{gpu}", at_s, at_s, at_s, COUNTS)


def reports(inventory: Inventory, interval_s: float, readings: list[Reading], until_s: float) -> list[float]:
    """Return the times at which reports are due, with the inventory at time 0."""
    pacer = ReportPacer(interval_s)
    pacer.expect(inventory, 0.0)
    due, waiting = [], sorted(readings, key=lambda r: r.end_s)
    for step in range(round(until_s / STEP_S)):
        now_s = step * STEP_S
        while waiting and waiting[0].end_s <= now_s:
            pacer.add(waiting.pop(0), now_s)
        if pacer.due(now_s):
            due.append(now_s)
    return due


def sweeps(
    gpus: range | list[int], every_s: float, until_s: float, begin_s: float = 0.01, each_s: float = 0.0
):
    """Return the readings of sweeps over some GPUs; a sweep takes `each_s`."""
    count = int((until_s - begin_s) / every_s) + 1
    return [read(g, begin_s + n * every_s + i * each_s) for n in range(count) for i, g in enumerate(gpus)]


def test_reports_follow_the_sweeps_from_the_second_one_on():
    due = reports(node(True, True), 0.25, sweeps(range(2), 0.25, 2.0), 2.0)
    assert due == pytest.approx([0.26 + 0.25 * n for n in range(7)], abs=2 * STEP_S)


@settings(max_examples=25)
@given(
    st.sampled_from([0.1, 0.25, 1.0]),
    st.lists(st.floats(0.0, 0.3), min_size=30, max_size=30),
    st.integers(1, 4),
    st.floats(0.0, 0.02),
)
def test_each_report_has_a_new_reading_of_every_gpu(interval_s, lateness, gpus, each_s):
    readings = [
        read(g, n * interval_s + late * interval_s + g * each_s)
        for n, late in enumerate(lateness)
        for g in range(gpus)
    ]
    due = reports(node(*[True] * gpus), interval_s, readings, len(lateness) * interval_s)
    assert min((b - a for a, b in pairwise(due)), default=1.0) >= interval_s / 2 - STEP_S
    assert len(due) >= len(lateness) - 3, "none is left out"
    for begin_s, end_s in pairwise(due):
        assert {r.gpu for r in readings if begin_s < r.end_s <= end_s} == {f"GPU-{g}" for g in range(gpus)}


def test_a_gpu_that_hangs_delays_one_report():
    readings = sweeps(range(3), 0.25, 10.0, begin_s=0.0)
    readings += [r for r in sweeps([3], 0.25, 10.0, begin_s=0.05) if not 2.0 < r.end_s < 8.0]
    due = reports(node(*[True] * 4), 0.25, readings, 10.0)
    gaps = [b - a for a, b in pairwise(due)]
    assert max(gaps) <= 0.25 + STRAGGLER_WAIT_S + 0.01
    assert sum(gap > 0.35 for gap in gaps) == 1
    assert due[-1] > 9.7


def test_a_gpu_that_is_read_less_often_delays_no_report_for_long():
    costs = [Reading(None, n, n, n, Cost(0, 0, 0.25, 0.01, 0.0, (GpuInterval(3, 1.3),))) for n in (1.0, 2.0)]
    readings = [*costs, *sweeps(range(3), 0.25, 20.0), *sweeps([3], 1.3, 20.0)]
    due = reports(node(*[True] * 4), 0.25, readings, 20.0)
    assert due[0] < 1.35
    assert [b - a for a, b in pairwise(due)][2:] == pytest.approx([0.25] * len(due[3:]), abs=0.01)


def test_reports_of_a_slow_driver_follow_its_sweeps():
    slow = Reading(None, 0.5, 0.5, 0.5, Cost(interval_s=8.0, sweep_s=2.4))
    readings = [slow, *sweeps(range(8), 8.0, 60.0, each_s=0.3)]
    due = reports(node(*[True] * 8), 0.25, readings, 60.0)
    assert due == pytest.approx([8.0 * n + 2.11 for n in range(1, 8)], abs=0.01)


def test_without_readings_reports_are_late_and_say_so():
    assert reports(node(True), 1.0, [], 29.0) == pytest.approx([12.0, 18.0, 24.0], abs=0.1)


def test_without_nvlinks_reports_follow_the_clock_and_do_not_pile_up():
    assert reports(node(False), 0.5, [], 3.2) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], abs=2 * STEP_S)
    pacer = ReportPacer(0.5)
    pacer.expect(node(False), 0.0)
    assert pacer.due(60.0)
    assert not pacer.due(60.1), "what nobody has asked for is not made up for"


def test_reports_are_not_caught_up_after_blocked_output():
    pacer = ReportPacer(0.25)
    pacer.expect(node(True), 0.0)
    arrivals = [max(0.25 * n, 10.0) for n in range(60)]
    due = []
    for n, now_s in enumerate(arrivals):
        pacer.add(read(0, 0.25 * n), now_s)
        due.append(pacer.due(now_s))
    assert sum(due[:41]) == 0, "all these arrive at once"
    assert sum(due[41:]) == 19


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "nvltop", *arguments]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def gaps_of(times: list[str]) -> list[float]:
    """Return the seconds between consecutive times."""
    seconds = [datetime.fromisoformat(t.replace("Z", "+00:00")).timestamp() for t in times]
    return [b - a for a, b in pairwise(seconds)]


def apart(times: list[str], interval_s: float) -> None:
    """Check the times of reports of the real program; a busy machine may delay each of them."""
    gaps = gaps_of(times)
    assert min(gaps) > 0.0
    # If the first is late, the second may follow at once.
    assert 0.9 * (len(gaps) - 1) * interval_s <= sum(gaps) < PATIENCE_S


def test_json_objects_are_different_readings_an_interval_apart():
    objects = [
        json.loads(line) for line in run("--demo", "--json", "-n", "6", "--interval", "0.25").splitlines()
    ]
    apart([o["time"] for o in objects], 0.25)
    for before, after in pairwise(objects):
        for a, b in zip(before["gpus"], after["gpus"], strict=True):
            assert a["links"][0]["tx_bytes_total"] < b["links"][0]["tx_bytes_total"]
    first = objects[0]["gpus"]
    assert all(gpu["nvlink"]["tx_bytes_per_s"] is not None for gpu in first)
    # Errors are read with the first sweep, and then no more for 5 s.
    assert max(gpu["age_s"]["errors"] for gpu in first) < 1.0, "the first is of the second sweep"
    nic = objects[0]["nics"][0]
    assert nic["tx_bytes_per_s"] is not None or nic["missing"]["tx_bytes_per_s"] == "needs a second reading"


def test_rows_of_csv_are_different_readings_an_interval_apart():
    rows = list(csv.DictReader(io.StringIO(run("--demo", "--csv", "-n", "4", "--interval", "0.3"))))
    times = list(dict.fromkeys(row["time"] for row in rows))
    assert len(times) == 4
    apart(times, 0.3)


def test_texts_are_different_readings_and_one_alone_has_all_rates():
    text = run("--demo", "--once", "-n", "3", "--interval", "0.6")
    heads = [line for line in text.splitlines() if line.startswith("nvltop ")]
    assert len(heads) == 3
    assert len(set(heads)) >= 2, "they are dated to the second"
    whole = json.loads(run("--demo", "--json"))
    assert not any("tx_bytes_per_s" in gpu["pcie"].get("missing", {}) for gpu in whole["gpus"])
    assert not any("tx_bytes_per_s" in nic.get("missing", {}) for nic in whole["nics"])


def test_reports_are_not_caught_up_after_a_pause_in_a_recording(tmp_path, capsys):
    path = tmp_path / "run.nvltop"
    recorder = RecordingWriter(path)
    recorder.write(Inventory(100.0, 1e9, gpus=node(True).gpus))
    times = [100.0, 101.0, 102.0, *(200.0 + n / 4 for n in range(13))]
    for at_s in times:
        recorder.write(Tick(at_s, 1e9 + at_s, 1.0))
    recorder.close()
    replay(str(path), Settings(interval_s=1.0), ReportPrinter(FORMATS[1], 9))
    printed = [json.loads(line)["time"] for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 6
    assert gaps_of(printed[2:]) == pytest.approx([1.0] * 3, abs=0.5)
