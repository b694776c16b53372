"""Events that the driver reports."""

from __future__ import annotations

import pynvml
import pytest

from nvltop.model import Missing
from nvltop.nvml.session import EventListener
from nvltop.nvml.simulated.faults import DriverEvent


def listener(b) -> EventListener:
    return EventListener(b.session.driver, b.readers)


@pytest.mark.parametrize(
    ("kind", "event_type"),
    [
        ("xid", pynvml.nvmlEventTypeXidCriticalError),
        ("gpu-unavailable", pynvml.nvmlEventTypeGpuUnavailableError),
        ("recovery-action", pynvml.nvmlEventTypeGpuRecoveryAction),
    ],
)
def test_each_kind_of_event_is_registered_for_and_named(bench, kind, event_type):
    b = bench("h100-two")
    events = listener(b)
    assert events.registered == 2
    b.library.machine.pending_events.append(DriverEvent(0.0, 1, event_type, 79))
    event = events.wait(100)
    assert (event.kind, event.code, event.gpu) == (kind, 79, b.readers[1].device.uuid)
    assert events.wait(100) == Missing("timed out")


def test_routine_events_are_not_reported(bench):
    b = bench("h100-two")
    events = listener(b)
    routine = (pynvml.nvmlEventTypePState, pynvml.nvmlEventTypeClock, pynvml.nvmlEventTypePowerSourceChange)
    b.library.machine.pending_events += [DriverEvent(0.0, 0, bit, 0) for bit in routine]
    assert events.wait(100) == Missing("timed out")
