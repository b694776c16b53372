"""Power and throttle times are read in one call and equal the results of separate calls."""

from __future__ import annotations

import ctypes

import pynvml
import pytest

from nvltop.model import Missing, known
from nvltop.nvml.driver import IMPLAUSIBLE
from nvltop.nvml.gauges import BRANCH_TOO_OLD
from nvltop.nvml.power import watts
from nvltop.nvml.processes import INITIAL_ENTRIES
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.functions import RESERVED_BYTES
from nvltop.report.json import to_json


@pytest.mark.parametrize("node", ["dgx1-p100", "dgx2", "dgx-a100", "rtx3090-pair", "dgx-h100", "hgx-b200"])
def test_the_power_equals_that_of_the_separate_call(bench, node):
    b = bench(node)
    for _ in range(7):
        b.clock.now += 0.3
        (reading,) = b.readers[0].read_gauges()
        assert reading.data.power_w == pynvml.nvmlDeviceGetPowerUsage(b.readers[0].device.handle) / 1000
    assert b.library.calls["nvmlDeviceGetPowerUsage"] == 7, "only those of the test"


def no_fields(lib):
    for table in lib.fields.tables:
        table.pop(185, None), table.pop(186, None)


def zero_fields(lib):
    for table in lib.fields.tables:
        table[185] = table[186] = lambda gpu, scope, t: (0, 1, 0)


def no_batch(lib):
    lib.faults["nvmlDeviceGetFieldValues"] = Fault(3)


@pytest.mark.parametrize("prepare", [no_fields, zero_fields, no_batch])
def test_without_power_in_the_fields_the_separate_call_is_used(bench, prepare):
    b = bench("dgx-h100")
    prepare(b.library)
    gauges = b.readers[0].read_gauges()[0].data
    assert gauges.power_w == pynvml.nvmlDeviceGetPowerUsage(b.readers[0].device.handle) / 1000


@pytest.mark.parametrize("milliwatts", [0, -5, 10**9])
def test_an_implausible_power_is_missing(milliwatts):
    assert watts(milliwatts) == IMPLAUSIBLE


def test_thermal_throttling_is_a_share_of_the_time_with_one_cause(bench):
    b = bench("hgx-b200", "throttled")
    b.interval_s = 1.0
    odd = b.library.machine.faults.faulty_gpu
    assert {g.throttling.hw_thermal for g in b.run(9.0).gpus} == {0.0}
    half = b.run(6.0).gpus[odd].throttling
    assert 0.4 < half.hw_thermal < 0.7
    gpus = b.run(10.0).gpus
    for g in gpus:
        hot = g.gpu.index == odd
        assert (g.throttling.hw_thermal, g.throttling.power_cap) == (1.0 if hot else 0.0, 0.0)
    assert to_json(b.frame())["gpus"][odd]["throttling"] == {
        "over_s": 10.0, "power_cap_share": 0.0, "sw_thermal_share": 0.0, "hw_thermal_share": 1.0,
        "power_brake_share": 0.0,
    }  # fmt: skip


def test_fields_with_another_meaning_in_older_drivers_are_not_used(bench):
    """Fields 269 to 271 are about power smoothing in driver branch 575."""

    def number_otherwise(lib):
        for table in lib.fields.tables:
            table[270] = lambda gpu, scope, t: (0, 1, 2)

    b = bench("dgx-h100", prepare=number_otherwise)
    assert b.inventory.driver_version.startswith("570.")
    gauges = b.readers[0].read_gauges()[0].data
    assert gauges.hw_thermal_s == BRANCH_TOO_OLD
    assert gauges.sw_thermal_s == Missing("not supported")
    assert known(gauges.power_cap_s)


@pytest.mark.parametrize("ns", [-1, 2**63, 10**18])
def test_an_implausible_throttle_time_is_missing(bench, ns):
    def lie(lib):
        for table in lib.fields.tables:
            table[74] = lambda gpu, scope, t: (0, 3, ns % 2**64)

    assert bench("hgx-b200", prepare=lie).readers[0].read_gauges()[0].data.power_cap_s == IMPLAUSIBLE


@pytest.mark.parametrize("count", [0, 1, INITIAL_ENTRIES, INITIAL_ENTRIES + 1, 500])
def test_all_processes_are_listed_in_one_call_if_they_fit(bench, count):
    b = bench("h100-two")
    name = "nvmlDeviceGetComputeRunningProcesses_v3"
    types, _ = b.library._functions[name]

    def listed(gpu, found, out):
        room = ctypes.c_uint.from_address(found)
        asked, room.value = room.value, count
        if asked < count:
            return 7
        for k in range(count):
            info = pynvml.c_nvmlProcessInfo_v3_t.from_address(
                out + k * ctypes.sizeof(pynvml.c_nvmlProcessInfo_v3_t)
            )
            info.pid, info.usedGpuMemory = 100 + k, 1 << 30
        return 0

    b.library._functions[name] = (types, listed)
    uses = b.readers[0].processes.read(0.0)
    assert sorted(uses) == list(range(100, 100 + count))
    assert b.library.calls[name] == (1 if count <= INITIAL_ENTRIES else 2)


def test_an_empty_list_is_read_rarely_and_another_one_each_time(bench):
    b = bench("h100-two")
    calls = {"nvmlDeviceGetGraphicsRunningProcesses_v3": 3, "nvmlDeviceGetComputeRunningProcesses_v3": 8}
    for turn in range(8):
        assert list(b.readers[0].processes.read(float(turn))) == [41001]
    assert {name: b.library.calls[name] for name in calls} == calls


def test_slowly_changing_gauges_are_cached_between_readings(bench):
    b = bench("dgx-h100")
    frames = [b.poll(GpuReader.read_gauges) for _ in range(12)]
    assert all(known(f.gpus[0].gauges.pstate) and known(f.gpus[0].gauges.event_reasons) for f in frames)
    assert b.library.calls["nvmlDeviceGetPerformanceState"] == 2 * 8
    assert b.library.calls["nvmlDeviceGetCurrentClocksEventReasons"] == 3 * 8


@pytest.mark.parametrize("code", [13, 25])
def test_memory_is_read_by_version_1_where_the_driver_lacks_version_2(bench, code):
    def old(lib):
        lib.faults["nvmlDeviceGetMemoryInfo_v2"] = Fault(code)

    b = bench("h100-two", prepare=old)
    for _ in range(2):
        gauges = b.readers[0].read_gauges()[0].data
        used = b.library.machine.memory_used(0)
        assert (gauges.memory_used_bytes, gauges.memory_total_bytes) == (used + RESERVED_BYTES, 80 << 30)
    assert b.library.calls["nvmlDeviceGetMemoryInfo_v2"] == 1, "an unsupported call is not repeated"


def test_memory_is_not_read_by_version_1_after_a_passing_failure(bench):
    """Version 1 counts the driver's reserve as used, so the value would jump."""
    b = bench("h100-two")
    b.library.faults["nvmlDeviceGetMemoryInfo_v2"] = Fault(999)
    assert b.readers[0].read_gauges()[0].data.memory_used_bytes == Missing("unknown driver error")
    assert not b.library.calls["nvmlDeviceGetMemoryInfo"]
