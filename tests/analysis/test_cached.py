"""What the analysis reuses from frame to frame is what it would compute again, whatever happened before."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from nvltop.analysis.counter_track import CounterTrack
from nvltop.analysis.errors import ErrorTable
from nvltop.analysis.gpu import GpuTrack
from nvltop.memo import Memo, MemoTable
from nvltop.model import Event, Missing
from nvltop.nvml.session import GpuReader

STEPS = 60
READS = (
    GpuReader.read_counters,
    GpuReader.read_states,
    GpuReader.read_gauges,
    GpuReader.read_errors,
    GpuReader.read_fabric,
)


def attributes(found: Any) -> list[Any]:
    slots = [name for cls in type(found).__mro__ for name in getattr(cls, "__slots__", ())]
    values = [getattr(found, name) for name in slots if hasattr(found, name)]
    return [*values, *getattr(found, "__dict__", {}).values()]


def forget(root: Any) -> int:
    """Drop everything that is cached below an object; return how much that was."""
    waiting, seen, dropped = [root], set(), 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, (dict, list, tuple, set, deque)):
            waiting += [*found.values()] if isinstance(found, dict) else found
        elif isinstance(found, Memo):
            found._key = None
            dropped += 1
        elif isinstance(found, MemoTable):
            found._entries.clear()
            dropped += 1
        elif type(found).__module__.startswith("nvltop."):
            if isinstance(found, ErrorTable):
                found._counts, found._due, found._sums = {}, dict(found._by_link()), None
            if isinstance(found, CounterTrack):
                found._cached = None
            if isinstance(found, GpuTrack):
                found._cached_summary = found._cached_totals = None
                dropped += 2
            waiting += attributes(found)
    return dropped


@pytest.mark.parametrize(
    ("node", "scenario"),
    [("gb200-tray", "gpu-lost"), ("dgx1-v100", "link-down"), ("h100-two", "errors"), ("mixed", "training")],
)
def test_a_cached_frame_is_a_computed_one(bench, node, scenario):
    rng, b = random.Random(f"{node} {scenario}"), bench(node, scenario)
    done: list[object] = []
    for _ in range(STEPS):
        b.clock.now += rng.choice((0.25, 0.25, 1.0))
        action = rng.choice(("read", "read", "read", "event", "inventory", "unread"))
        done.append(action)
        gpu = rng.choice(b.inventory.gpus)
        if action == "event":
            b.monitor.update(Event(b.clock.now, 1.79e9, gpu.uuid, "xid", rng.choice((74, 149, 31))))
        elif action == "inventory":
            ends = gpu.remotes if rng.random() < 0.5 else Missing("not read this time")
            changed = tuple(replace(g, remotes=ends) if g is gpu else g for g in b.inventory.gpus)
            b.monitor.update(replace(b.inventory, gpus=changed))
        for reader in rng.sample(b.readers, rng.randint(1, len(b.readers))):
            for read in rng.sample(READS, rng.randint(1, len(READS))):
                readings = read(reader)
                if action == "unread":
                    readings = [replace(r, problem="Unknown Error") for r in readings]
                b.feed(readings)
        cached = b.frame()
        assert forget(b.monitor) > 2 * len(b.inventory.gpus)
        assert b.monitor.frame() == cached, done
