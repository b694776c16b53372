"""Values that were read."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.activity.read_values import read_values


@given(st.lists(st.one_of(st.floats(0, 1e12), st.just(math.nan))))
def test_they_are_all_but_those_that_are_not_a_number(values):
    found = read_values(values)
    assert list(found) == [v for v in values if v == v]
    assert (found is values) is (len(found) == len(values))
