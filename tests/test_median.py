"""The median agrees with the standard library's."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.median import median


@given(st.lists(st.floats(-1e300, 1e300) | st.integers(-(10**9), 10**9), min_size=1))
def test_it_is_the_median_of_the_standard_library(values):
    assert median(iter(values)) == statistics.median(values)


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="no values"):
        median([])
