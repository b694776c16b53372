"""The simulated driver's events: those of the scenario, and those that a test adds."""

from __future__ import annotations

from ctypes import c_uint, c_ulonglong, c_void_p, memmove
from typing import Final

import pynvml

from nvltop.nvml.events import ContextCount, EventWait, LegacyXid, OperationalConfig
from nvltop.nvml.simulated.abi import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    SUCCESS,
    TIMEOUT,
    FunctionTable,
    SimulatedDriver,
    handle_of,
    put,
    uuid_of,
)
from nvltop.nvml.simulated.faults import DriverEvent
from nvltop.nvml.simulated.machine import OPERATIONAL_BRANCH

EVENT_TYPES: Final = pynvml.nvmlEventTypeAll
"""Mask of the event types that a GPU supports."""
EVENT_SET: Final = 0x9000
"""Handle of the only event set."""
P, U = c_void_p, c_uint


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return the simulated functions that register for events and wait for them."""
    registered: dict[int, int] = {}
    """Mask of the registered event types, by GPU."""
    subscribed: dict[int, int] = {}
    """Lowest severity of the operational events that are subscribed to, by GPU."""
    pending = driver.machine.pending_events
    last: list[DriverEvent] = []
    """Event that `nvmlEventSetWait_v3` returned last."""

    def register(gpu: int, types: int, event_set: int) -> int:
        registered[gpu] = types
        return SUCCESS

    def wanted(event: DriverEvent, v3: bool) -> bool:
        if event.operational is None:
            return bool(registered.get(event.gpu, 0) & event.type)
        return v3 and event.gpu in subscribed and event.operational.severity >= subscribed[event.gpu]

    def next_event(timeout_ms: int, v3: bool) -> DriverEvent | None:
        timeout_s = timeout_ms / 1000
        event = min((event for event in pending if wanted(event, v3)), key=lambda e: e.t, default=None)
        if event is None or event.t - driver.t > timeout_s:
            driver.released.wait(timeout_s)
            return None
        driver.released.wait(max(0.0, event.t - driver.t))
        pending.remove(event)
        return event

    def wait(event_set: int, out: int, timeout_ms: int) -> int:
        event = next_event(timeout_ms, v3=False)
        if event is None:
            return TIMEOUT
        entry = pynvml.c_nvmlEventData_t.from_address(out)
        entry.eventType, entry.eventData = event.type, event.data
        return put(c_void_p, out, handle_of(event.gpu))

    def subscribe(event_set: int, config_at: int) -> int:
        config = OperationalConfig.from_address(config_at)
        by_uuid = {uuid_of(gpu).encode(): gpu for gpu in range(driver.machine.node.gpus)}
        if config.uuid not in by_uuid:
            return INVALID_ARGUMENT
        subscribed[by_uuid[config.uuid]] = config.minSeverity
        return SUCCESS

    def wait_v3(event_set: int, out: int) -> int:
        entry = EventWait.from_address(out)
        event = next_event(entry.timeoutMs, v3=True)
        if event is None:
            return TIMEOUT
        last[:] = [event]
        entry.uuid = uuid_of(event.gpu).encode()
        found = event.operational
        if found is None:
            entry.dataType, entry.eventType, entry.eventData = 0, event.type, event.data
            return SUCCESS
        entry.dataType, entry.eventType, entry.eventData = 1, 0, 0
        # A name of 16 characters has no NUL at its end.
        memmove(out + EventWait.sourceModule.offset, found.module.encode().ljust(16, b"\0"), 16)
        entry.severity, entry.moduleEventCode = found.severity, found.code
        entry.attributes, entry.groupAttributes = found.attributes, found.group_attributes
        return SUCCESS

    def xids() -> list[int | None]:
        """Return the Xid of each context record of the last event; the first record is of another type."""
        found = last[0].operational if last else None
        return [] if found is None or found.xid is None else [None, found.xid]

    def context_count(event_set: int, out: int) -> int:
        return put(c_uint, out + ContextCount.count.offset, len(xids()))

    def legacy_xid(event_set: int, out: int) -> int:
        entry = LegacyXid.from_address(out)
        if entry.index >= len(xids()):
            return INVALID_ARGUMENT
        xid = xids()[entry.index]
        if xid is None:
            return NOT_FOUND
        entry.xidCode = xid
        return SUCCESS

    table: FunctionTable = {
        "nvmlEventSetCreate": ((P,), lambda out: put(c_void_p, out, EVENT_SET)),
        "nvmlDeviceGetSupportedEventTypes": (
            (P, P),
            lambda gpu, out: put(c_ulonglong, out, EVENT_TYPES),
        ),
        "nvmlDeviceRegisterEvents": ((P, c_ulonglong, P), register),
        "nvmlEventSetWait_v2": ((P, P, U), wait),
        "nvmlEventSetFree": ((P,), lambda event_set: SUCCESS),
    }
    if driver.machine.node.branch >= OPERATIONAL_BRANCH:
        table |= {
            "nvmlEventSetRegisterGpuOperationalEvents_v1": ((P, P), subscribe),
            "nvmlEventSetWait_v3": ((P, P), wait_v3),
            "nvmlEventSetGetContextCount_v1": ((P, P), context_count),
            "nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1": ((P, P), legacy_xid),
        }
    return table
