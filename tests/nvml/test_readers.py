"""The method by which each generation is read, and what happens if it fails."""

from __future__ import annotations

import threading
import time

import pytest

from nvltop.model import Call, Counter, LinkState, Missing, Scope, known
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.compute import TRAFFIC_HOLD_S
from nvltop.nvml.driver import Driver, reason
from nvltop.nvml.errors import NVLINK5, ErrorReader
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import Fault
from nvltop.sampler import schedule
from nvltop.sampler.protocol import ERRORS_S


@pytest.mark.parametrize(
    ("node", "links", "generation", "kinds"),
    [
        ("dgx-h100", 18, "4.0", {"replay", "recovery", "crc"}),
        ("dgx-a100", 12, "3.0", {"replay", "recovery", "crc_flit", "crc_data"}),
        ("dgx1-p100", 4, "1.0", {"replay", "recovery", "crc_flit", "crc_data"}),
        ("dgx1-v100", 6, "2.0", {"replay", "recovery", "crc_flit", "crc_data"}),
        ("dgx2", 6, "2.0", {"replay", "recovery", "crc_flit", "crc_data"}),
        ("h100-vm", 18, "4.0", {"replay", "recovery", "crc"}),
        ("hgx-b200", 18, "5.0", set(NVLINK5)),
        ("hgx-b300", 18, "5.0", set(NVLINK5)),
        ("gb200-tray", 18, "5.0", set(NVLINK5)),
        ("rubin", 36, "6.0", set(NVLINK5)),
        ("rtx3090-pair", 4, "3.1", {"replay", "recovery", "crc_flit", "crc_data"}),
    ],
)
def test_each_generation_is_read_by_its_own_method(bench, node, links, generation, kinds):
    frame = bench(node).run(1.0)
    for g in frame.gpus:
        assert g.gpu.nvlink_generation == generation
        assert (g.nvlink.links_present, g.nvlink.links_up) == (links, links)
        assert set(g.links[0].errors) == kinds
        assert known(g.nvlink.speed_bytes_per_s)


CLOCKS = (
    (0.25, GpuReader.read_counters),
    (schedule.STATES_S, GpuReader.read_states),
    (schedule.GAUGES_S, GpuReader.read_gauges),
    (ERRORS_S, GpuReader.read_errors),
    (schedule.TRAFFIC_S, GpuReader.read_host_traffic),
    (schedule.FABRIC_S, GpuReader.read_fabric),
    (schedule.PROCESSES_S, lambda reader: reader.processes.read(0.0) and []),
)
"""Intervals of the worker, and what it reads."""
NODES = ("dgx-h100", "hgx-b200", "rubin", "dgx-a100", "dgx1-v100")
"""A node of each way to read; the P100 and the DGX-2 are read as the V100 is."""


def calls_per_gpu(b, seconds: float) -> float:
    """Return the calls per second and GPU at the worker's intervals."""
    before = sum(b.library.calls.values())
    for k in range(round(seconds / 0.25)):
        b.clock.now += 0.25
        for every_s, read in CLOCKS:
            if k % round(every_s / 0.25) == 0:
                for reader in b.readers:
                    read(reader)
    return (sum(b.library.calls.values()) - before) / seconds / len(b.readers)


@pytest.mark.parametrize("node", NODES)
def test_calls_per_second_are_limited(bench, node):
    """At most 15 calls per GPU, or 24 with traffic and GPM."""
    b = bench(node, "idle")
    b.run(1.0)
    assert calls_per_gpu(b, 20.0) <= 14.8, "without a job; events take 1 call in 8 GPUs and second more"
    b = bench(node, "training")
    b.run(1.0)
    gpm = b.library.calls["nvmlGpmMetricsGet"] > 0
    assert calls_per_gpu(b, 20.0) <= (23.8 if gpm else 14.8)


def test_there_are_fewer_calls_after_the_traffic_has_ended(bench):
    b = bench("h100-four", "hang")
    b.run(28.0)
    assert calls_per_gpu(b, 2.0) > 18
    calls_per_gpu(b, TRAFFIC_HOLD_S + 1)
    assert calls_per_gpu(b, 40.0) <= 14.8


