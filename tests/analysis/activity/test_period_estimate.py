"""Periods of drawn traffic: the true one, or none; never a part or a multiple of it."""

from __future__ import annotations

import csv
import math
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.analysis.activity import step_tracker
from nvltop.analysis.activity.autocorrelation import Autocorrelation
from nvltop.analysis.activity.bursts import AMBIGUOUS, NO_PATTERN, Burst, find_pattern
from nvltop.analysis.activity.gpu_groups import similar_series, sum_channels
from nvltop.analysis.activity.period_estimate import (
    NOT_LONG_ENOUGH,
    STEADY_TRAFFIC,
    TOO_FAST,
    estimate_period,
)
from nvltop.analysis.activity.traffic_series import TOO_MANY_GAPS, TrafficSeries, TrafficSpan
from nvltop.model import known

from .patterns import accumulated, cells, paused, plain, random_bursts, two_bursts

SERIES = Path(__file__).parents[2] / "data" / "steps" / "straggler-2.6s.csv"
STEP_S = 0.25
WINDOW = 1024


def found(flow, step_s=STEP_S, count=WINDOW, noise=0.01):
    return estimate_period([cells(flow, 0.0, step_s, count, noise)], step_s)


def period(flow, **kwargs):
    answer = found(flow, **kwargs)
    assert known(answer), answer
    return answer.period_s


