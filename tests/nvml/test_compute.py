"""Compute activity: exact means over spans, read along with the link counters, within the call budget."""

from __future__ import annotations

import gc
import math
from itertools import pairwise

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import ComputeActivity, LinkCounters, Missing, PcieTraffic, known, total
from nvltop.nvml import gpm
from nvltop.nvml.compute import NEEDS_GPM, NO_TRAFFIC, TOO_SLOW, TRAFFIC_HOLD_S
from nvltop.nvml.driver import IMPLAUSIBLE, NO_PERMISSION
from nvltop.nvml.host_traffic import HostTrafficReader
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import Fault
from nvltop.nvml.utilization import MIN_SPAN_S
from nvltop.report.json import to_json

COUNTERS, TRAFFIC = GpuReader.read_counters, GpuReader.read_host_traffic


def read(b, seconds: float, interval_s: float = 0.25) -> list:
    """Return what both threads read from the first GPU."""
    found = []
    for k in range(round(seconds / interval_s)):
        b.clock.now = round(b.clock.now + interval_s, 6)
        found += COUNTERS(b.readers[0])
        if k % 8 == 0:
            found += TRAFFIC(b.readers[0])
    return found


def computed(readings) -> list:
    return [r for r in readings if isinstance(r.data, ComputeActivity)]


def replace(library, name, types, body):
    """Replace a function of the library, even if it has already been called."""
    library._functions[name] = (types, body)
    vars(library).pop(name, None)
    pynvml._nvmlGetFunctionPointer_cache.clear()


def metric(library, number, value):
    """Make the driver return a given value for one GPM metric."""
    types, true = library._functions["nvmlGpmMetricsGet"]

    def lie(out):
        code = true(out)
        request = pynvml.c_nvmlGpmMetricsGet_t.from_address(out)
        for slot in request.metrics[: request.numMetrics]:
            if slot.metricId == number:
                slot.value, slot.nvmlReturn = value, 0
        return code

    replace(library, "nvmlGpmMetricsGet", types, lie)


@pytest.mark.parametrize("scenario", ["training", "overlapped", "straggler", "idle", "saturated"])
def test_gpm_gives_the_exact_mean_over_its_span(bench, scenario):
    b = bench("dgx-h100", scenario)
    readings = computed(read(b, 8.0))
    assert len(readings) >= (3 if scenario == "idle" else 28)
    for r in readings:
        assert r.data.source == "gpm"
        start_s, end_s = r.start_s - 1000.0, r.end_s - 1000.0
        for unit in ("sm", "tensor", "dram"):
            truth = b.library.machine.mean_activity(0, unit, start_s, end_s)
            assert getattr(r.data, unit) == pytest.approx(truth, abs=0.0006)
            assert 0 <= getattr(r.data, unit) <= 1
    assert b.library.crashes == []


def test_spans_are_consecutive_and_those_of_the_link_counters(bench):
    readings = read(bench("dgx-h100"), 10.0)
    compute = computed(readings)
    counters = [r.start_s for r in readings if isinstance(r.data, LinkCounters)]
    for before, after in pairwise(compute):
        assert after.start_s >= before.end_s
    fast = [r for r in compute if r.end_s - r.start_s < 0.3]
    assert len(fast) > 30
    assert all(r.start_s in counters and r.end_s in counters for r in fast)


@pytest.mark.parametrize(("scenario", "hidden"), [("training", False), ("overlapped", True)])
def test_the_scenarios_differ_in_their_activity_while_the_links_are_busy(bench, scenario, hidden):
    readings = read(bench("dgx-h100", scenario), 12.0)
    moved, before = {}, None
    for r in readings:
        if isinstance(r.data, LinkCounters):
            sent = total(r.data.tx_bytes)
            assert known(sent)
            if before:
                moved[r.start_s] = (sent - before[1]) / (r.start_s - before[0])
            before = r.start_s, sent
    fast = [r for r in computed(readings) if r.end_s in moved and r.end_s - r.start_s < 0.3]
    top = max(moved.values())
    busy = [r.data.tensor for r in fast if moved[r.end_s] > 0.95 * top]
    free = [r.data.tensor for r in fast if moved[r.end_s] < 0.05 * top]
    assert len(busy) > 10
    assert len(free) > 5
    assert min(free) > 0.6
    assert (min(busy) > 0.5) if hidden else (max(busy) < 0.05)


def test_in_a_hang_all_ranks_busy_wait_except_the_one_that_stopped(bench):
    b = bench("dgx-h100", "hang")
    b.interval_s = 1.0
    b.run(45.0)
    odd = b.library.machine.workload.odd_gpu
    for g in b.frame().gpus:
        assert (g.compute.sm, g.compute.tensor) == ((0.0, 0.0) if g.gpu.index == odd else (1.0, 0.0))


