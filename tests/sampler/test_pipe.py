"""Items pass the pipe whole, in their order and in few bursts."""

from __future__ import annotations

import json
import os
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.model import (
    Counter,
    Event,
    Gauges,
    Host,
    LinkCounters,
    LinkErrors,
    Missing,
    NicPort,
    NicPorts,
    Reading,
    Scope,
)
from nvltop.sampler import pipe
from nvltop.sampler.pipe import Sender
from nvltop.sampler.schedule import BATCH_S, RequestedInterval
from nvltop.wire.codec import encode
from nvltop.wire.pipe_codec import HEADER, MARK, MAX_BURST_BYTES, Packer, Receiver
from tests.wire.test_codec import json_values


def parts(burst: bytes) -> tuple[bytes, Any]:
    """Return the numbers of a burst, and its values."""
    begin = HEADER.size
    _, length, _ = HEADER.unpack(burst[:begin])
    return burst[begin : begin + length], json.loads(burst[begin + length :])


def burst_of(numbers: bytes, values: bytes) -> bytes:
    return HEADER.pack(MARK, len(numbers), len(values)) + numbers + values


def spoilt(numbers: bytes, values: Any) -> bytes:
    return burst_of(numbers, json.dumps(values).encode())


def reading(data, gpu="GPU-1", start_s=1.0):
    return Reading(gpu, start_s, start_s + 0.5, 1.79e9, data)


LINKS = reading(LinkCounters(Counter.DATA, Scope.LINK, (1 << 60, 2), (3, Missing("link is down")), (5,)))
HOST = reading(Host(12.5, 1, 2), gpu=None)
NICS = reading(NicPorts(tuple(NicPort("mlx5", n, tx_bytes=n) for n in (1, 2))), gpu=None)
ITEMS = [LINKS, HOST, Event(2.0, 1.79e9, "GPU-1", "xid", 74), reading(Gauges(power_w=350.5))]


@given(st.lists(st.lists(st.sampled_from(ITEMS), max_size=3), max_size=4), st.data())
def test_bursts_come_whole_in_whatever_pieces(bursts, data):
    stream = b"".join(map(Packer().pack, bursts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    receiver = Receiver()
    came = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        came += receiver.feed(stream[begin:end])
    assert came == [item for burst in bursts for item in burst]
    assert receiver.rejected == 0


counts = st.integers(0, (1 << 64) - 1)


stamps = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=40), st.data())
def test_counters_and_time_stamps_of_64_bits_pass_unchanged(pairs, data):
    tx, rx = zip(*pairs, strict=True)
    size = data.draw(st.sampled_from((0, 1, 2 * len(pairs))))
    stamp_us = tuple(data.draw(st.lists(stamps, min_size=size, max_size=size)))
    sent = [reading(LinkCounters(Counter.RAW, Scope.LINK, tx, rx, stamp_us)) for _ in range(2)]
    assert Receiver().feed(Packer().pack(sent)) == sent


# Until the year 2106: a float of later seconds does not resolve a microsecond.
times = st.integers(0, 2**32 * 10**6 - 1).map(lambda us: us / 10**6)
any_reading = st.builds(
    Reading,
    st.none() | st.sampled_from(["GPU-1", "GPU-2"]),
    times,
    times,
    times,
    st.from_type(Reading).map(lambda r: r.data),
    st.none() | st.just("GPU is lost"),
)


@given(st.lists(any_reading | st.just(ITEMS[2]), max_size=6), st.lists(st.integers(0, 5), max_size=4))
def test_any_items_pass_together(items, again):
    """Items that come again are the same objects, so that their values are only referred to."""
    items += [items[i] for i in again if i < len(items)]
    packer, receiver = Packer(), Receiver()
    for sent in (items, items[::-1]):
        assert receiver.feed(packer.pack(sent)) == sent
    assert receiver.rejected == 0


@pytest.mark.parametrize("cut", [1, 2, 7, 8, 16, 48, 56])
def test_numbers_that_are_too_few_or_too_many_are_rejected(cut):
    burst = Packer().pack([reading(LinkCounters(Counter.RAW, Scope.LINK, (1,), (2,), (3, 4)))])
    numbers, values = parts(burst)
    for other in (numbers[cut:], numbers[:-cut], bytes(cut) + numbers):
        receiver = Receiver()
        assert receiver.feed(spoilt(other, values)) == []
        assert receiver.rejected == 1


