"""The reducer: what it keeps, and what it forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.model import Event, Gpu, Inventory, Missing, Reading, Remote, RemoteKind, Tick
from nvltop.nvml.inventory import unopened_gpu


def test_before_any_item_there_is_a_frame_that_claims_nothing():
    frame = Monitor().frame()
    assert (frame.gpus, frame.verdict.id) == ((), "starting")


def test_a_gpu_that_no_longer_opens_keeps_its_row_and_name(bench):
    b = bench()
    b.run(1.0)
    gpus = list(b.inventory.gpus)
    gpus[4] = unopened_gpu(4, Missing("left out: a driver call on it hung"))
    b.monitor.update(replace(b.inventory, gpus=tuple(gpus)))
    g = b.frame().gpus[4]
    assert (g.gpu.uuid, g.gpu.name) == (b.inventory.gpus[4].uuid, "NVIDIA H100 80GB HBM3")
    assert (g.state, g.state_reason) == ("unreadable", "left out: a driver call on it hung")


def test_a_gpu_whose_index_another_has_taken_is_not_mistaken_for_it():
    monitor = Monitor()
    monitor.update(Inventory(0.0, 0.0, gpus=(Gpu(0, "GPU-a"), Gpu(1, "GPU-b"))))
    monitor.update(Inventory(1.0, 1.0, gpus=(Gpu(0, "GPU-b"), unopened_gpu(1, Missing("GPU is lost")))))
    assert [(g.gpu.uuid, g.gpu.index, g.state) for g in monitor.frame().gpus] == [
        ("GPU-b", 0, "ok"),
        ("GPU-a", 1, "lost"),
    ]


def test_a_gpu_that_is_no_longer_counted_keeps_its_row_until_it_is_back():
    monitor = Monitor()
    monitor.update(Inventory(0.0, 0.0, gpus=(Gpu(0, "GPU-a"), Gpu(1, "GPU-b"))))
    monitor.update(Inventory(1.0, 1.0, gpus=(Gpu(0, "GPU-b"),)))
    rows = {g.gpu.uuid: g for g in monitor.frame().gpus}
    assert (rows["GPU-b"].gpu.index, rows["GPU-b"].state) == (0, "ok")
    assert (rows["GPU-a"].state, rows["GPU-a"].state_reason) == ("lost", "no longer listed by the driver")
    monitor.update(Inventory(2.0, 2.0, gpus=(Gpu(0, "GPU-b"), Gpu(1, "GPU-a"))))
    assert [(g.gpu.uuid, g.state) for g in monitor.frame().gpus] == [("GPU-b", "ok"), ("GPU-a", "ok")]


@pytest.mark.parametrize("listed", [True, False])
def test_the_links_of_other_gpus_still_lead_to_a_lost_gpu(listed):
    """The driver then gives only the PCI bus id of their remote end."""
    bus, end = "00000000:61:00.0", Remote(RemoteKind.GPU, "00000000:61:00.0", "GPU-b", 4)
    before = Gpu(0, "GPU-a", remotes=(end, Remote())), Gpu(1, "GPU-b", pci_bus_id=bus)
    cut = replace(before[0], remotes=(replace(end, gpu=None), Remote()))
    monitor = Monitor()
    monitor.update(Inventory(0.0, 0.0, gpus=before))
    gone = (unopened_gpu(1, Missing("GPU is lost")),) if listed else ()
    monitor.update(Inventory(1.0, 1.0, gpus=(cut, *gone)))
    assert monitor.frame().gpus[0].gpu == before[0]


def test_readings_of_unknown_gpus_are_left_alone(bench):
    b = bench()
    reading = b.readers[0].read_gauges()[0]
    b.monitor.update(replace(reading, gpu="GPU-stranger"))
    assert len(b.frame().gpus) == 8


def test_ages_grow_with_the_ticks_and_old_counters_are_marked(bench):
    b = bench()
    b.run(1.0)
    b.monitor.update(Tick(b.clock.now + 42.0, 0.0, 0.25))
    g = b.monitor.frame().gpus[0]
    assert g.age_s["links"] == 42.0
    assert g.stale


def test_events_are_kept_up_to_a_bound():
    monitor = Monitor()
    for code in range(1500):
        monitor.update(Event(1.0, 1.0, None, "xid", code))
    events = monitor.frame().events
    assert len(events) == 1000
    assert events[-1].code == 1499


def test_the_group_of_each_reading_has_its_age(bench):
    b = bench()
    frame = b.run(1.0)
    groups = {r.group for read in (b.readers[0].read_counters,) for r in read() if isinstance(r, Reading)}
    assert groups <= set(frame.gpus[0].age_s)
