"""Events that the driver reports."""

from __future__ import annotations

import ctypes

import pynvml
import pytest

from nvltop.model import Missing
from nvltop.nvml import events as listener_module
from nvltop.nvml.events import EventListener
from nvltop.nvml.simulated.faults import (
    FATAL,
    PRIMARY,
    PROPAGATED,
    RECOVERABLE,
    DriverEvent,
    OperationalEvent,
)
from nvltop.nvml.simulated.library import Fault

TIMED_OUT = Missing("timed out")
XID = pynvml.nvmlEventTypeXidCriticalError


def listener(b) -> EventListener:
    return EventListener(b.session.driver, b.readers)


def structured(gpu, module="GPU-NVLINK", code=5, severity=FATAL, attributes=0, group=0, xid=None):
    """Return a GPU Operational Event as the simulated driver reports it."""
    return DriverEvent(0.0, gpu, 0, 0, OperationalEvent(module, code, severity, attributes, group, xid))


@pytest.mark.parametrize("node", ["h100-two", "gb300-two"])
@pytest.mark.parametrize(
    ("kind", "event_type"),
    [
        ("xid", XID),
        ("gpu-unavailable", pynvml.nvmlEventTypeGpuUnavailableError),
        ("recovery-action", pynvml.nvmlEventTypeGpuRecoveryAction),
    ],
)
def test_each_kind_of_event_is_registered_for_and_named(bench, node, kind, event_type):
    b = bench(node)
    events = listener(b)
    assert events.registered == 2
    b.library.machine.pending_events.append(DriverEvent(0.0, 1, event_type, 79))
    event = events.wait(100)
    assert (event.kind, event.code, event.gpu) == (kind, 79, b.readers[1].device.uuid)
    assert event.details == ""
    assert events.wait(100) == TIMED_OUT


def test_the_event_of_a_gpu_that_has_just_been_lost_is_placed_by_its_handle(bench):
    """The driver no longer answers with its UUID."""
    b = bench("h100-two")
    events = listener(b)
    b.library.machine.pending_events.append(DriverEvent(0.0, 1, XID, 79))
    b.library.faults["nvmlDeviceGetUUID"] = Fault(pynvml.NVML_ERROR_GPU_IS_LOST)
    event = events.wait(100)
    assert (event.code, event.gpu) == (79, b.readers[1].device.uuid)


def test_routine_events_are_not_reported(bench):
    b = bench("h100-two")
    events = listener(b)
    routine = (pynvml.nvmlEventTypePState, pynvml.nvmlEventTypeClock, pynvml.nvmlEventTypePowerSourceChange)
    b.library.machine.pending_events += [DriverEvent(0.0, 0, bit, 0) for bit in routine]
    assert events.wait(100) == TIMED_OUT


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (listener_module.EventWait, "c_nvmlEventSetWait_v3_t"),
        (listener_module.OperationalConfig, "c_nvmlGpuOperationalEventConfig_v1_t"),
        (listener_module.ContextCount, "c_nvmlEventSetGetContextCount_v1_t"),
        (listener_module.LegacyXid, "c_nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1_t"),
    ],
)
def test_structures_are_laid_out_as_in_nvidias_module(ours, theirs):
    if (structure := getattr(pynvml, theirs, None)) is None:
        pytest.skip("this nvidia-ml-py is older than 13.615")
    assert ctypes.sizeof(ours) == ctypes.sizeof(structure)
    for name, *_ in structure._fields_:
        assert getattr(ours, name).offset == getattr(structure, name).offset, name
        assert getattr(ours, name).size == getattr(structure, name).size, name


