"""Since when the driver has been running a GPU: as the driver reports it, and resets seen by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import Missing, known
from nvltop.model.missing import FUNCTION_NOT_FOUND
from nvltop.nvml.driver import NO_PERMISSION
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.machine import INITIAL_UPTIME_S

UPTIME = "nvmlDeviceGetGpuUptime_v1"


def read(bench):
    return bench.poll(GpuReader.read_fabric)


def test_a_new_driver_reports_the_uptime_of_each_gpu(bench):
    b = bench("rubin", prepare=lambda lib: lib.machine.initialised_t.update({2: -600.0}))
    frame = read(b)
    assert [g.uptime_s for g in frame.gpus] == pytest.approx(
        [600.0 if i == 2 else INITIAL_UPTIME_S for i in range(8)], abs=1.5
    )


def test_the_time_does_not_move_with_the_rounding(bench):
    b = bench("rubin")
    initialised = set()
    for _ in range(50):
        b.clock.now += 0.37
        initialised.add(read(b).gpus[0].fabric.initialised_s)
    assert len(initialised) == 1


def test_an_old_driver_lacks_the_function_and_is_not_asked_again(bench):
    b = bench("dgx-h100")
    fabric = read(b).gpus[0].fabric
    assert fabric.initialised_s == FUNCTION_NOT_FOUND
    before = b.session.driver.tracker.calls
    read(b)
    first = b.session.driver.tracker.calls - before
    assert b.library.calls[UPTIME] == 0
    read(b)
    assert b.session.driver.tracker.calls - before == 2 * first


def test_a_failure_is_unknown_with_its_reason(bench):
    b = bench("rubin")
    b.library.faults[UPTIME] = Fault(4)
    frame = read(b)
    assert frame.gpus[0].fabric.initialised_s == NO_PERMISSION
    b.library.faults.clear()
    assert known(read(b).gpus[0].uptime_s)


def test_an_impossible_uptime_is_not_shown(bench):
    b = bench("rubin", prepare=lambda lib: lib.machine.initialised_t.update({0: -4e9}))
    assert isinstance(read(b).gpus[0].fabric.initialised_s, Missing)


def test_without_the_function_it_is_the_load_time_of_the_driver_in_persistence_mode_only(bench):
    b = bench("dgx-h100")
    b.monitor.update(b.inventory)
    (uptime,) = {g.uptime_s for g in b.frame().gpus}
    assert isinstance(uptime, Missing)
    wall_s = b.frame().tick.wall_s
    loaded = replace(b.inventory, driver_loaded_s=wall_s - 5000.0)
    b.monitor.update(loaded)
    b.clock.now += 10.0
    assert {g.uptime_s for g in b.frame().gpus} == {5010.0}
    off = tuple(replace(gpu, persistence=False) for gpu in loaded.gpus)
    b.monitor.update(replace(loaded, gpus=off))
    b.clock.now += 1.0
    (uptime,) = {g.uptime_s for g in b.frame().gpus}
    assert isinstance(uptime, Missing)
    assert "persistence mode is off" in uptime.reason
    unread = tuple(replace(gpu, persistence=NO_PERMISSION) for gpu in loaded.gpus)
    b.monitor.update(replace(loaded, gpus=unread))
    b.clock.now += 1.0
    (uptime,) = {g.uptime_s for g in b.frame().gpus}
    assert uptime == Missing("persistence mode is unknown: no permission")


def test_a_reset_is_seen_although_no_counter_fell(bench):
    b = bench("rubin")
    frame = b.run(2.0)
    assert "counter-reset" not in {f.rule for f in frame.findings}
    assert all(e.reset_s is None for g in frame.gpus for k in g.links for e in k.errors.values())
    b.clock.now += 20.0
    b.library.machine.initialised_t[3] = b.library.t - 8.0
    frame = b.run(2.0)
    (found,) = [f for f in frame.findings if f.rule == "counter-reset"]
    assert found.gpu == frame.gpus[3].gpu.uuid
    assert frame.gpus[3].links[0].errors["rcv"].reset_s == pytest.approx(10.0, abs=2.0)
    assert frame.gpus[3].uptime_s == pytest.approx(10.0, abs=2.0)
    assert frame.gpus[2].links[0].errors["rcv"].reset_s is None


def test_a_driver_that_was_loaded_again_reset_all_counters(bench):
    b = bench("dgx-h100")
    wall_s = b.frame().tick.wall_s
    b.monitor.update(replace(b.inventory, driver_loaded_s=wall_s - 5000.0))
    b.run(2.0)
    b.clock.now += 60.0
    loaded_s = wall_s + 40.0
    now = {"mono_s": b.clock.now, "wall_s": wall_s + 62.0}
    b.monitor.update(replace(b.inventory, driver_loaded_s=loaded_s, **now))
    frame = b.run(1.0)
    assert {f.gpu for f in frame.findings if f.rule == "counter-reset"} == {g.gpu.uuid for g in frame.gpus}
    assert frame.gpus[0].links[0].errors["replay"].reset_s == pytest.approx(23.0, abs=1.0)
