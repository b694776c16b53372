"""Items of a simulated node, as a run would record them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from nvltop.model import Cost, Event, Gauges, Host, Item, Missing, Reading, Tick
from nvltop.nvml.session import GpuReader

FAST = (GpuReader.read_counters,)
EVERY_SECOND = (GpuReader.read_states, GpuReader.read_gauges)
SLOW = (GpuReader.read_errors, GpuReader.read_host_traffic, GpuReader.read_fabric)


MAX_KEPT = 4
_kept: dict[tuple[str, str, float], list[Item]] = {}
"""Items of the latest runs of `simulate`, which no test changes."""


@pytest.fixture
def simulate(bench) -> Callable[..., list[Item]]:
    """Return a function that runs a scenario on a node for some seconds and returns its items."""

    def run(node: str = "hgx-a100-4", scenario: str = "training", seconds: float = 4.0) -> list[Item]:
        key = node, scenario, seconds
        if key not in _kept:
            if len(_kept) == MAX_KEPT:
                del _kept[next(iter(_kept))]
            _kept[key] = items_of(bench(node, scenario), seconds)
        return list(_kept[key])

    return run


def items_of(bench, seconds: float, interval_s: float = 0.25) -> list[Item]:
    """Poll a node for `seconds`; calls take time, and clocks tick in microseconds."""
    noise = random.Random(7)
    items: list[Item] = [bench.inventory]
    for turn in range(round(seconds / interval_s)):
        second = turn * interval_s % 1 == 0
        for reader in bench.readers:
            reads = FAST + (EVERY_SECOND if second else ()) + (SLOW if turn % 20 == 0 else ())
            for read in reads:
                bench.clock.now = round(bench.clock.now + noise.uniform(20e-6, 90e-6), 6)
                items += read(reader)
        now, wall = bench.clock.now, round(1.79e9 + bench.clock.now, 6)
        if second:
            items.append(bench.read_nics())
            items.append(Reading(None, now, now, wall, Host(noise.uniform(0, 100), 10**9, 10**12)))
            items.append(Reading(None, now, now, wall, Cost(128.0, noise.uniform(0, 0.1), interval_s)))
        items.append(Tick(now, wall, interval_s))
        bench.clock.now = round(1000 + (turn + 1) * interval_s, 6)
    if bench.readers:
        uuid = bench.readers[0].device.uuid
        items.append(Event(now, wall, uuid, "xid", 74))
        items.append(Reading(uuid, now, now, wall, Gauges(power_w=Missing("GPU is lost")), "GPU is lost"))
        items.append(Tick(now + 1, wall + 1, interval_s))
    return items