@settings(max_examples=300)
@given(st.data(), json_values)
def test_a_spoilt_burst_is_items_or_rejected(data, value):
    numbers, burst = parts(Packer().pack([*ITEMS, HOST, NICS]))
    at = burst
    while isinstance(at, list) and at:
        i = data.draw(st.integers(0, len(at) - 1))
        if isinstance(at[i], list) and at[i] and data.draw(st.booleans()):
            at = at[i]
        else:
            at[i] = value
            break
    receiver = Receiver()
    came = receiver.feed(spoilt(numbers, burst) + Packer().pack([HOST]))
    assert came[-1] == HOST
    assert all(type(item) in (Reading, Event) for item in came)
    assert "\n" not in receiver.rejection


def test_a_position_that_no_list_has_is_rejected():
    numbers, burst = parts(Packer().pack([ITEMS[2]]))
    assert [at for at, _ in burst[-1]] == [0]
    burst[-1][0][0] = 1 << 64
    receiver = Receiver()
    assert receiver.feed(spoilt(numbers, burst) + Packer().pack([HOST])) == [HOST]
    assert receiver.rejected == 1


def test_names_of_gpus_have_no_control_characters():
    items = Receiver().feed(Packer().pack([reading(Host(), "GPU-\x1b[2J") for _ in range(2)]))
    assert [item.gpu for item in items] == ["GPU-\\x1b[2J"] * 2


def test_garbage_costs_only_itself():
    receiver = Receiver()
    assert receiver.feed(Packer().pack([LINKS, reading(Gauges(power_w=-5.0)), HOST])) == [LINKS, HOST]
    assert receiver.rejected == 1


@pytest.mark.parametrize(
    "counters",
    [
        LinkCounters(Counter.RAW, Scope.LINK, (1, 2), (3, 4), (5, 6, 7)),
        LinkCounters(Counter.RAW, Scope.GPU, (1, 2), (3, 4)),
        LinkCounters(Counter.RAW, Scope.LINK, (1,) * 1025, (2,) * 1025),
    ],
)
def test_counters_of_a_wrong_shape_cost_only_themselves(counters):
    packer, receiver = Packer(), Receiver()
    for _ in range(2):
        assert receiver.feed(packer.pack([HOST, reading(counters), NICS, LINKS])) == [HOST, NICS, LINKS]
    assert receiver.rejected == 2


INVALID = [b"\xff", b"[[1,", b"7", b"", b'{"r": 1}', b"[NaN]", b"[" * 10**5]


@pytest.mark.parametrize(
    "garbage", [*map(burst_of, [b"", bytes(8)] * len(INVALID), INVALID * 2), b"\xffNV", b"7"]
)
def test_an_invalid_burst_costs_only_itself(garbage):
    receiver = Receiver()
    assert receiver.feed(Packer().pack([LINKS]) + garbage + Packer().pack([HOST])) == [LINKS, HOST]
    assert receiver.rejected == 1
    assert not receiver.is_incomplete


def test_a_receiver_does_not_wait_for_more_than_a_node_can_send():
    receiver = Receiver()
    assert receiver.feed(HEADER.pack(MARK, MAX_BURST_BYTES, 1) + Packer().pack([HOST])) == [HOST]
    assert receiver.rejected == 1


@given(st.data())
def test_a_burst_is_incomplete_until_its_last_byte_has_come(data):
    burst = Packer().pack(data.draw(st.lists(st.sampled_from(ITEMS))))
    receiver = Receiver()
    begin = data.draw(st.integers(1, len(burst) - 1))
    assert receiver.feed(burst[:begin]) == []
    assert receiver.is_incomplete
    receiver.feed(burst[begin:])
    assert not receiver.is_incomplete
    assert receiver.rejected == 0


