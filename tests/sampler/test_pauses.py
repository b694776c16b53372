"""A time in which one of the processes did not run is not counted as silence of the driver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.sampler.pauses import RunningTime


def test_a_pause_is_a_gap_between_ticks_less_the_usual_gap():
    running = RunningTime(100.0)
    running.note(101.0, 3.0, True)
    assert running.paused_since(0.0) == 0.0
    running.note(161.0, 3.0, True)
    assert running.paused_since(100.5) == 57.0
    assert running.paused_since(160.0) == 1.0
    assert running.paused_since(161.0) == 0.0
    assert running.resumed_ago_s() == 0.0


def test_time_without_a_heartbeat_is_a_pause():
    running = RunningTime(100.0)
    for tick in range(1, 21):
        running.note(100.0 + tick, 3.0, worker_runs=tick < 6)
    assert running.paused_since(100.0) == pytest.approx(15.0)
    assert running.paused_since(110.0) == pytest.approx(10.0)
    assert running.resumed_ago_s() == 20.0


@given(
    st.lists(st.tuples(st.floats(0.01, 100.0), st.booleans()), min_size=1, max_size=100), st.floats(0, 5000)
)
def test_a_pause_is_never_longer_than_the_time(steps, since_s):
    running, now = RunningTime(0.0), 0.0
    for step, runs in steps:
        now += step
        running.note(now, 3.0, runs)
    assert 0.0 <= running.paused_since(since_s) <= max(0.0, now - since_s) + 1e-6
