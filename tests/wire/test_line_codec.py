"""Any items go into lines and come out as they were; a day of a busy node stays within its bounds."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.model import (
    Counter,
    Event,
    Gauges,
    Gpu,
    Host,
    Inventory,
    LinkCounters,
    LinkErrors,
    Listening,
    Maybe,
    Missing,
    Reading,
    Remote,
    Scope,
    Tick,
)
from nvltop.record.compression import compressor
from nvltop.wire.codec import encode
from nvltop.wire.counter_deltas import pack, unpack
from nvltop.wire.line_codec import LineDecoder, LineEncoder
from nvltop.wire.names import CURRENT_GROUPS as GROUP_NAMES
from nvltop.wire.patch import apply, diff
from nvltop.wire.schema import CodecError
from nvltop.wire.time_deltas import TimeDeltas

missing = st.sampled_from([Missing("gone"), Missing("not supported")])
counts = st.integers(0, 2**74) | st.integers(0, 2**40).map(lambda n: n * 1024) | missing
times = st.floats(0, 1e9) | st.integers(0, 10**15).map(lambda us: us / 1e6)
tuples = st.integers(0, 4).flatmap(lambda n: st.tuples(*[counts] * n))
scopes = st.just((Scope.GPU, 1)) | st.tuples(st.just(Scope.LINK), st.integers(0, 4))
links = scopes.flatmap(
    lambda scope: st.builds(
        LinkCounters,
        st.sampled_from(Counter),
        st.just(scope[0]),
        st.tuples(*[counts] * scope[1]),
        st.tuples(*[counts] * scope[1]),
        st.just(()) | st.tuples(*[st.integers(-5, 2**60)] * 2 * scope[1]),
    )
)
gauges = st.builds(Gauges, times | missing, st.integers(0, 9), temperature_c=st.floats(-50, 50) | missing)
errors = st.builds(LinkErrors, st.dictionaries(st.sampled_from(["crc", "replay"]), tuples))


@st.composite
def readings(draw):
    start, length = draw(times), draw(st.floats(0, 10))
    gpu = draw(st.sampled_from(["GPU-a", "GPU-b", None]))
    problem = draw(st.sampled_from([None, None, "GPU is lost"]))
    return Reading(gpu, start, start + length, draw(times), draw(links | gauges | errors), problem)


others = (
    st.builds(Event, times, times, st.sampled_from([None, "GPU-a"]), st.just("xid"), st.integers(0, 100))
    | st.builds(Listening, times, times, st.integers(0, 8))
    | st.builds(Inventory, times, times, st.sampled_from(["570.1", Missing("gone")]))
)


def through(items):
    encoder, decoder = LineEncoder(), LineDecoder()
    for item in items:
        for line in encoder.lines(item):
            text = json.dumps(line, allow_nan=False)
            back = decoder.item(json.loads(text), len(text))
            if back is not None:
                yield back


@settings(max_examples=150)
@given(st.lists(readings() | others, max_size=12), st.lists(times, max_size=3))
def test_round_trip(items, ticks):
    items += [Tick(t, 1.79e9, 0.25, note="late" if t > 1 else "") for t in sorted(ticks)]
    assert list(through(items)) == items


def test_counters_round_trip_through_resets_wraps_and_links_that_go():
    sweeps: list[tuple[Maybe[int], Maybe[int]]] = [
        (0, 0),
        (1024, 5000),
        (2048, 10000),
        (2048, Missing("down")),
        (3, 10000),
        (2**40, 10001),
        (2**64, 0),
    ]
    items = [
        Reading(
            "GPU-a", t, t + 0.1, 1.79e9 + t, LinkCounters(Counter.DATA, Scope.LINK, s, s[::-1], (t * 10**6,))
        )
        for t, s in enumerate(sweeps)
    ]
    assert list(through(items)) == items


@given(st.lists(st.integers(-(2**70), 2**70), max_size=30))
def test_pack(numbers):
    base, packed = pack(numbers)
    assert unpack(base, packed, len(numbers)) == numbers


@pytest.mark.parametrize(
    ("base", "packed", "count"),
    [(0, 0, 1), (2, 4, 2), (True, 0, 1), (2, -1, 2), (2.0, 1, 2), (2**99, 0, 1), (2, "1", 2)],
)
def test_what_was_not_packed_is_refused(base, packed, count):
    with pytest.raises(CodecError):
        unpack(base, packed, count)


values = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=12,
)


@given(values, values)
def test_patch(old, new):
    change = diff(old, new)
    assert (old if change is None else apply(old, change)) == new


@pytest.mark.parametrize(
    "change", [{"2": 1}, {"-1": 1}, {"x": 1}, {"0": {"0": 1}}, [], [1, 2], None, {"²": 1}]
)
def test_a_patch_that_does_not_fit_is_refused(change):
    with pytest.raises(CodecError):
        apply([1, 2], change)


@given(st.lists(st.tuples(times, times), max_size=9))
def test_times_are_exact(pairs):
    write, read = TimeDeltas(), TimeDeltas()
    for mono, wall in pairs:
        assert read.read([*write.write(mono, wall_s=wall)]) == (mono, wall)


def test_whole_microseconds_are_short():
    at = TimeDeltas()
    at.write(86400.25, wall_s=1.79e9)
    assert at.write(86400.500125, 86400.500425, wall_s=1790000000.250427) == [250125, 300, 2]


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["t"],
        ["t", 0, 0],
        ["t", -1, 0, [[1.0, "running", [], ""]]],
        ["t", float("nan"), 0, [[1.0, "running", [], ""]]],
        ["t", 1e300, 0, [[1.0, "running", [], ""]]],
        ["t", True, 0, [[1.0, "running", [], ""]]],
        ["t", 10**40, 0, [[1.0, "running", [], ""]]],
        ["g", None],
        ["g", "a", "b"],
        [0, 3, 0, 0, 0],
        [-1, 3, 0, 0, 0],
        [-1, 99, 0, 0, 0, []],
        [-1, 3, 5, -1, 0, [[None, *[{"?": "x"}] * 10]]],
        [-1, 0, 0, 0, 0, [], 1, 0, 0, 1, 0],
        [-1, 7, 0, 0, 0, [[None, 1.0, 2]]],
        [-2, 7, 0, 0, 0, [[None, 1.0, 2, 3]]],
    ],
)
def test_lines_that_do_not_hold_an_item(line):
    with pytest.raises(CodecError):
        LineDecoder().item(line, 100)


def test_ticks_do_not_go_back():
    decoder = LineDecoder()
    decoder.item(["t", 10**6, 0, [[1.0, "running", [], ""]]], 50)
    with pytest.raises(CodecError, match="backwards"):
        decoder.item(["t", -1, 0], 20)


def filled(group: str, body: list, most: int) -> int:
    """Decode as much of a group as is taken, GPU after GPU; returns the number of GPUs."""
    decoder = LineDecoder()
    for gpu in range(most):
        decoder.item(["g", f"GPU-{gpu}"], 20)
        try:
            decoder.item([gpu, GROUP_NAMES.index(group), 0, 0, 0, [body]], len(json.dumps(body)))
        except CodecError:
            return gpu
    return most


@pytest.mark.parametrize(
    ("group", "body", "least", "most"),
    [
        # Of text: ten reasons of four thousand characters.
        ("gauges", [None, *[{"?": "x" * 4000}] * len(fields(Gauges))], 250, 650),
        # Of what text becomes: two bytes are a counter.
        ("errors", [None, {f"kind {k}": [0] * 1000 for k in range(60)}], 1, 1),
        ("states", [None, ["up"] * 1000, [0.0] * 1000], 65, 65),
        # The largest node there is.
        ("errors", [None, {f"kind {k}": [10**12] * 36 for k in range(13)}], 72, 72),
    ],
)
def test_no_more_is_remembered_than_a_node_has(group, body, least, most):
    assert least <= filled(group, body, 72 if most == 72 else 1024) <= most


def test_an_inventory_has_no_more_links_than_a_node():
    decoder = LineDecoder()
    gpus = tuple(Gpu(i, f"GPU-{i}", remotes=(Remote(),) * 512) for i in range(33))
    for count, ok in ((32, True), (33, False)):
        _, _, _, *rest = encode(Inventory(1.0, 2.0, gpus=gpus[:count]))
        with nullcontext() if ok else pytest.raises(CodecError, match="more than 16384 links"):
            decoder.item(["i", 1000, 1000, *json.loads(json.dumps(rest))], 20)


def busy_node(hz: int, seconds: int):
    """Eight GPUs with 18 links each, and 1 % noise on every rate, all day."""
    noise = random.Random(1)
    totals = [[0.0] * 36 for _ in range(8)]
    for turn in range(hz * seconds):
        at = 1e5 + turn / hz
        for gpu in range(8):
            at += noise.uniform(3e-4, 4e-4)
            for link in range(36):
                totals[gpu][link] += 12e9 / hz * noise.gauss(1, 0.01)
            whole = tuple(int(t) // 1024 * 1024 for t in totals[gpu])
            start, end = round(at, 6), round(at + noise.gauss(3e-4, 3e-5), 6)
            wall = round(end + 1.79e9, 6)
            stamps = (int(wall * 1e6) - noise.randrange(90, 140),)
            data = LinkCounters(Counter.DATA, Scope.LINK, whole[:18], whole[18:], stamps)
            yield Reading(f"GPU-{gpu}", start, end, wall, data)
            if turn % hz == 0:
                power, heat, load = (
                    round(noise.gauss(680, 7), 3),
                    noise.randrange(60, 63),
                    noise.randrange(97, 101),
                )
                clock = noise.choice([1965, 1980])
                now = Gauges(load, 70 << 30, 80 << 30, power, heat, clock, 0, 4, 5, 16)
                yield Reading(f"GPU-{gpu}", end, round(end + noise.gauss(2e-3, 2e-4), 6), wall, now)
        if turn % hz == 0:
            memory = round(noise.gauss(4e11, 4e9)) // 4096 * 4096
            yield Reading(
                None, round(at, 6), round(at, 6), wall, Host(round(noise.gauss(38, 1), 1), memory, 1 << 41)
            )
        yield Tick(round(at + 0.9 / hz, 6), round(at + 0.9 / hz + 1.79e9, 6), 1 / hz)


@pytest.mark.parametrize(("hz", "most_mb"), [(1, 110), (4, 350)])
def test_a_day_of_a_dgx_h100(tmp_path, hz, most_mb):
    pack_block, packed, seconds = compressor(tmp_path / "x.gz"), 0, 20
    encoder = LineEncoder()
    lines: list[bytes] = []
    begun = 0.0
    for item in busy_node(hz, seconds):
        lines += [json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in encoder.lines(item)]
        if isinstance(item, Tick) and item.mono_s > begun + 10:
            packed += len(pack_block(b"".join(lines)))
            begun, lines = item.mono_s, []
    packed += len(pack_block(b"".join(lines)))
    assert packed * 86400 / seconds < most_mb * 1e6
