"""Errors of the last hour and a day, and over which time a total accumulated."""

from __future__ import annotations

import json

import pytest

from nvltop.analysis.counter_track import CounterTrack
from nvltop.analysis.uptime import TOO_SHORT, counted_s, per_day
from nvltop.formatting import duration, small_number
from nvltop.model import ErrorCount, Missing
from nvltop.nvml.simulated.machine import INITIAL_UPTIME_S
from nvltop.report.json import to_json
from nvltop.report.nvidia_smi import nvlink

DAY_S = 86400.0
UNKNOWN_TIME = Missing("no reason")


def counted(total=505, reset_s=None):
    return ErrorCount(total, 0, 0.0, None, reset_s=reset_s)


def test_the_last_hour_is_counted_in_minutes():
    track = CounterTrack()
    track.update(0.0, 100)
    for second in range(5, 7205, 5):
        track.update(float(second), 100 + second // 5)
    assert track.at(7200.0).last_hour == pytest.approx(720, abs=12)
    assert track._increases is not None
    assert len(track._increases._hour) <= 61
    assert track.at(7200.0 + 3700.0).last_hour == 0


def test_the_time_of_a_count_ends_at_its_last_reset():
    assert counted_s(counted(), DAY_S) == DAY_S
    assert counted_s(counted(reset_s=60.0), DAY_S) == 60.0
    assert counted_s(counted(reset_s=2 * DAY_S), DAY_S) == DAY_S
    assert counted_s(counted(), UNKNOWN_TIME) == UNKNOWN_TIME
    assert counted_s(counted(reset_s=60.0), UNKNOWN_TIME) == 60.0


def test_errors_a_day():
    assert per_day(counted(24), 12 * DAY_S) == pytest.approx(2.0)
    assert per_day(counted(0), 12 * DAY_S) == 0.0
    assert per_day(counted(1), 3599.0) == TOO_SHORT
    assert per_day(counted(1), 3600.0) == pytest.approx(24.0)
    assert per_day(counted(Missing("no permission")), DAY_S) == Missing("no permission")
    assert per_day(counted(), UNKNOWN_TIME) == UNKNOWN_TIME


def test_counts_after_a_restart_are_not_compared_with_those_before():
    track = CounterTrack()
    track.update(10.0, 5)
    track.restart(12.0)
    assert track.update(15.0, 7) == 0
    assert track.at(16.0).reset_s == 4.0
    assert track.update(20.0, 9) == 2


def test_a_restart_and_a_counter_that_fell_are_one_reset():
    track = CounterTrack()
    track.update(10.0, 5)
    track.restart(12.0)
    track.update(15.0, 1)
    assert track.at(16.0).reset_s == 4.0
    late = CounterTrack()
    late.update(10.0, 5)
    late.update(15.0, 1)
    late.restart(12.0)
    assert late.at(16.0).reset_s == 1.0
    assert late.update(20.0, 2) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(42.0, "42 s"), (600.0, "10 min"), (7200.0, "2 hours"), (12.2 * DAY_S, "12 days")],
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.083, "0.083"), (0.0, "0"), (41.4, "41"), (1234.0, "1.2k")])
def test_small_numbers(value, text):
    assert small_number(value) == text
    assert small_number(Missing("why")) == "?"


def test_the_report_and_the_json_say_over_which_time(bench):
    b = bench("rubin", "errors")
    frame = b.run(10.0)
    lines = nvlink.errors(frame.gpus[3])
    assert "\t Link 7: Total link recovery events: 506 (+1, 2.0s ago; in 12 days)" in lines
    values = json.loads(json.dumps(to_json(frame)))
    gpu = values["gpus"][3]
    assert gpu["uptime_s"] == pytest.approx(INITIAL_UPTIME_S + 10, abs=2)
    error = gpu["links"][7]["errors"]["link_recovery"]
    assert error["over_s"] == gpu["uptime_s"]
    assert error["per_day"] == pytest.approx(506 / 12.2, abs=0.1)
    assert error["last_hour"] == 1
    assert "over_s" not in gpu["links"][6]["errors"]["link_recovery"]


def test_after_an_hour_the_report_has_the_errors_of_the_last_one(bench):
    b = bench("rubin", "errors")
    b.interval_s = 240.0
    frame = b.run(2 * 3600.0)
    (line,) = [text for text in nvlink.errors(frame.gpus[3]) if "Total link recovery events" in text]
    assert "in 12 days, 9" in line
    assert "in the last hour" in line


def test_a_time_that_is_unknown_has_its_reason_in_the_json(bench):
    frame = bench("dgx-h100", "errors").run(10.0)
    gpu = to_json(frame)["gpus"][3]
    assert gpu["uptime_s"] is None
    assert gpu["missing"]["uptime_s"]
    error = gpu["links"][7]["errors"]["replay"]
    assert (error["over_s"], error["per_day"]) == (None, None)
    assert set(error["missing"]) == {"over_s", "per_day"}
