"""The series of compute activity keeps the newest readings, in bounded memory, without inventing any."""

from __future__ import annotations

import math

from nvltop.analysis.activity.compute_series import MAX_READINGS, ComputeSeries
from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.model import ComputeActivity, Missing


def reading(sm, source="gpm"):
    return ComputeActivity(sm, Missing("implausible value"), 0.25, 500.0, source)


def test_readings_are_returned_in_order_and_missing_values_are_not_0():
    series = ComputeSeries()
    for k in range(5):
        series.add(k, k + 1, reading(k / 10))
    assert [r.sm for r in series.since(2.0)] == [0.2, 0.3, 0.4]
    assert series.newest.end_s == series.since(0.0)[-1].end_s == 5.0
    assert math.isnan(series.newest.tensor)
    assert (series.newest.dram, series.newest.power_w) == (0.25, 500.0)


def test_memory_is_bounded_and_the_oldest_go_first():
    series = ComputeSeries()
    for k in range(3 * MAX_READINGS + 7):
        series.add(k, k + 1, reading(0.5))
        assert len(series) <= MAX_READINGS
        assert series.newest.end_s == k + 1
    ends = [r.end_s for r in series.since(-1.0)]
    assert ends == [float(e) for e in range(2 * MAX_READINGS + 8, 3 * MAX_READINGS + 8)]


def test_another_source_starts_again_and_late_readings_are_ignored():
    series = ComputeSeries()
    series.add(10.0, 11.0, reading(0.5))
    series.add(11.0, 12.0, reading(0.6, "samples"))
    assert [r.sm for r in series.since(0.0)] == [0.6]
    series.add(5.0, 6.0, reading(0.7, "samples"))
    assert [r.sm for r in series.since(0.0)] == [0.6]


def test_an_empty_reading_is_ignored():
    activities = ActivityTracker()
    activities.add_compute("GPU-1", 3.0, 3.0, reading(0.5))
    assert activities.computed["GPU-1"].since(0.0) == []
    assert activities.computed["GPU-1"].newest is None
