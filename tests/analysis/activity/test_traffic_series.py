"""Cells hold the traffic of any readings, and NaN where there were none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.activity.traffic_series import TrafficSeries, TrafficSpan
from nvltop.analysis.activity.traffic_store import TrafficStore, busier

spans = st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0, 1e11), st.booleans()), min_size=1, max_size=60)


@given(spans, st.floats(0, 1e6))
def test_the_cells_add_up_to_what_was_moved(spans, start):
    """Only the first and the newest cell are incomplete."""
    series = TrafficSeries(0.25)
    t, moved = start, []
    for length, rate, _ in spans:
        series.add(TrafficSpan(t, t + length, rate, 2 * rate))
        moved.append((t, t + length, rate))
        t += length
    first, newest = int(start // 0.25) + 1, series.newest
    begin_s, end_s = first * 0.25, newest * 0.25
    tx, rx = series.cells_before(newest, max(0, newest - first))
    expected = sum(rate * max(0.0, min(b, end_s) - max(a, begin_s)) for a, b, rate in moved)
    assert 0.25 * sum(tx) == pytest.approx(expected, rel=1e-4, abs=1.0)
    assert 0.25 * sum(rx) == pytest.approx(2 * expected, rel=1e-4, abs=1.0)


@given(spans)
def test_the_newest_cells_are_as_they_were_read(spans):
    """Compare with cells that are computed one by one."""
    series = TrafficSeries(0.25)
    t = 100.0
    seconds: dict[int, float] = {}
    sums: dict[int, float] = {}
    for length, rate, read in spans:
        series.add(TrafficSpan(t, t + length, rate if read else math.nan, rate if read else math.nan))
        for k in range(int(t // 0.25), int((t + length) // 0.25) + 1):
            part = min(t + length, (k + 1) * 0.25) - max(t, k * 0.25)
            if read and part > 0:
                seconds[k] = seconds.get(k, 0.0) + part
                sums[k] = sums.get(k, 0.0) + part * rate
        t += length
    end = series.newest
    for back, value in enumerate(reversed(series.cells_before(end, 200)[0]), 1):
        k = end - back
        if abs(seconds.get(k, 0.0) - 0.125) < 1e-6:
            continue
        if seconds.get(k, 0.0) > 0.125:
            assert value == pytest.approx(sums[k] / seconds[k], rel=1e-3, abs=1.0)
        else:
            assert math.isnan(value)


@given(st.floats(0.3, 3.0), st.floats(0.0, 0.1))
def test_a_slow_driver_has_cells_of_its_own_refresh_after_a_few_readings(refresh_s, jitter):
    """Each change of the cells forgets the traffic, and with it what is known of the job."""
    store, t = TrafficStore(), 100.0
    store.cell_s = 0.25
    changes = []
    for k in range(40):
        length = refresh_s * (1 + jitter * (-1) ** k)
        store.add("a", [TrafficSpan(t, t + length, 1e9, 1e9)])
        t += length
        if store.fit_cells(0.25):
            changes.append(k)
    assert store.cell_s == pytest.approx(refresh_s, rel=0.35)
    assert len(changes) <= 1
    assert not changes or changes[0] <= 3


def test_old_cells_are_dropped_and_a_lagging_series_has_no_newer_ones():
    series = TrafficSeries(1.0)
    for t in range(0, 1000):
        series.add(TrafficSpan(t, t + 1.0, float(t), 0.0))
    assert list(series.cells_before(1000, 255)[0]) == [float(t) for t in range(745, 1000)]
    ahead = series.cells_before(1010, 100)[0]
    assert list(ahead[:90]) == [float(t) for t in range(910, 1000)]
    assert all(math.isnan(v) for v in ahead[90:])
    series.add(TrafficSpan(5000.0, 5001.0, 7.0, 0.0))
    assert [v for v in series.cells_before(5001, 200)[0] if v == v] == [7.0]


def test_overwritten_cells_are_unknown():
    """Other GPUs of the job may lag by some cells."""
    series = TrafficSeries(1.0)
    for t in range(600):
        series.add(TrafficSpan(t, t + 1.0, float(t), 0.0))
    lags = series.newest - 3
    oldest = series.newest - series.size + 1
    tail = series.cells_before(lags, series.size - 1)[0]
    known = [v for v in tail if v == v]
    assert known == [float(t) for t in range(oldest, lags)]
    assert all(math.isnan(v) for v in tail[: len(tail) - len(known)])


def test_a_late_span_may_have_the_oldest_cell():
    series = TrafficSeries(1.0)
    series.add(TrafficSpan(105.0, 106.0, 1.0, 1.0))
    series.add(TrafficSpan(103.0, 107.0, 1.0, 1.0))
    assert series.oldest == 103


maybe_read = st.one_of(st.floats(0, 1e12), st.just(math.nan))


@given(st.lists(st.tuples(maybe_read, maybe_read)))
def test_the_busier_direction_is_unknown_where_nothing_was_read(cells):
    """The series holds both directions, or none."""
    tx, rx = [a for a, b in cells], [b if a == a else a for a, b in cells]
    found = busier({"GPU-0": (tx, rx)})["GPU-0"]
    assert list(map(repr, found)) == list(map(repr, map(max, tx, rx)))
