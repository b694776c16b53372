"""Sums of values when some could not be read."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import Maybe, Missing, first_missing, known, total

missing = st.builds(Missing, st.sampled_from(["no permission", "GPU is lost"]))
counts = st.lists(st.integers() | missing)
rates = st.lists(st.floats(0, 1e12) | missing)


@given(counts | rates)
def test_a_total_is_missing_exactly_if_a_part_is(values):
    assert known(total(values)) == all(map(known, values))
    assert first_missing(values) == (None if known(total(values)) else total(values))


@given(st.lists(st.integers()), st.lists(st.floats(0, 1e12)), st.randoms())
def test_a_total_is_the_sum_in_any_order(integers, floats, random):
    assert total(integers) == sum(integers)
    assert type(total(integers)) is int
    assert total(floats) == math.fsum(floats)
    shuffled = list(floats)
    random.shuffle(shuffled)
    assert total(shuffled) == total(floats)


def test_the_reason_of_a_missing_total_is_that_of_the_first_missing_part():
    values: list[Maybe[int]] = [1, Missing("one"), Missing("two")]
    assert total(values) == Missing("one")
