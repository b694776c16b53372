"""What the readings of a GPU add up to."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.gpu import MAX_SPANS, GpuTrack
from nvltop.analysis.refresh import ALWAYS_FRESH
from nvltop.model import (
    GPU_IS_LOST,
    C2cTraffic,
    Counter,
    Fabric,
    Gauges,
    Gpu,
    Inventory,
    LinkBer,
    LinkCounters,
    LinkErrors,
    LinkState,
    LinkStates,
    Missing,
    PcieTraffic,
    Reading,
    Remote,
    Scope,
    Tick,
)

LINKS = 3
SPEED = 25e9
NODE = Inventory(0.0, 0.0)


class Node:
    """One GPU whose counters are read every second."""

    def __init__(self):
        self.track = GpuTrack(Gpu(0, "GPU-1", remotes=(Remote(),) * LINKS), ALWAYS_FRESH)
        self.now_s = 100.0
        self.states(LinkState.UP)

    def states(self, first):
        states = LinkStates((first, *[LinkState.UP] * (LINKS - 1)), (SPEED,) * LINKS)
        self.track.update(Reading("GPU-1", self.now_s, self.now_s, 0.0, states))

    def count(self, *tx, scope=Scope.LINK):
        self.now_s += 1.0
        data = LinkCounters(Counter.DATA, scope, tx, tuple(t if isinstance(t, Missing) else 0 for t in tx))
        self.track.count(Reading("GPU-1", self.now_s, self.now_s, 0.0, data), data, 1.0)

    def frame(self):
        return self.track.frame(Tick(self.now_s, 0.0, 1.0), NODE, 10.0)


def test_a_link_that_goes_down_leaves_no_gap_in_the_traffic():
    """Its counters fail before its state is read."""
    node = Node()
    node.count(0, 0, 0)
    node.count(5, 7, 11)
    node.count(Missing("not active"), 17, 21)
    node.states(LinkState.DOWN)
    g = node.frame()
    assert [span.tx_bytes_per_s for span in g.spans[1:]] == [23.0, 20.0]
    assert [moved.tx_bytes_per_s for moved in node.track.moved[1:]] == [23.0, 20.0]
    assert g.nvlink.recent_s == 2.0


def test_spans_keep_their_rates_in_eight_bytes_each():
    """There are 32 of them for each GPU, and a window of a step has more."""
    node = Node()
    node.count(0, 0, 0)
    node.count(5, 7, 11)
    node.count(Missing("not active"), 17, 21)
    _, known, unread = node.frame().spans
    assert (type(known.rates), *known.rates) == (array, 5.0, 7.0, 11.0, 0.0, 0.0, 0.0)
    assert tuple(unread.rates)[:3] == (Missing("not active"), 10.0, 10.0)


def test_rates_of_links_are_not_those_of_the_gpu_when_other_counters_are_read():
    node = Node()
    node.count(0, 0, 0)
    node.count(5, 7, 11)
    node.count(40, scope=Scope.GPU)
    node.count(48, scope=Scope.GPU)
    node.count(10, 20, 30)
    node.count(11, 22, 33)
    shown = [(span.tx_bytes_per_s, span.rx_bytes_per_s) for span in node.frame().spans]
    unread = (Missing("needs a second reading"),) * 2
    assert shown == [unread, (23.0, 0.0), unread, (8.0, 0.0), unread, (6.0, 0.0)]


def test_what_a_link_counts_is_in_the_traffic_while_its_state_is_out_of_date():
    node = Node()
    node.count(0, 0, 0)
    node.count(5, 7, 11)
    node.states(LinkState.DOWN)
    node.count(8, 17, 21)  # it went down within this reading
    node.count(8, 27, 31)
    node.count(28, 37, 41)  # it is up again, and its state is not read yet
    node.states(LinkState.UP)
    node.count(38, 47, 51)
    shown = [span.tx_bytes_per_s for span in node.frame().spans[1:]]
    assert shown == [18.0 + 5.0, 20.0 + 3.0, 20.0, 20.0 + 20.0, 30.0]


@pytest.mark.parametrize(
    ("source", "span_s"),
    [("20ms", (4000.0, 4000.04)), ("gpm", (4000.0, 4000.04)), ("byte-counter", (5.04, 4000.04))],
)
def test_one_pcie_sample_does_not_stand_for_an_hour_without_readings(source, span_s):
    node = Node()
    for start_s in (0.0, 5.0, 4000.0):
        data = PcieTraffic(1e9, 2e9, source)
        node.track.update(Reading("GPU-1", start_s, start_s + 0.04, 0.0, data))
    assert node.frame().pcie_span_s == span_s


def test_a_gpu_whose_counters_are_read_is_not_lost():
    node = Node()
    node.count(0, 0, 0)
    node.track.update(Reading("GPU-1", node.now_s, node.now_s, 0.0, Gauges(), GPU_IS_LOST.reason))
    node.count(*[GPU_IS_LOST] * LINKS)
    assert node.frame().state == "lost"
    node.count(5, 7, 11)
    assert (node.frame().state, node.frame().state_reason) == ("ok", "")


@pytest.mark.parametrize("counts", [(0, 0, 0), (0, 7, 0)])
def test_the_error_counters_of_a_lost_gpu_are_unknown_although_they_are_not_read_again(counts):
    node = Node()
    for total in (counts, tuple(2 * count for count in counts)):
        node.count(0, 0, 0)
        node.track.update(Reading("GPU-1", node.now_s, node.now_s, 0.0, LinkErrors({"crc": total})))
    node.track.update(Reading("GPU-1", node.now_s, node.now_s, 0.0, Gauges(), GPU_IS_LOST.reason))
    shown = node.frame()
    assert (shown.nvlink.errors_total, shown.nvlink.errors_since_start) == (GPU_IS_LOST, GPU_IS_LOST)
    for link in shown.links:
        count = link.errors["crc"]
        assert {count.total, count.since_start, count.per_min, count.last_hour} == {GPU_IS_LOST}


def test_no_value_of_a_lost_gpu_is_shown_as_that_of_now():
    """The PCIe traffic and the state of the fabric stayed those of the last reading."""
    node = Node()
    node.count(0, 0, 0)
    for data in (
        PcieTraffic(1e9, 2e9, "byte-counter"),
        C2cTraffic(1e9, Missing("no C2C")),
        Fabric("completed", "success", recovery_action=0, initialised_s=5.0),
        LinkBer((15, 15, Missing("down"))),
    ):
        node.track.update(Reading("GPU-1", node.now_s, node.now_s, 0.0, data))
    node.track.update(Reading("GPU-1", node.now_s, node.now_s, 0.0, Gauges(), GPU_IS_LOST.reason))
    shown = node.frame()
    assert shown.pcie == PcieTraffic(GPU_IS_LOST, GPU_IS_LOST, "byte-counter")
    assert shown.c2c == C2cTraffic(GPU_IS_LOST, Missing("no C2C"))
    assert {shown.fabric.state, shown.fabric.status, shown.fabric.recovery_action} == {GPU_IS_LOST}
    assert shown.ber == LinkBer((GPU_IS_LOST, GPU_IS_LOST, Missing("down")))


@given(st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), min_size=1, max_size=MAX_SPANS))
def test_what_is_passed_on_does_not_depend_on_when_frames_are_made(steps):
    often, once = Node(), Node()
    total = 0
    for step, is_drawn in steps:
        total += step
        for node in (often, once):
            node.count(total, 2 * total, 0)
        if is_drawn:
            often.frame()
    a, b = often.frame(), once.frame()
    assert (a.spans, a.mean_span_s, a.nvlink) == (b.spans, b.mean_span_s, b.nvlink)
    assert list(a.links) == list(b.links)
    passed = [[m for m in node.track.moved if not math.isnan(m.tx_bytes_per_s)] for node in (often, once)]
    assert passed[0] == passed[1]
    counted = sum(m.tx_bytes_per_s * (m.end_s - m.start_s) for m in passed[0])
    assert math.isclose(counted, 3 * (total - steps[0][0]), abs_tol=1.0)
