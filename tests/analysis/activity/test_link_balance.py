"""The comparison of the links of a GPU."""

from __future__ import annotations

from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.activity.link_balance import medians_of_others


@given(st.lists(st.integers(0, 9).map(float), max_size=40))
def test_the_median_of_the_others_leaves_out_only_the_value_itself(values):
    others = [values[:i] + values[i + 1 :] for i in range(len(values))]
    assert medians_of_others(values) == [median(rest) for rest in others if rest]
