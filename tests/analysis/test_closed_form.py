"""Shown rates against the exact integral of the simulated traffic."""

from __future__ import annotations

import pytest

from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Counter, Missing, known
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated.machine import RAW_IDLE_BYTES_PER_S, RAW_OVER_DATA

KIB = 1024


@pytest.mark.parametrize("node", ["dgx-h100", "dgx-a100", "hgx-a100-4", "dgx1-v100"])
def test_every_link_shows_the_exact_mean_of_its_traffic(bench, node):
    b = bench(node)
    b.run(1.0)
    for _ in range(8):
        b.clock.now += 0.25
        frame = b.poll(GpuReader.read_counters)
        for g in frame.gpus:
            start, end = (s - 1000.0 for s in g.span_s)
            for link in g.links:
                for direction, shown in (("tx", link.tx_bytes_per_s), ("rx", link.rx_bytes_per_s)):
                    flow = b.library.machine.flow(g.gpu.index, link.index, direction)
                    truth = (flow.integral(end) - flow.integral(start)) / (end - start)
                    assert shown == pytest.approx(truth, rel=1e-6, abs=2 * KIB / (end - start))


def test_first_frame_knows_no_rate(bench):
    frame = bench().poll()
    for g in frame.gpus:
        assert g.nvlink.tx_bytes_per_s == Missing("needs a second reading")
        assert all(known(link.tx_bytes_total) for link in g.links)


def test_direct_links_send_what_the_other_end_receives(bench):
    b = bench("dgx1-v100")
    frame = b.run(2.0)
    by_uuid = {g.gpu.uuid: g for g in frame.gpus}
    for g in frame.gpus:
        for link in g.links:
            there = by_uuid[link.remote.gpu].links[link.remote.link]
            assert there.rx_bytes_per_s == pytest.approx(link.tx_bytes_per_s, rel=1e-6, abs=1e4)


def test_raw_is_used_and_named_where_data_stands_still(bench):
    b = bench("rtx3090-pair")
    frame = b.run(4.0)
    for g in frame.gpus:
        assert g.nvlink.counter is Counter.RAW
        start, end = (s - 1000.0 for s in g.span_s)
        for link in g.links:
            flow = b.library.machine.flow(g.gpu.index, link.index, "tx")
            truth = (flow.integral(end) - flow.integral(start)) / (
                end - start
            ) * RAW_OVER_DATA + RAW_IDLE_BYTES_PER_S
            assert link.tx_bytes_per_s == pytest.approx(truth, rel=1e-3)


def test_an_idle_pair_of_3090s_stays_on_data(bench):
    frame = bench("rtx3090-pair", "idle").run(6.0)
    assert {g.nvlink.counter for g in frame.gpus} == {Counter.DATA}
    assert {link.tx_bytes_per_s for g in frame.gpus for link in g.links} == {0.0}


def test_history_holds_the_same_bytes(bench):
    b = bench()
    b.history = RateHistory()
    frame = b.run(6.0)
    g = frame.gpus[2]
    flow = b.library.machine.flow(2, 5, "tx")
    second = b.history.bucket - 2
    shown = b.history.second_means((g.gpu.uuid, 5, "tx"), b.history.bucket - 2, 1)[0]
    truth = flow.integral(second + 1 - 1000.0) - flow.integral(second - 1000.0)
    assert shown == pytest.approx(truth, rel=1e-3)
