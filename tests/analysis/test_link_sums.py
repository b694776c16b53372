"""Sums of rates over the links of a GPU."""

from __future__ import annotations

import pytest

from nvltop.analysis.rates import IMPLAUSIBLE_RATE
from nvltop.model import known
from nvltop.nvml.session import GpuReader


def frame_with_rates(bench, shares):
    """Return a frame in which each link of GPU 0 moves this share of its speed."""
    b = bench("h100-two", "idle")
    speed = b.library.machine.node.boards[0].link_mb_per_s * 1e6

    def counter(gpu, link, direction, raw, t):
        return int((shares[link] if gpu == 0 and direction == "tx" else 0) * speed * t)

    b.library.machine.counter = counter
    b.poll(GpuReader.read_states)
    for _ in range(3):
        b.clock.now += 1.0
        frame = b.poll(GpuReader.read_counters)
    return frame.gpus[0], speed


def test_a_sum_above_what_all_links_can_carry_is_implausible(bench):
    gpu, _ = frame_with_rates(bench, [2.0] * 4)
    assert [link.tx_bytes_per_s for link in gpu.links] == [IMPLAUSIBLE_RATE] * 4
    assert gpu.nvlink.tx_bytes_per_s == IMPLAUSIBLE_RATE
    assert gpu.nvlink.rx_bytes_per_s == 0


def test_an_implausible_rate_of_one_link_counts_in_a_plausible_sum(bench):
    gpu, speed = frame_with_rates(bench, [2.0, 0.5, 0.0, 0.0])
    assert gpu.links[0].tx_bytes_per_s == IMPLAUSIBLE_RATE
    assert all(known(link.tx_bytes_per_s) for link in gpu.links[1:])
    assert gpu.nvlink.tx_bytes_per_s == pytest.approx(2.5 * speed, rel=1e-3)
