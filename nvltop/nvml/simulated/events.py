"""The simulated driver's events: Xids of the scenario, and those that a test adds."""

from __future__ import annotations

from ctypes import c_uint, c_ulonglong, c_void_p
from typing import Final

import pynvml

from nvltop.nvml.simulated.abi import SUCCESS, TIMEOUT, FunctionTable, SimulatedDriver, handle_of, put
from nvltop.nvml.simulated.faults import DriverEvent

EVENT_TYPES: Final = pynvml.nvmlEventTypeAll
"""Mask of the event types that a GPU supports."""
EVENT_SET: Final = 0x9000
"""Handle of the only event set."""
P, U = c_void_p, c_uint


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return the simulated functions that register for events and wait for them."""
    registered: dict[int, int] = {}
    """Mask of the registered event types, by GPU."""
    pending = driver.machine.pending_events

    def register(gpu: int, types: int, event_set: int) -> int:
        registered[gpu] = types
        return SUCCESS

    def next_event() -> DriverEvent | None:
        wanted = (event for event in pending if registered.get(event.gpu, 0) & event.type)
        return min(wanted, default=None)

    def wait(event_set: int, out: int, timeout_ms: int) -> int:
        timeout_s = timeout_ms / 1000
        event = next_event()
        if event is None or event.t - driver.t > timeout_s:
            driver.released.wait(timeout_s)
            return TIMEOUT
        driver.released.wait(max(0.0, event.t - driver.t))
        pending.remove(event)
        entry = pynvml.c_nvmlEventData_t.from_address(out)
        entry.eventType, entry.eventData = event.type, event.data
        return put(c_void_p, out, handle_of(event.gpu))

    return {
        "nvmlEventSetCreate": ((P,), lambda out: put(c_void_p, out, EVENT_SET)),
        "nvmlDeviceGetSupportedEventTypes": (
            (P, P),
            lambda gpu, out: put(c_ulonglong, out, EVENT_TYPES),
        ),
        "nvmlDeviceRegisterEvents": ((P, c_ulonglong, P), register),
        "nvmlEventSetWait_v2": ((P, P, U), wait),
        "nvmlEventSetFree": ((P,), lambda event_set: SUCCESS),
    }
