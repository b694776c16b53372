"""GPUs that work together: by what their traffic has in common."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.activity.gpu_groups import GpuGroup, _deviation, similar_series, split_by_traffic

rates = st.integers(0, 10**6).map(float)
series = st.lists(st.one_of(rates, st.just(math.nan)), max_size=80)


@given(series)
def test_the_deviation_is_from_the_mean_of_what_was_read(values):
    read = [v for v in values if v == v]
    mean = sum(read) / len(read) if read else 0.0
    assert _deviation(values) == [v - mean if v == v else 0.0 for v in values]


@given(st.lists(rates, min_size=4, max_size=40), st.lists(rates, min_size=4, max_size=40))
def test_a_group_is_split_where_its_traffic_differs(a, b):
    """Pairs of GPUs with the same traffic stay together; two pairs are two jobs if the pairs differ."""
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]
    values = {"0": a, "1": a, "2": b, "3": b}
    parts = [
        group.gpus for group in split_by_traffic(GpuGroup("links:0", None, ("0", "1", "2", "3")), values)
    ]
    assert parts in ([("0", "1", "2", "3")], [("0", "1"), ("2", "3")])
    x, y = _deviation(a), _deviation(b)
    energy = math.sqrt(sum(v * v for v in x)) * math.sqrt(sum(v * v for v in y))
    if energy and math.isfinite(energy):
        related = sum(p * q for p, q in zip(x, y, strict=True)) / energy
        if related != pytest.approx(0.5, abs=1e-6):
            assert (len(parts) == 1) is (related > 0.5)


def test_series_that_rise_and_fall_together_are_one_channel():
    wave = [math.sin(k / 3) for k in range(60)]
    assert similar_series([wave, [5 * v for v in wave], [-v for v in wave]]) == [[0, 1], [2]]