@pytest.mark.parametrize("true", [1.03, 1.37, 2.0, 3.1, 7.7, 17.0, 31.0, 45.0, 59.0])
@pytest.mark.parametrize("duty", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_a_burst_a_step(true, duty, jitter):
    answer = found(plain(true, duty, jitter))
    if known(answer):
        assert answer.period_s == pytest.approx(true, rel=0.015 if true < 50 else 0.03)
    else:
        # Silences of hardly two readings, and two jittering edges per burst.
        assert (true < 1.4, duty) == (True, 0.6)


def test_a_short_step_needs_readings_often_enough():
    assert period(plain(0.9), step_s=0.2, count=1280) == pytest.approx(0.9, rel=0.01)
    assert found(plain(0.9)) == TOO_FAST


@pytest.mark.parametrize("true", [0.16, 0.2, 0.28, 0.45, 0.6, 0.75])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
def test_steps_faster_than_the_readings_have_no_images(true, jitter):
    assert not known(found(plain(true, jitter=jitter)))


@pytest.mark.parametrize(("true", "micro"), [(4, 4), (8, 8), (10, 2), (12, 8), (24, 16), (30, 4), (45, 3)])
@pytest.mark.parametrize("small", [0.2, 0.4])
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_gradient_accumulation_is_one_step(true, micro, small, jitter):
    answer = found(accumulated(true, micro, small, jitter=jitter))
    if known(answer):
        assert answer.period_s == pytest.approx(true, rel=0.015)
    else:
        # Small bursts of a few readings each may be too alike, which is then said.
        assert (answer, true / micro <= 2.5) == (AMBIGUOUS, True)


@pytest.mark.parametrize(("true", "every", "pause"), [(1.2, 50, 8), (2, 30, 15), (3, 20, 9), (1.5, 100, 20)])
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_evaluations_and_checkpoints_are_not_steps(true, every, pause, jitter):
    assert period(paused(true, every, pause, jitter=jitter)) == pytest.approx(true, rel=0.015)


@pytest.mark.parametrize("true", [5.1, 9, 21, 44])
@pytest.mark.parametrize("second", [0.5, 0.7])
def test_two_bursts_that_differ_are_one_step(true, second):
    assert period(two_bursts(true, second)) == pytest.approx(true, rel=0.015)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap", [0.5, 2, 8])
def test_bursts_at_random_have_no_period(gap, seed):
    assert not known(found(random_bursts(gap, seed=seed)))


def test_channels_that_take_turns_keep_their_own_period():
    """Four stages of a pipeline whose sum repeats four times as often as any of them."""
    true = 8.0
    stages = [cells(plain(true, 0.2), -2.0 * k + 8.0, STEP_S, 900) for k in range(4)]
    answer = estimate_period(stages, STEP_S)
    assert known(answer)
    assert answer.period_s == pytest.approx(true, rel=0.01)


def test_three_periods_are_enough_and_fewer_are_not():
    flow = plain(10.0, 0.3)
    assert period(flow, count=160) == pytest.approx(10.0, rel=0.015)
    assert not known(found(flow, count=96))


def test_what_was_not_read_is_left_out():
    values = cells(plain(3.1, 0.3, 0.02), 0.0, STEP_S, WINDOW)
    for start in range(40, 1000, 120):
        values[start : start + 7] = [math.nan] * 7
    answer = estimate_period([values], STEP_S)
    assert known(answer)
    assert answer.period_s == pytest.approx(3.1, rel=0.015)
    values[200:600] = [math.nan] * 400
    assert estimate_period([values], STEP_S) == TOO_MANY_GAPS


def test_there_is_no_period_without_a_pattern():
    assert estimate_period([[0.0] * 500], STEP_S) == STEADY_TRAFFIC
    assert estimate_period([[5.0 + 0.3 * math.sin(i) for i in range(500)]], STEP_S) == STEADY_TRAFFIC
    assert estimate_period([[1.0, 0.0] * 4], STEP_S) == NOT_LONG_ENOUGH
    assert not known(estimate_period([[math.nan] * 500], STEP_S))


@settings(max_examples=25, derandomize=True)
@given(
    true=st.floats(1.2, 60.0),
    duty=st.floats(0.08, 0.5),
    jitter=st.floats(0.0, 0.03),
    level=st.floats(1e3, 1e12),
    seed=st.integers(0, 99),
)
def test_the_answer_is_the_step_or_none(true, duty, jitter, level, seed):
    values = [v * level for v in cells(plain(true, duty, jitter, seed=seed), 0.0, STEP_S, WINDOW, 0.01, seed)]
    answer = estimate_period([values], STEP_S)
    assert not known(answer) or answer.period_s == pytest.approx(true, rel=0.05)


@settings(max_examples=25, derandomize=True)
@given(true=st.floats(0.06, 0.94), duty=st.floats(0.3, 0.9), start=st.floats(0, 1), jitter=st.floats(0, 0.03))
def test_nothing_is_said_of_steps_too_fast_for_the_readings(true, duty, start, jitter):
    values = cells(plain(true, duty, jitter, seconds=160.0), start, STEP_S, 560, 0.01)
    answer = estimate_period([values], STEP_S)
    assert not known(answer), (answer, true)


@given(times=st.integers(2, 20), short=st.floats(4, 20), longer=st.floats(2, 9))
def test_of_as_many_short_as_long_distances_none_is_usual(times, short, longer):
    distances = [short] * times + [longer * short] * times
    found = [Burst(at, (10.0,), 5) for at in accumulate(distances, initial=0.0)]
    assert find_pattern(found) == NO_PATTERN


@pytest.mark.parametrize("phase_s", [0.0, 0.06, 0.17, 0.18, 0.19, 0.20, 0.21, 0.22])
def test_a_multiple_that_fits_the_readings_better_is_not_the_step(phase_s):
    """A true step of 2.6 s is 10.4 readings; 13.0 s, five steps, are 52 of them and repeat more exactly.

    nvltop 0.1.0 called the step 13 s, "certain", on this series.
    """
    with SERIES.open() as file:
        rows = [[float(v) for v in row] for row in list(csv.reader(file))[1:]]
    kept = [TrafficSeries(0.25) for _ in rows[0][1:]]
    looks = 0
    for before, row in pairwise(rows):
        for i, series in enumerate(kept):
            sent, received = row[1 + i], row[1 + (i + 1) % len(kept)]
            series.add(TrafficSpan(1000 + phase_s + before[0], 1000 + phase_s + row[0], sent, received))
        if row[0] > 24 + 8 * looks:
            looks += 1
            end = min(s.newest for s in kept)
            oldest = max(s.oldest for s in kept if s.oldest is not None)
            count = min(end - oldest, kept[0].size - 1)
            both = [way for s in kept for way in s.cells_before(end, count)]
            found = step_tracker._estimate_current(sum_channels(both, similar_series(both)), 0.25)
            assert known(found), found
            assert found.period_s == pytest.approx(2.6, rel=0.01), row[0]
    assert looks > 15


def test_clear_bursts_need_only_the_lags_near_their_period(monkeypatch):
    computed: list[int] = []
    at = Autocorrelation._at

    def recorded(self, lag):
        computed.append(lag)
        return at(self, lag)

    monkeypatch.setattr(Autocorrelation, "_at", recorded)
    found = estimate_period([cells(plain(3.0, 0.3), 0.0, 0.25, 960)], 0.25)
    assert known(found)
    assert found.period_s == pytest.approx(3.0, rel=0.01)
    assert 0 < len(computed) < 10
    assert all(abs(lag - 12) < 4 for lag in computed)
