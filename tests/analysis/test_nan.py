"""Unknown numbers as NaN."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.nan import all_or_nan, has_nan, or_nan, without_nan
from nvltop.model import Missing, known

NUMBERS = st.floats(0, 1e12)
UNREAD = Missing("not read")


@given(st.lists(st.one_of(NUMBERS, st.just(math.nan))))
def test_what_is_known_is_all_but_nan(values):
    found = without_nan(values)
    assert list(found) == [v for v in values if not math.isnan(v)]
    assert (found is values) is (len(found) == len(values)) is not has_nan(values)


@given(st.lists(st.one_of(NUMBERS, st.just(UNREAD))))
def test_what_is_missing_is_nan(values):
    found = all_or_nan(values)
    assert list(map(math.isnan, found)) == [value is UNREAD for value in values]
    assert [v for v in found if v == v] == list(filter(known, values))
    assert [v for v in map(or_nan, values) if v == v] == list(filter(known, values))