def test_activity_is_read_for_some_time_after_the_traffic(bench):
    b = bench("dgx-h100", "hang")
    read(b, 30.0)
    before = b.library.calls["nvmlGpmSampleGet"]
    read(b, TRAFFIC_HOLD_S)
    held = b.library.calls["nvmlGpmSampleGet"] - before
    assert held == pytest.approx(4 * TRAFFIC_HOLD_S + TRAFFIC_HOLD_S / 2, abs=4)
    readings = computed(read(b, 20.0))
    spans = [r.end_s - r.start_s for r in readings]
    assert spans == pytest.approx([2.0] * len(spans))
    assert 8 <= len(readings) <= 10


@pytest.mark.parametrize(
    ("node", "is_spared"), [("hgx-b200", True), ("dgx-h100", False), ("gb200-tray", False)]
)
def test_gpm_is_not_sampled_for_what_is_known(bench, node_clock, monkeypatch, node, is_spared):
    """Without C2C, and with byte counters of PCIe, only the activity is read by GPM."""

    def read_all(samples_always: bool) -> tuple[list, int]:
        node_clock.now = 1000.0
        b = bench(node, "hang")
        if samples_always:
            monkeypatch.setattr(HostTrafficReader, "read", lambda reader, **_: true(reader))
        return read(b, 60.0), b.library.calls["nvmlGpmSampleGet"]

    true = HostTrafficReader.read
    found, calls = read_all(False)
    expected, all_calls = read_all(True)
    assert found == expected
    assert (calls < all_calls) == is_spared


@pytest.mark.parametrize("node", ["dgx-a100", "dgx1-v100", "dgx1-p100"])
def test_boards_without_gpm_have_utilization_samples_and_the_power_of_their_time(bench, node):
    b = bench(node)
    readings = computed(read(b, 10.0))
    sampled = [r for r in readings if r.data.source == "samples"][1:]
    assert len(sampled) > 20
    for before, after in pairwise(sampled):
        assert after.start_s == pytest.approx(before.end_s, abs=1e-5)
    machine = b.library.machine
    for r in sampled:
        assert MIN_SPAN_S <= r.end_s - r.start_s <= 0.5
        truth = machine.mean_activity(0, "util", r.start_s - 1000.0, r.end_s - 1000.0)
        assert r.data.sm == pytest.approx(truth, abs=0.006)
        assert (r.data.tensor, r.data.dram) == (NEEDS_GPM, NEEDS_GPM)
        powers = [machine.power_w(0, r.end_s - 1000.0 + off / 100) for off in range(-13, 14)]
        assert min(powers) - 2 <= r.data.power_w <= max(powers) + 2
    assert b.library.crashes == []


def test_a_board_without_gpm_reports_once_that_it_is_not_read_while_idle(bench):
    b = bench("dgx-a100", "idle")
    readings = computed(read(b, 20.0))
    assert [r.data for r in readings] == [ComputeActivity(NO_TRAFFIC, NEEDS_GPM, NEEDS_GPM, NO_TRAFFIC)]
    assert b.library.calls["nvmlDeviceGetSamples"] == 0


def test_without_utilization_samples_the_power_remains(bench):
    b = bench("dgx-a100", prepare=lambda lib: lib.faults.update(nvmlDeviceGetSamples=Fault(3)))
    readings = [r for r in computed(read(b, 4.0)) if r.data.sm != NO_TRAFFIC]
    assert len(readings) > 10
    assert b.library.calls["nvmlDeviceGetSamples"] == 1
    for r in readings:
        assert r.data.sm == Missing("not supported")
        assert known(r.data.power_w) or r is readings[0]
        assert (r.data.source, r.end_s - r.start_s) == ("", pytest.approx(0.25))


def test_missing_permission_is_probed_once_and_explained_once(bench):
    b = bench(prepare=lambda lib: lib.faults.update(nvmlGpmSampleGet=Fault(4)))
    readings = computed(read(b, 20.0))
    assert b.library.calls["nvmlGpmSampleGet"] == 1
    sampled = [r.data for r in readings if r.data.source]
    assert sampled
    assert {d.source for d in sampled} == {"samples"}
    for d in sampled:
        assert d.note == gpm.NO_PERMISSION_NOTE
        assert NO_PERMISSION not in (d.sm, d.tensor, d.dram, d.power_w)
    b.feed(readings)
    compute = to_json(b.frame())["gpus"][0]["compute"]
    assert compute["note"].startswith("GPM: no permission; run as root")
    assert set(compute["missing"].values()) == {"needs GPM"}


BAD = [math.nan, math.inf, -math.inf, -0.1, -1e300, 100.1, 1e18]


@pytest.mark.parametrize("value", BAD)
def test_an_implausible_share_is_missing_and_the_others_are_not(bench, value):
    b = bench(prepare=lambda lib: metric(lib, 5, value))
    for r in computed(read(b, 4.0)):
        assert r.data.tensor == IMPLAUSIBLE
        assert known(r.data.sm)
        assert known(r.data.dram)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e18])