def test_an_operational_event_says_what_the_driver_knows(bench):
    b = bench("gb300-two")
    events = listener(b)
    b.library.machine.pending_events += [
        structured(1, attributes=PRIMARY, xid=149),
        structured(0, "SIXTEEN-LETTERS!", 0x11, 35, PROPAGATED | 1 << 9),
        structured(0, group=2, xid=79),
        structured(0, severity=20, xid=63),
    ]
    found = [events.wait(100) for _ in range(3)]
    first = found[0]
    assert (first.kind, first.code, first.gpu) == ("xid", 149, b.readers[1].device.uuid)
    assert first.details == "GPU-NVLINK event 0x0005, fatal, primary"
    assert first.marked == "primary"
    # The name fills its field, the severity and one attribute are newer than the header.
    assert found[1].kind == "operational"
    assert found[1].details == "SIXTEEN-LETTERS! event 0x0011, severity 35, propagated, bit 9"
    # The Xid of an earlier error is not a new Xid.
    assert (found[2].kind, found[2].attributes) == ("operational", ("previous-error",))
    assert events.wait(100) == TIMED_OUT, "corrected errors are not subscribed to"


def test_without_the_functions_or_the_right_the_event_bits_remain(bench):
    b = bench("gb300-two")
    b.library.faults["nvmlEventSetRegisterGpuOperationalEvents_v1"] = Fault(4)
    events = listener(b)
    b.library.machine.pending_events += [structured(0, xid=149), DriverEvent(0.0, 0, XID, 149)]
    assert events.wait(100).details == ""
    assert events.wait(100) == TIMED_OUT
    assert not b.library.calls["nvmlEventSetWait_v3"]

    b = bench("gb300-two")
    b.library.faults["nvmlEventSetWait_v3"] = Fault(3)
    events = listener(b)
    b.library.machine.pending_events.append(DriverEvent(0.0, 0, XID, 149))
    assert events.wait(100).code == 149
    assert events.wait(100) == TIMED_OUT
    assert b.library.calls["nvmlEventSetWait_v3"] == 1


def test_an_old_driver_is_asked_once(bench):
    b = bench("h100-two")
    listener(b).wait(100)
    assert b.library.calls["nvmlEventSetWait_v2"] == 1
    assert b.library.calls["nvmlEventSetWait_v3"] == 0


def report(b, events, count: int) -> None:
    """Pass `count` events of the driver to the monitor."""
    for _ in range(count):
        b.monitor.update(events.wait(100))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_driver_names_cause_and_echo_and_each_xid_counts_once(bench, reverse):
    b = bench("gb300-two")
    b.run(1.0)
    events = listener(b)
    batch = [
        DriverEvent(0.0, 0, XID, 145),
        DriverEvent(0.0, 1, XID, 145),
        structured(0, severity=RECOVERABLE, attributes=PROPAGATED, xid=145),
        structured(1, attributes=PRIMARY, xid=145),
    ]
    b.library.machine.pending_events += reversed(batch) if reverse else batch
    report(b, events, 4)
    frame = b.run(6.0)
    assert sorted((e.gpu, e.code, e.marked) for e in frame.events) == [
        (b.readers[0].device.uuid, 145, "propagated"),
        (b.readers[1].device.uuid, 145, "primary"),
    ]
    [incident] = frame.incidents
    assert len(incident.events) == 2
    assert incident.origin.sure == "certain"
    assert incident.origin.pci_bus_id == "00000008:43:00.0"
    assert [c.gpu for c in frame.culprits] == [b.readers[1].device.uuid]


def test_codes_alone_blame_nobody_where_both_gpus_say_primary(bench):
    b = bench("gb300-two")
    b.run(1.0)
    events = listener(b)
    b.library.machine.pending_events += [structured(g, attributes=PRIMARY, xid=145) for g in (0, 1)]
    report(b, events, 2)
    [incident] = b.run(6.0).incidents
    assert incident.origin.sure == "unknown"


def test_a_fatal_operational_event_without_an_xid_is_a_finding(bench):
    b = bench("gb300-two")
    b.run(1.0)
    events = listener(b)
    b.library.machine.pending_events += [structured(1), structured(0, group=4)]
    report(b, events, 2)
    frame = b.run(6.0)
    [finding] = [f for f in frame.findings if f.rule == "log-fault"]
    assert finding.gpu == b.readers[1].device.uuid
    assert finding.headline.startswith("GPU-NVLINK event 0x0005")
