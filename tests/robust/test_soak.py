"""Over days, the use of memory, descriptors and threads does not grow.

A simulated node runs for a quarter of an hour in seconds, or for `NVLTOP_SOAK_HOURS`; slopes are printed.
"""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest

from nvltop.analysis.rate_history import RateHistory

WARM_UP_S = 400
"""Warm-up, seconds: the finest history is full after 300 s."""
MOST_BLOCKS_PER_H = 1000
"""Allowed growth, memory blocks: about 64 KiB. The longer histories are allocated at the start."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def held() -> tuple[int, int, int]:
    """Return the numbers of allocated memory blocks, descriptors and threads."""
    gc.collect()
    return sys.getallocatedblocks(), descriptors(), threading.active_count()


def run(bench, seconds: int) -> dict[str, float]:
    """Run for a time; return the growth per hour."""
    bench.interval_s = 1.0
    bench.history = RateHistory()

    def step(count: int) -> None:
        for _ in range(count):
            bench.clock.now += 1.0
            bench.poll()

    step(WARM_UP_S)
    before = held()
    step(seconds)
    after = held()
    hours = seconds / 3600
    return {
        "blocks/h": (after[0] - before[0]) / hours,
        "descriptors": after[1] - before[1],
        "threads": after[2] - before[2],
    }


@pytest.mark.parametrize("scenario", ["errors"])
def test_memory_descriptors_and_threads_do_not_grow(bench, scenario, capsys):
    hours = float(os.environ.get("NVLTOP_SOAK_HOURS", "0.25"))
    slopes = run(bench("rtx3090-pair", scenario), int(3600 * hours))
    with capsys.disabled():
        print(f" {scenario}: {slopes['blocks/h']:+.0f} blocks of memory an hour", end="")
    assert slopes["descriptors"] == 0
    assert slopes["threads"] == 0
    assert slopes["blocks/h"] < MOST_BLOCKS_PER_H