def test_values_of_a_lost_burst_are_not_replaced_by_older_ones():
    packer, receiver = Packer(), Receiver()
    cold, hot = reading(Gauges(power_w=70.0)), reading(Gauges(power_w=700.0))
    assert receiver.feed(packer.pack([cold, HOST])) == [cold, HOST]
    packer.pack([hot])
    assert receiver.feed(b"lost" + packer.pack([hot, LINKS])) == [LINKS]
    assert receiver.feed(packer.pack([cold, HOST])) == [cold]
    assert receiver.rejection == "values that were in a burst that is not valid"


def test_a_gpu_whose_name_is_lost_does_not_pass_for_another():
    packer, receiver = Packer(), Receiver()
    packer.pack([reading(Gauges(), "GPU-1")])
    both = [reading(Gauges(power_w=1.0), "GPU-1"), reading(Gauges(power_w=2.0), "GPU-2")]
    assert receiver.feed(b"lost" + packer.pack(both[1:]) + packer.pack(both[:1])) == both[1:]


def test_times_are_in_whole_microseconds():
    (item,) = Receiver().feed(Packer().pack([reading(Host(), None, 1.0000004)]))
    assert (item.start_s, item.end_s) == (1.0, 1.5)


@given(st.floats(0, 2**52 / 10**6 - 1))
def test_times_are_rounded_to_the_nearest_microsecond(time_s):
    (item,) = Receiver().feed(Packer().pack([Reading(None, time_s, time_s, time_s, Host())]))
    assert item.start_s == item.end_s == item.wall_s == round(time_s * 10**6) / 10**6


@given(st.floats(), st.integers(0, 5))
def test_what_is_not_a_time_is_rejected(us, place):
    burst = Packer().pack([reading(Host()), HOST])
    begin = HEADER.size + 8 * place
    receiver = Receiver()
    came = receiver.feed(burst[:begin] + struct.pack("d", us) + burst[begin + 8 :])
    assert bool(came) == (0 <= us < 1 << 63)
    assert receiver.rejected == (not came)


