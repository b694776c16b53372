"""Items in columns come out as they were, whatever they are, and take few bytes."""

from __future__ import annotations

import json
import tracemalloc
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.model import (
    Counter,
    Gauges,
    LinkCounters,
    LogLine,
    Missing,
    NicPort,
    NicPorts,
    Process,
    Processes,
    Reading,
    Scope,
    Tick,
)
from nvltop.record.columns import Numbers, restore, transpose
from nvltop.record.item_columns import ItemColumns, unpack, unpack_newest
from nvltop.wire.pipe_codec import Packer, Receiver
from tests.wire.test_line_codec import others, readings

ports = st.builds(
    NicPort,
    st.sampled_from(["mlx5_0", "mlx5_1"]),
    st.just(1),
    tx_bytes=st.integers(0, 2**64) | st.just(Missing("gone")),
    errors=st.dictionaries(st.sampled_from(["symbol_error", "link_downed"]), st.integers(0, 2**64)),
)
processes = st.builds(
    Process, st.integers(1, 9), st.just(()), user=st.sampled_from(["ann", Missing("hidden")])
)
groups = st.lists(ports, max_size=2).map(lambda p: NicPorts(tuple(p))) | st.lists(processes, max_size=2).map(
    lambda p: Processes(tuple(p))
)
more = st.builds(Reading, st.none(), st.just(1.0), st.just(1.5), st.just(1e9), groups)
ticks = st.builds(
    Tick, st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from([0.25, 1.0]), st.just("running")
)


def put(columns, items):
    """Add items: readings that follow one another together, as the recorder does."""
    for are_readings, its in groupby(items, lambda item: isinstance(item, Reading)):
        if are_readings:
            columns.extend(list(its))
        else:
            for item in its:
                columns.add(item)


def packed(items):
    columns = ItemColumns()
    put(columns, items)
    assert len(columns) == len(items)
    return columns.pack()


@settings(max_examples=200)
@given(st.lists(readings() | others | more | ticks, max_size=30))
def test_round_trip(items):
    assert list(unpack(packed(items))) == items


values = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=2)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**6), 10**6).map(lambda n: n / 1000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.lists(values, min_size=1, max_size=6) | values.map(lambda v: [v, v]))
def test_columns_round_trip(column):
    put = Numbers()
    shape = json.loads(json.dumps(transpose(column, put), allow_nan=False))
    assert restore(shape, len(column), Numbers(put.pack(1), len(put))) == column


@pytest.mark.parametrize(
    "sweeps",
    [
        [(0, 0), (2**62, 0), (3, 2**62)],
        [(0, 0), (2**63, 5), (2**64 - 1, 5)],
        [(Missing("down"), Missing("down"))] * 3,
        [(1, 2), (Missing("down"), 2), (3, 4), (4, Missing("down"))],
        [(1024, 2048), (4096, 2048)],
    ],
)
def test_counters_of_any_size_and_shape(sweeps):
    items = [
        Reading("GPU-a", t, t, 1e9 + t, LinkCounters(Counter.DATA, Scope.LINK, sweep, sweep[::-1], stamps))
        for t, sweep in enumerate(sweeps)
        for stamps in ((), (t * 10**6,), (-1,))
    ]
    assert list(unpack(packed(items))) == items
    assert list(unpack(packed(Receiver().feed(Packer().pack(items))))) == items
    assert all(unpack_newest(packed(items[:end])) == [items[end - 1]] for end in range(1, len(items) + 1))


counters = st.integers(0, 2**64 - 1) | st.integers(2**62, 2**62 + 2**40)
growth = st.lists(st.integers(0, 2**36) | st.sampled_from([0, 1024, -1, -(2**40), 2**47, 2**62]), max_size=6)


@settings(max_examples=200)
@given(st.lists(st.tuples(counters, growth), min_size=2, max_size=8), st.integers(-5, 2**62))
def test_counters_that_grow_or_begin_again(links, stamp_us):
    """Columns are added and subtracted as one integer: no counter changes the one beside it."""
    rows = range(min(len(steps) for _, steps in links) + 1)
    sweeps = [tuple((first + sum(steps[:row])) % 2**64 for first, steps in links) for row in rows]
    items = [
        Reading(gpu, t, t, 1e9 + t, LinkCounters(Counter.RAW, Scope.LINK, sweep, sweep[::-1], stamps))
        for t, sweep in enumerate(sweeps)
        for stamps in [(stamp_us - t,) * 2 * len(sweep)]
        for gpu in ("GPU-a", "GPU-b")
    ]
    assert list(unpack(packed(items))) == items
    came = Receiver().feed(Packer().pack(items))
    assert came == items
    assert list(unpack(packed(came))) == items
    assert list(unpack(packed([*items, *came, *items]))) == items * 3
    newest = {item.gpu: item for item in items}
    assert {item.gpu: item for item in unpack_newest(packed([*items, *came]))} == newest


def test_the_newest_counters_are_unpacked_in_little_memory():
    """A slice is opened when it is dropped: what that takes is never given back."""
    sweeps = [tuple(10**13 + (t * link << 26) for link in range(9, 45)) for t in range(1, 60)]
    items = [
        Reading(f"GPU-{gpu}", t, t, 1e9 + t, LinkCounters(Counter.RAW, Scope.LINK, sweep, sweep, sweep * 2))
        for t, sweep in enumerate(sweeps)
        for gpu in range(8)
    ]
    whole = packed(items)
    tracemalloc.start()
    try:
        newest = unpack_newest(whole)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert newest == items[-8:]
    assert peak < 3_000_000  # as integers they would take 4 MB, which are spread over many pages


def test_gpus_are_packed_together_whatever_they_lack():
    items = [
        Reading(gpu, t, t, 1e9 + t, Gauges(power_w=Missing("why") if g == 1 else float(t // (g + 1))))
        for t in range(9)
        for g, gpu in enumerate(("GPU-a", "GPU-b", "GPU-c", None))
    ]
    assert list(unpack(packed(items))) == items
    assert {item.gpu: item for item in unpack_newest(packed(items))} == {i.gpu: i for i in items}


def test_more_can_be_added_after_packing():
    columns = ItemColumns()
    items = [Reading("GPU-a", t, t, 1e9, Gauges(power_w=t / 3)) for t in range(9)]
    for count, item in enumerate(items, 1):
        put(columns, [item])
        assert list(unpack(columns.pack())) == items[:count]


def test_the_newest_of_each_kind_and_all_log_lines():
    lines = [LogLine(t, 1e9, "kernel", f"line {t}") for t in (1.0, 2.0)]
    first = [Reading(gpu, 1.0, 1.0, 1e9, Gauges(power_w=1.0)) for gpu in ("GPU-a", "GPU-b")]
    again = Reading("GPU-a", 2.0, 2.0, 1e9, Gauges(power_w=2.0), "GPU is lost")
    newest = unpack_newest(packed([*first, *lines, again]))
    assert sorted(newest, key=repr) == sorted([first[1], again, *lines], key=repr)
    assert not unpack_newest(())
