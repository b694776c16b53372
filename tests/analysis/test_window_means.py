"""Means over windows are the traffic over the time that they state."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.analysis.window_means import DEFAULT_WINDOW_S, MIN_WINDOW_S, WindowMeans
from nvltop.model import LinkSpan, Missing

UNREAD = Missing("timed out")


def span(start_s, end_s, tx, rx=0.0):
    """Return a span of a GPU with one link."""
    return LinkSpan(start_s, end_s, tx, rx, (tx, rx))


def test_a_window_is_whole_steps_of_the_job():
    means = WindowMeans()
    means.set_window(2.6)
    assert means.is_step
    assert means.window_s == 2.6
    means.set_window(0.2)
    assert means.window_s == pytest.approx(0.6)
    means.set_window(None)
    assert not means.is_step
    assert means.window_s == DEFAULT_WINDOW_S


def test_the_mean_changes_once_a_window_after_the_first():
    means, seen = WindowMeans(), []
    for k in range(33):
        means.add(span(k / 4, (k + 1) / 4, float(k)))
        seen.append(means.window)
    assert len({window.span_s for window in seen[:8]}) == 8, "the first window grows with each reading"
    assert len({window.span_s for window in seen[7:]}) == 4
    assert seen[31].span_s == (6.0, 8.0)
    assert seen[31].means == pytest.approx([27.5, 0.0])
    assert seen[31].peaks == [31.0, 0.0]
    assert seen[3].means == pytest.approx([1.5, 0.0]), "a window that was shown does not grow"
    assert seen[3].by_counter == pytest.approx([1.5, 0.0])


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0.05, 3.0), st.floats(0, 1e12)), min_size=1, max_size=60),
    st.floats(0.3, 5.0) | st.none(),
)
def test_windows_hold_the_traffic_of_the_spans(spans, step_s):
    """Windows are contiguous, each is at least half a second long, and together they hold every byte."""
    means, t, windows = WindowMeans(), 1000.0, {}
    means.set_window(step_s)
    moved = 0.0
    for seconds, rate in spans:
        means.add(span(t, t + seconds, rate))
        t += seconds
        moved += rate * seconds
        window = means.window
        assert window is not None
        assert window.by_counter == pytest.approx(window.means), "the GPU has one link"
        windows[window.span_s[0]] = window.span_s, window.means[0]
    found = sorted(windows.values())
    held = sum(mean * (end - start) for (start, end), mean in found)
    assert held <= moved * (1 + 1e-9) + 1
    for (start, end), _ in found[:-1]:
        assert end - start >= MIN_WINDOW_S - 1e-6
    assert all(a[0][1] <= b[0][0] + 1e-6 for a, b in pairwise(found))


def test_an_unknown_span_makes_only_its_window_unknown():
    means = WindowMeans()
    for k in range(24):
        means.add(span(k / 4, (k + 1) / 4, UNREAD if k == 10 else 4.0, 1.0))
        if k == 15:
            for values in (means.window.means, means.window.by_counter, means.window.peaks):
                assert math.isnan(values[0])
                assert values[1] == 1.0
    assert means.window.means == means.window.by_counter == [4.0, 1.0]


def test_a_span_without_any_value_ends_the_window():
    means = WindowMeans()
    means.add(span(0.0, 1.0, 4.0))
    means.add(span(1.0, 1.5, UNREAD, UNREAD))
    assert means.window is None
    means.add(span(1.5, 2.5, 2.0))
    window: Any = means.window
    assert window.span_s == (1.5, 2.5)
    assert window.means == [2.0, 0.0]


def test_the_means_begin_with_the_traffic():
    means = WindowMeans()
    for k in range(10):
        means.add(span(float(k), k + 1.0, 0.0))
    assert means.window.silent
    means.add(span(10.0, 10.25, 8.0))
    assert means.window.span_s == (10.0, 10.25)
    assert means.window.means == [8.0, 0.0]


def test_a_gap_starts_another_window():
    means = WindowMeans()
    means.add(span(0.0, 1.0, 4.0))
    means.add(span(8.0, 8.5, 6.0))
    assert means.window.span_s == (8.0, 8.5)
    assert means.window.means == [6.0, 0.0]
