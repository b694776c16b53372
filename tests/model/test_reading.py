"""Counters that are unpacked when they are first used are the same as others."""

from __future__ import annotations

from array import array
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.gpu import GpuTrack
from nvltop.model import Counter, Gpu, LinkCounters, Missing, Reading, Remote, Scope
from nvltop.record.counter_columns import CounterColumns
from nvltop.wire.pipe_codec import Packer, Receiver

COUNTS = st.integers(0, (1 << 64) - 1)


def is_unpacked(data: LinkCounters) -> bool:
    """Return whether an object keeps its values as integers."""
    try:
        vars(LinkCounters)["tx_bytes"].__get__(data)
    except AttributeError:
        return False
    return True


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=4), st.lists(st.integers(-1, 1 << 62)))
def test_packed_counters_equal_others(pairs, stamps):
    tx, rx = zip(*pairs, strict=True)
    counts = array("Q", tx + rx).tobytes(), array("q", stamps).tobytes()
    made = [LinkCounters.of_packed(Counter.RAW, Scope.LINK, *counts) for _ in range(4)]
    plain = LinkCounters(Counter.RAW, Scope.LINK, tx, rx, tuple(stamps))
    assert made[0].total_bytes() == plain.total_bytes() == sum(tx + rx)
    assert made[0].unread() == plain.unread() == set()
    assert made[0].links == plain.links == len(pairs)
    assert made[0].numbers() == plain.numbers() == (tx + rx, tuple(stamps))
    assert not is_unpacked(made[0])
    assert made[0] == plain
    assert is_unpacked(made[0])
    assert plain == made[1]
    assert hash(made[2]) == hash(plain)
    assert replace(made[3], stamp_us=()) == replace(plain, stamp_us=())


def test_missing_counters_are_named_and_not_counted():
    unread = LinkCounters(Counter.RAW, Scope.LINK, (1, Missing("link is down")), (2, Missing("link is down")))
    assert unread.total_bytes() == 3
    assert unread.unread() == {1}


def test_what_takes_counters_does_not_unpack_them():
    """The flight recorder keeps them for some seconds."""
    sent = LinkCounters(Counter.DATA, Scope.LINK, (1, 2), (3, 4), (5,) * 4)
    [came] = Receiver().feed(Packer().pack([Reading("GPU-a", 1.0, 1.1, 1e9, sent)]))
    assert isinstance(came, Reading)
    assert isinstance(came.data, LinkCounters)
    GpuTrack(Gpu(0, "GPU-a", remotes=(Remote(),) * 2)).count(came, came.data, 1.0)
    CounterColumns(sent).add(came.data)
    assert not is_unpacked(came.data)
    assert came.data == sent


def test_counters_have_no_other_attributes():
    assert not hasattr(LinkCounters(Counter.RAW, Scope.LINK, (1,), (2,)), "counts")
