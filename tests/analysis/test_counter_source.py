"""While nvltop finds out which counters are right, no rate is that of a wrong one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nvltop.model import Counter, Reading, Scope, known
from nvltop.nvml.counters import FROZEN_MIN_RAW_BYTES_PER_S
from nvltop.nvml.simulated.machine import RAW_IDLE_BYTES_PER_S, RAW_OVER_DATA
from nvltop.nvml.simulated.traffic import Constant, Switched

INTERVALS_S = (0.1, 0.25, 0.6, 1.0, 2.0)
BEGINS_S = (0.0, 2.33, 7.7)
BYTES_PER_S = 5e9


def traffic_from(begin_s, rate=BYTES_PER_S):
    """Return a preparation of a library: the traffic of all links begins at `begin_s`."""

    def prepare(lib):
        flow = Switched(Constant(0.0), begin_s, Constant(rate))
        lib.machine._tx = dict.fromkeys(lib.machine._tx, flow)

    return prepare


def spans(bench, interval_s, seconds=12.0):
    """Yield GPU and span of each new span of a run, with times in seconds of the simulation."""
    bench.interval_s = interval_s
    newest: dict[str, float] = {}
    for frame in bench.frames(seconds):
        for g in frame.gpus:
            for span in g.spans:
                if newest.get(g.gpu.uuid, -1.0) < span.end_s and span.start_s < span.end_s:
                    newest[g.gpu.uuid] = span.end_s
                    yield g, span.start_s - 1000.0, span.end_s - 1000.0, span


@pytest.mark.parametrize("begin_s", BEGINS_S)
@pytest.mark.parametrize("interval_s", INTERVALS_S)
def test_stuck_counters_never_show_traffic_as_none(bench, interval_s, begin_s):
    b = bench("rtx3090-pair", prepare=traffic_from(begin_s))
    known_s = 0.0
    for g, start_s, end_s, span in spans(b, interval_s):
        flow = b.library.machine.flow(g.gpu.index, 0, "tx")
        moved = len(g.links) * (flow.integral(end_s) - flow.integral(start_s)) / (end_s - start_s)
        raw = moved * RAW_OVER_DATA + len(g.links) * RAW_IDLE_BYTES_PER_S
        for rate in (span.tx_bytes_per_s, span.rx_bytes_per_s):
            if known(rate):
                known_s += end_s - start_s
                assert rate == pytest.approx(raw, rel=1e-3) or moved <= FROZEN_MIN_RAW_BYTES_PER_S
    assert known_s > 4 * 9.0, "rates of two GPUs in both directions are known nearly all the time"


def repeat_the_sum(lib):
    for field_id in (138, 139):
        total = lib.fields.tables[0][field_id]
        lib.fields.tables[0][field_id] = lambda g, s, t, f=total: f(g, 0xFFFFFFFF, t)


@pytest.mark.parametrize("interval_s", INTERVALS_S)
def test_the_sum_on_every_link_is_never_counted_more_than_once(bench, interval_s):
    def prepare(lib):
        traffic_from(2.33, BYTES_PER_S / 10)(lib)
        repeat_the_sum(lib)

    b = bench("dgx-a100", prepare=prepare)
    for g, start_s, end_s, span in spans(b, interval_s):
        flow = b.library.machine.flow(g.gpu.index, 0, "tx")
        moved = len(g.links) * (flow.integral(end_s) - flow.integral(start_s)) / (end_s - start_s)
        for rate in (span.tx_bytes_per_s, span.rx_bytes_per_s):
            assert not known(rate) or rate == pytest.approx(moved, rel=1e-3, abs=1e6)
    assert b.frame().gpus[0].nvlink.scope is Scope.GPU


def test_traffic_in_one_direction_only_shows_that_links_are_counted(bench):
    """Counters of the other direction that are all 0, like their sum, do not repeat a sum."""

    def receive_only(lib):
        for link in range(12):
            lib.machine._tx[0, link] = Constant(0.0)
        counter = lib.machine.counter
        lib.machine.counter = lambda g, k, way, raw, t: (
            0 if (g, way) == (0, "tx") else counter(g, k, way, raw, t)
        )

    frame = bench("dgx-a100", prepare=receive_only).run(3.0)
    assert (frame.gpus[0].nvlink.counter, frame.gpus[0].nvlink.scope) == (Counter.DATA, Scope.LINK)
    assert known(frame.gpus[0].links[3].rx_bytes_per_s)


def test_readings_of_working_counters_are_all_returned(bench):
    """Those held back while the links were idle come with the first one that moved."""
    b = bench("dgx-h100", prepare=traffic_from(2.33))
    ends = []
    for _ in range(40):
        b.clock.now += 0.25
        ends += [r.end_s for r in b.readers[0].counters.read(lambda: True) if isinstance(r, Reading)]
    assert ends == sorted(set(ends))
    moving = [end_s for end_s in ends if end_s > 1002.0]
    assert max(later - earlier for earlier, later in pairwise(moving)) <= 0.25
