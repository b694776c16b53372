"""Integers that are multiplied at once are the products of each."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from nvltop.nvml.lanes import multiplied

MOST = (1 << 64) - 1
NUMBERS = st.lists(st.integers(0, MOST) | st.integers(0, 1 << 40) | st.just(MOST >> 10), max_size=40)


@given(NUMBERS, st.sampled_from((1, 2, 1024)))
def test_products_are_those_of_each_number(numbers, factor):
    products = [number * factor for number in numbers]
    expected = array("Q", products).tobytes() if max(products, default=0) <= MOST else None
    assert multiplied(array("Q", numbers).tobytes(), factor) == expected