def test_an_unsupported_gauge_is_read_once(bench):
    b = bench(prepare=lambda lib: lib.faults.update(nvmlDeviceGetClockInfo=Fault(3)))
    frame = b.run(2.0)
    assert b.library.calls["nvmlDeviceGetClockInfo"] == 8
    for g in frame.gpus:
        assert g.gauges.sm_clock_mhz == Missing("not supported")
        assert known(g.gauges.util_percent)


@pytest.mark.parametrize("code", [3, 4, 10, 15, 16, 17, 999, 12345])
def test_unreadable_counters_have_their_reason_and_other_values_are_read(bench, code):
    b = bench()
    b.run(1.0)
    b.library.faults["nvmlDeviceGetFieldValues"] = Fault(code, gpu=2)
    b.clock.now += 0.25
    frame = b.poll()
    for g in frame.gpus:
        if g.gpu.index == 2:
            assert g.nvlink.tx_bytes_per_s == reason(code)
        else:
            assert known(g.nvlink.tx_bytes_per_s)
    b.library.faults.clear()
    b.clock.now += 0.25
    b.poll()
    b.clock.now += 0.25
    assert all(known(g.nvlink.tx_bytes_per_s) for g in b.poll().gpus)


def test_a_lost_gpu_keeps_its_row(bench):
    b = bench()
    b.run(1.0)
    for name in [n for n in b.library.calls if n.startswith("nvmlDeviceGet") and "Handle" not in n]:
        b.library.faults[name] = Fault(15, gpu=5)
    b.clock.now += 1.0
    frame = b.poll()
    assert [g.state for g in frame.gpus] == ["ok"] * 5 + ["lost"] + ["ok"] * 2
    assert frame.gpus[5].nvlink.tx_bytes_per_s == Missing("GPU is lost")


def test_a_gpu_that_does_not_open_is_listed(bench):
    b = bench(
        prepare=lambda lib: lib.faults.update(
            nvmlDeviceGetUUID=Fault(15, gpu=1), nvmlDeviceGetPciInfo_v3=Fault(15, gpu=1)
        )
    )
    assert len(b.inventory.gpus) == 8


def test_a_link_that_goes_down_is_detected_and_its_rate_is_not_zero(bench):
    b = bench("dgx-h100", "link-down")
    frame = b.run(12.0)
    g = frame.gpus[3]
    assert g.nvlink.links_up == 17
    assert g.links[7].state is LinkState.DOWN
    assert g.links[7].tx_bytes_per_s == Missing("link is down")
    assert known(g.nvlink.tx_bytes_per_s)


def test_a_link_that_goes_down_is_detected_at_once_on_boards_without_state_fields(bench):
    b = bench("dgx1-v100", "link-down")
    b.run(9.75)
    b.clock.now += 0.5
    b.poll(GpuReader.read_counters)
    frame = b.poll(GpuReader.read_states)
    assert frame.gpus[3].links[5].state is LinkState.DOWN


def test_without_link_counters_the_total_is_shown_as_such(bench):
    def only_totals(lib):
        fields = lib.fields.tables[0]
        for field_id in (138, 139, 140, 141):
            per_link = fields[field_id]
            fields[field_id] = lambda g, s, t, f=per_link: f(g, s, t) if s == 0xFFFFFFFF else (3, 0, 0)

    b = bench(prepare=only_totals)
    frame = b.run(2.0)
    g = frame.gpus[0]
    assert g.nvlink.scope is Scope.GPU
    assert known(g.nvlink.tx_bytes_per_s)
    assert g.links[0].tx_bytes_per_s == Missing("the driver reports only the GPU's total")


def test_link_counters_that_repeat_the_total_are_not_used(bench):
    def repeat(lib):
        fields = lib.fields.tables[0]
        for field_id in (138, 139):
            total = fields[field_id]
            fields[field_id] = lambda g, s, t, f=total: f(g, 0xFFFFFFFF, t)

    frame = bench(prepare=repeat).run(2.0)
    assert frame.gpus[0].nvlink.scope is Scope.GPU
    assert known(frame.gpus[0].nvlink.tx_bytes_per_s)


