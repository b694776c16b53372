"""The series of compute activity keeps the newest readings, in bounded memory, without inventing any."""

from __future__ import annotations

import math

import pytest

from nvltop.analysis.activity.compute_series import TRIM_READINGS, ComputeSeries
from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.analysis.activity.traffic_series import TrafficSpan
from nvltop.analysis.activity.usage_trace import HISTORY_S, UsageTrace
from nvltop.model import ComputeActivity, Missing


def reading(sm, source="gpm"):
    return ComputeActivity(sm, Missing("implausible value"), 0.25, 500.0, source)


def filled(count: int) -> ComputeSeries:
    series = ComputeSeries()
    for k in range(count):
        series.add(k, k + 1, reading(k / 1024))
    return series


def test_readings_are_returned_in_order_and_missing_values_are_not_0():
    found = filled(5).since(2.0)
    assert list(found.sm) == [2 / 1024, 3 / 1024, 4 / 1024]
    assert all(map(math.isnan, found.tensor))
    assert list(found.power_w) == [500.0] * 3


def test_memory_is_bounded_and_the_oldest_go_first():
    count = int(3 * HISTORY_S)
    series = filled(count)
    assert HISTORY_S <= len(series) <= HISTORY_S + TRIM_READINGS
    assert series.since(-1.0).sm[-1] == (count - 1) / 1024
    assert len(series.since(count - HISTORY_S).sm) == HISTORY_S


def test_another_source_starts_again_and_late_readings_are_ignored():
    series = ComputeSeries()
    series.add(10.0, 11.0, reading(0.5))
    series.add(11.0, 12.0, reading(0.25, "samples"))
    assert list(series.since(0.0).sm) == [0.25]
    series.add(5.0, 6.0, reading(0.75, "samples"))
    assert list(series.since(0.0).sm) == [0.25]


def test_an_empty_reading_is_ignored():
    activities = ActivityTracker()
    activities.add_compute("GPU-1", 3.0, 3.0, reading(0.5))
    assert len(activities.computed["GPU-1"]) == 0


def test_each_reading_gets_the_use_of_the_links_once_all_of_its_traffic_was_read():
    series, trace = filled(6), UsageTrace()
    for k in range(1, 4):
        trace.add(TrafficSpan(k + 0.5, k + 1.5, 0.25 * k, 0.1), 1.0, 1.0, 0.9)
    series.add_links(trace)
    links = list(series.since(0.0).links)
    assert len(links) == 4, "the traffic of the fifth reading was not read completely"
    assert all(map(math.isnan, links[:2])), "the trace begins later"
    assert links[2:] == pytest.approx([0.375, 0.625])
    trace.add(TrafficSpan(4.5, 6.0, 0.0, 0.0), 1.0, 1.0, 0.9)
    series.add_links(trace)
    assert list(series.since(0.0).links)[4:] == pytest.approx([0.375, 0.0])


def test_readings_without_traffic_do_not_shift_the_others():
    """The traffic of a GPU may be read only after old readings have been removed."""
    count = int(3 * HISTORY_S)
    series, trace = filled(count), UsageTrace()
    for k in range(count - 10, count):
        trace.add(TrafficSpan(k, k + 1, 0.01 * k, 0.0), 1.0, 1.0, 0.9)
    series.add_links(trace)
    found = series.since(count - 4.0)
    assert list(found.links) == pytest.approx([0.01 * k for k in range(count - 4, count)])
    assert list(found.sm) == [k / 1024 for k in range(count - 4, count)]
