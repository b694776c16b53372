"""Counters that are unpacked when they are first used are the same as others."""

from __future__ import annotations

from array import array
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import Counter, LinkCounters, Missing, Scope

COUNTS = st.integers(0, (1 << 64) - 1)


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=4), st.lists(st.integers(-1, 1 << 62)))
def test_packed_counters_equal_others(pairs, stamps):
    tx, rx = zip(*pairs, strict=True)
    counts = array("Q", tx + rx).tobytes(), array("q", stamps).tobytes()
    made = [LinkCounters.of_packed(Counter.RAW, Scope.LINK, *counts) for _ in range(4)]
    plain = LinkCounters(Counter.RAW, Scope.LINK, tx, rx, tuple(stamps))
    assert made[0].total_bytes() == plain.total_bytes() == sum(tx + rx)
    assert made[0].unread() == plain.unread() == set()
    assert made[0] == plain
    assert plain == made[1]
    assert hash(made[2]) == hash(plain)
    assert replace(made[3], stamp_us=()) == replace(plain, stamp_us=())


def test_missing_counters_are_named_and_not_counted():
    unread = LinkCounters(Counter.RAW, Scope.LINK, (1, Missing("link is down")), (2, Missing("link is down")))
    assert unread.total_bytes() == 3
    assert unread.unread() == {1}


def test_counters_have_no_other_attributes():
    assert not hasattr(LinkCounters(Counter.RAW, Scope.LINK, (1,), (2,)), "counts")