def test_an_implausible_rate_is_missing(bench, value):
    b = bench(prepare=lambda lib: metric(lib, 20, value))
    pcie = [r.data for r in read(b, 4.0) if isinstance(r.data, PcieTraffic)]
    assert pcie[-1].tx_bytes_per_s == IMPLAUSIBLE
    assert known(pcie[-1].rx_bytes_per_s)


@given(st.one_of(st.floats(), st.integers(-(2**70), 2**70)))
def test_shares_and_rates_are_finite_and_in_range_or_missing(value):
    share, rate = gpm.percent_to_share(value), gpm.mib_to_bytes_per_s(value)
    assert known(share) == (0 <= value < 100.05)
    if known(share):
        assert 0 <= share <= 1
        assert share == pytest.approx(value / 100, abs=0.0006)
    else:
        assert share == IMPLAUSIBLE
    if known(rate):
        assert math.isfinite(rate)
        assert rate == value * gpm.MIB >= 0
    else:
        assert rate == IMPLAUSIBLE


def test_a_metric_that_the_driver_does_not_fill_in_does_not_repeat_its_last_value(bench):
    b = bench()
    assert known(computed(read(b, 2.0))[-1].data.tensor)
    replace(b.library, "nvmlGpmMetricsGet", b.library._functions["nvmlGpmMetricsGet"][0], lambda out: 0)
    assert computed(read(b, 1.0))[-1].data.tensor == Missing("unknown driver error")


def test_samples_closer_than_a_tenth_of_a_second_are_not_taken(bench):
    b = bench()
    readings = computed(read(b, 2.0, interval_s=0.05))
    assert min(r.end_s - r.start_s for r in readings) >= gpm.MIN_SPAN_S - 1e-9


def test_there_are_two_sample_buffers_a_thread_and_they_are_freed(bench):
    b = bench("h100-two")
    b.run(20.0)
    assert b.library.calls["nvmlGpmSampleAlloc"] == 4 * len(b.readers)
    b.session.readers = b.readers[:1]
    gc.collect()
    # The garbage collector may run during a driver call; another call would wait for its lock.
    assert b.library.calls["nvmlGpmSampleFree"] == 0
    b.run(4.0)
    assert b.library.calls["nvmlGpmSampleFree"] == 4
    assert b.library.crashes == []


def slow(library, clock, name, seconds):
    """Make a function take some time of the simulated clock."""
    types, true = library._functions[name]

    def take(*args):
        clock.now += seconds
        return true(*args)

    replace(library, name, types, take)


@pytest.mark.parametrize(
    ("ms", "span_s", "note"),
    [
        (0.5, (0.25, 0.26), ""),
        (4.0, (0.5, 0.75), "GPM is read every 0.75 s: it takes 4.0 ms in the driver"),
        (60.0, None, "GPM is not read: it takes 60.0 ms in the driver"),
    ],
)
def test_a_slow_sample_is_taken_less_often_or_not_at_all(bench, ms, span_s, note):
    b = bench("h100-two")
    slow(b.library, b.clock, "nvmlGpmSampleGet", ms / 1000)
    read(b, 10.0)
    start_s, before_s = b.clock.now, b.session.driver.tracker.driver_s_by_gpu[0]
    readings = computed(read(b, 40.0))
    assert (b.session.driver.tracker.driver_s_by_gpu[0] - before_s) / (b.clock.now - start_s) <= 0.01
    assert {r.data.note for r in readings} == {note}
    if span_s:
        spans = [r.end_s - r.start_s for r in readings]
        assert span_s[0] <= sum(spans) / len(spans) <= span_s[1]
    else:
        assert {r.data.source for r in readings} == {"samples"}


def test_other_calls_count_as_well(bench):
    b = bench("h100-two")
    slow(b.library, b.clock, "nvmlDeviceGetFieldValues", 0.003)
    read(b, 20.0)
    readings = computed(read(b, 5.0))
    assert readings
    for r in readings:
        assert r.data.note.startswith("GPM is not read: other driver calls on this GPU take 1.")
        assert r.data.sm == TOO_SLOW
        assert known(r.data.power_w), "that comes with the link counters"


def test_counters_are_read_without_the_power_where_the_driver_cannot_read_both(bench):
    """A single unsupported field can make all others of the call unreadable (DCGM#265)."""

    def poison(lib):
        true = lib.fields.fill

        def fill(gpu, view, count, t, stamp_us):
            true(gpu, view, count, t, stamp_us)
            asked = [int.from_bytes(view[i * 40 : i * 40 + 4], "little") for i in range(count)]
            if 186 in asked and count > 10:
                for i in range(count):
                    view[i * 40 + 28 : i * 40 + 32] = (3).to_bytes(4, "little")

        lib.fields.fill = fill

    b = bench(prepare=poison)
    readings = read(b, 4.0)
    counters = [r.data for r in readings if isinstance(r.data, LinkCounters)]
    assert all(map(known, counters[-1].tx_bytes))
    assert all(all(map(known, c.tx_bytes)) for c in counters)
    fast = [r.data for r in computed(readings) if known(r.data.tensor)]
    assert fast[-1].power_w == Missing("not supported")