def test_raw_counters_are_labelled_without_data_counters(bench):
    def no_data(lib):
        for field_id in (138, 139):
            lib.fields.tables[0][field_id] = lambda g, s, t: (3, 0, 0)

    frame = bench(prepare=no_data).run(1.0)
    assert frame.gpus[0].nvlink.counter is Counter.RAW


@pytest.mark.parametrize("node", ["hgx-b200", "dgx-h100", "dgx1-v100"])
def test_error_counters_are_those_of_a_first_reading(bench, node):
    """Also where the counters of the last reading are returned because the driver's answer is the same."""
    b = bench(node, "errors")
    same = 0
    for reader in b.readers:
        reader.errors.read()  # also asks for kinds that the board does not count
        before = reader.errors.read()
        for _ in range(40):
            b.clock.now += 1.0
            now = reader.errors.read()
            assert now == ErrorReader(reader.errors.driver, reader.device).read()
            assert (now is before) == (now == before)
            same += now is before
            before = now
    assert 0 < same < 40 * len(b.readers)


def test_per_lane_error_fields_that_stay_zero_are_not_used(bench):
    """If the fields are 0 and the call returns a count, the call is right."""

    def lie(lib):
        lib.machine.scenario = "errors"
        for ids in ((32, 96), (39, 102), (46, 108), (53, 114)):
            for link in range(12):
                lib.fields.tables[0][ids[link // 6] + link % 6] = lambda g, s, t: (0, 3, 0)

    frame = bench("dgx-a100", prepare=lie).run(1.0)
    assert frame.gpus[3].links[7].errors["replay"].total == 12


def test_undecodable_text_is_missing():
    def garbage():
        return b"\xff\xfe".decode()

    assert Driver(CallTracker()).call(garbage) == Missing("the driver's text is not valid UTF-8")


def test_the_tracker_has_the_call_in_flight():
    watch = CallTracker()
    seen: list[Call] = []

    def nvmlDeviceGetSomething():  # noqa: N802
        seen.extend(watch.in_flight())

    Driver(watch).call(nvmlDeviceGetSomething, gpu=4)
    assert [(c.function, c.gpu) for c in seen] == [("nvmlDeviceGetSomething", 4)]
    assert watch.in_flight() == ()


def test_a_call_in_flight_counts_while_it_lasts():
    """One that hung for 5 s counted as a whole when it returned: 2690 % of the time in the driver."""
    watch = CallTracker()
    spent: list[float] = []

    def nvmlDeviceGetSomething():  # noqa: N802
        [call] = watch.in_flight()
        spent.extend(watch.spent_s(call.since_s + waited_s) for waited_s in (1.0, 5.0))

    Driver(watch).call(nvmlDeviceGetSomething, gpu=4)
    assert spent == pytest.approx([1.0, 5.0])
    assert watch.spent_s(time.monotonic()) == watch.driver_s < 1.0


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (9, "no-driver"),
        (12, "no-library"),
        (18, "version-mismatch"),
        (4, "no-permission"),
        (999, "init-failed"),
    ],
)
def test_each_failure_to_start_has_its_description(bench, code, problem):
    b = bench(prepare=lambda lib: lib.faults.update(nvmlInitWithFlags=Fault(code)))
    assert b.inventory.problem.id == problem
    assert "--demo" in b.inventory.problem.next_step


def test_pcie_counters_of_a_call_that_hung_give_no_rate(bench):
    b = bench("hgx-b200")
    reader, sources, rates = b.readers[0], [], []

    class Hang(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            b.clock.now += 15.0
            return True

    for reading in range(12):
        b.clock.now += 2.0
        b.library.faults["nvmlDeviceGetFieldValues"] = Fault(hang=Hang() if reading == 6 else None)
        pcie = reader.read_host_traffic()[0].data
        sources.append(pcie.source)
        rates.append(pcie.tx_bytes_per_s)
    assert sources[3] == sources[-1] == "byte-counter"
    assert sources[6] != "byte-counter"
    assert sources[7] != "byte-counter"
    steady = [rate for rate, source in zip(rates, sources, strict=True) if source == "byte-counter"]
    assert max(steady) < 2 * min(steady)