@pytest.fixture
def sender(monkeypatch):
    """A sender whose clock the test moves, and what comes out of its pipe."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(pipe, "time", SimpleNamespace(monotonic=lambda: clock.now))
    out, into = os.pipe()
    os.set_blocking(out, False)
    receiver = Receiver()

    def arrived():
        try:
            return receiver.feed(os.read(out, 1 << 16))
        except BlockingIOError:
            return []

    requested = RequestedInterval(BATCH_S)
    yield SimpleNamespace(
        send=Sender(into, requested).send,
        for_screen=Sender(into, requested, frame_s=1.0).send,
        requested=requested,
        clock=clock,
        arrived=arrived,
    )
    os.close(out)
    os.close(into)


def test_what_is_of_no_hurry_goes_with_the_next_counters(sender):
    sender.send(LINKS)
    assert sender.arrived() == [LINKS]
    sender.send(HOST)
    assert sender.arrived() == []
    sender.send(LINKS)
    assert sender.arrived() == [HOST, LINKS]


def test_nothing_waits_for_long_while_anything_is_read(sender):
    sender.send(HOST)
    assert sender.arrived() == [HOST]
    sender.send(HOST)
    sender.clock.now += 1.1 * BATCH_S
    sender.send(ITEMS[3])
    assert sender.arrived() == [HOST, ITEMS[3]]


def test_what_has_waited_goes_alone_when_it_is_looked_after(sender):
    sender.send(LINKS)
    assert sender.arrived() == [LINKS]
    sender.send(HOST)
    sender.send()
    assert sender.arrived() == []
    sender.clock.now += 1.1 * BATCH_S
    sender.send()
    assert sender.arrived() == [HOST]


def test_nothing_waits_for_counters_that_are_far_off(sender):
    sender.requested.interval_s = 2 * BATCH_S
    for item in (LINKS, HOST, ITEMS[3]):
        sender.send(item)
        assert sender.arrived() == [item]


def test_news_comes_at_once(sender):
    for item in (LINKS, ITEMS[2], LINKS):
        sender.send(item)
        assert sender.arrived() == [item]


def test_for_a_screen_counters_are_sent_once_a_second_after_the_start(sender):
    def sent_at(seconds: float, step_s: float) -> list[int]:
        numbers = []
        for _ in range(round(seconds / step_s)):
            sender.clock.now += step_s
            sender.for_screen(LINKS)
            numbers.append(len(sender.arrived()))
        return numbers

    assert sent_at(5.0, 0.25) == [1] * 20
    assert sent_at(3.0, 0.25) == [0, 0, 0, 4] * 3
    assert sent_at(3.0, 0.1) == ([0] * 9 + [10]) * 3
    assert sent_at(6.0, 2.0) == [1] * 3, "a longer interval than that of the frames"


def test_for_a_screen_events_are_sent_at_once_with_what_waits(sender):
    sender.clock.now += 10.0
    for item in (LINKS, HOST, LINKS):
        sender.for_screen(item)
    assert sender.arrived() == [LINKS]
    sender.clock.now += 0.1
    sender.for_screen(ITEMS[2])
    assert sender.arrived() == [HOST, LINKS, ITEMS[2]]


def test_for_a_screen_items_are_sent_once_a_second_without_counters(sender):
    sender.clock.now += 10.0
    sender.for_screen(LINKS)
    assert sender.arrived() == [LINKS]
    sender.clock.now += 0.95
    sender.for_screen(HOST)
    assert sender.arrived() == [], "counters are about to come"
    sender.clock.now += 0.1
    sender.for_screen()
    assert sender.arrived() == [HOST]


def test_nothing_is_sent_for_no_items(sender):
    sender.send()
    assert sender.arrived() == []


def test_a_burst_is_plain_values():
    _, (names, gpus, kinds, problems, batches, others) = parts(Packer().pack([LINKS, HOST, ITEMS[2], HOST]))
    assert (names, gpus, problems) == ([["GPU-1", 1]], [1, 0, 0], None)
    assert batches[kinds[1]] == ["host", [[12.5], [1], [2]]]
    assert kinds[2] < 0
    assert others == [[2, ["e", 2_000_000, 1_790_000_000_000_000, "GPU-1", "xid", 74, *encode(ITEMS[2])[6:]]]]


@pytest.mark.parametrize("equal", [False, True])
def test_values_that_have_not_changed_are_sent_once(equal):
    packer, receiver, data = Packer(), Receiver(), LinkErrors({"replay": (0, 1)})
    again = LinkErrors({"replay": (0, 1)}) if equal else data
    sent = [reading(data), reading(again, start_s=2.0), reading(data, "GPU-2", 2.0)]
    bursts = [packer.pack([one]) for one in sent]
    batches = [["errors", [[{"replay": [0, 1]}]]]]
    assert [parts(burst)[1][4] for burst in bursts] == [batches, [], batches]
    came = [receiver.feed(burst)[0] for burst in bursts]
    assert came == sent
    assert came[1].data is came[0].data


def test_values_that_are_alike_are_sent_once_for_all_gpus():
    gauges = [Gauges(util_percent=5.0, power_w=float(n)) for n in range(3)]
    sent = [reading(data, f"GPU-{n}") for n, data in enumerate(gauges)]
    [(_, columns)] = parts(Packer().pack(sent))[1][4]
    assert [columns[0], columns[3]] == [[5.0], [0.0, 1.0, 2.0]]


def test_values_that_were_rejected_are_not_replaced_by_older_ones():
    packer, receiver, bad = Packer(), Receiver(), Gauges(power_w=-5.0)
    for data in (Gauges(power_w=5.0), bad, bad):
        came = receiver.feed(packer.pack([reading(data)]))
    assert came == []
    assert receiver.rejected == 2
    nan = reading(Gauges(power_w=float("nan")))
    assert receiver.feed(packer.pack([reading(bad), nan, nan])) == []
    assert receiver.rejected == 5


COUNTERS = st.lists(st.integers(0, 2**70) | st.just(Missing("link is down")), max_size=4)


@given(COUNTERS, COUNTERS)
def test_counters_arrive_as_they_were_sent(tx_bytes, rx_bytes):
    sent = reading(LinkCounters(Counter.RAW, Scope.LINK, tuple(tx_bytes), tuple(rx_bytes)))
    came = Receiver().feed(Packer().pack([sent]))
    assert came == ([sent] if len(tx_bytes) == len(rx_bytes) else [])
