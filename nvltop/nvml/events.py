"""Events that the driver reports on its own: Xids, recovery actions, and GPU Operational Events.

Drivers since branch 615 add GPU Operational Events (`nvmlEventSetWait_v3`): a severity, the module that
reported it, and whether it is the primary event or was propagated. The same Xid may then arrive twice, as an
event bit and as an operational event; the Monitor joins the two. Both are subscribed to, because NVIDIA does
not promise an operational event for every Xid.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from ctypes import Structure, byref, c_char, c_ubyte, c_uint, c_ulonglong, c_void_p, cast
from typing import Any, ClassVar, Final, Protocol

import pynvml

from nvltop.model import Event, Maybe, Missing, known, or_none
from nvltop.model.missing import FUNCTION_NOT_FOUND, UNSUPPORTED
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver
from nvltop.nvml.library import library_call
from nvltop.text import clean

REGISTER_OPERATIONAL_EVENTS: Final = library_call("nvmlEventSetRegisterGpuOperationalEvents_v1")
WAIT_FOR_ANY_EVENT: Final = library_call("nvmlEventSetWait_v3")
READ_CONTEXT_COUNT: Final = library_call("nvmlEventSetGetContextCount_v1")
READ_CONTEXT_XID: Final = library_call("nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1")
"""Functions that `pynvml` has since 13.615."""
KINDS: Final = {0x8: "xid", 0x4000: "gpu-unavailable", 0x8000: "recovery-action"}
"""Names of the event types to listen for, by bit of nvmlEventType; the other types are routine."""
OPERATIONAL: Final = 1
"""NVML_EVENT_DATA_TYPE_GPU_OPERATIONAL_EVENT."""
RECOVERABLE: Final = 30
"""NVML_OPERATIONAL_EVENT_SEVERITY_RECOVERABLE: less severe events are not subscribed to."""
SEVERITIES: Final = {10: "informational", 20: "corrected", RECOVERABLE: "recoverable", 40: "fatal"}
"""Names of NVML_OPERATIONAL_EVENT_SEVERITY_*."""
ATTRIBUTES: Final = (
    "uncontained",
    "latent",
    "propagated",
    "component-reset",
    "threshold-exceeded",
    "primary",
    "overflow",
)
"""Names of NVML_OPERATIONAL_EVENT_ATTR_*, by bit."""
GROUP_ATTRIBUTES: Final = ("recovered", "previous-error", "simulated")
"""Names of NVML_OPERATIONAL_EVENT_GROUP_ATTR_*, by bit."""
NOT_NEW: Final = frozenset({"previous-error", "simulated"})
"""Attributes of events that report no new fault, so that their Xid does not count as one."""
MAX_CONTEXTS: Final = 16
"""Number of context records of an event in which its Xid is searched."""


class OperationalConfig(Structure):
    """nvmlGpuOperationalEventConfig_v1_t, which `pynvml` has since 13.615."""

    _fields_: ClassVar = [("uuid", c_char * 96), ("minLogLevel", c_uint), ("minSeverity", c_uint)]


class EventWait(Structure):
    """nvmlEventSetWait_v3_t, which `pynvml` has since 13.615."""

    _fields_: ClassVar = [
        ("timeoutMs", c_uint),
        ("dataType", c_uint),
        ("uuid", c_char * 96),
        ("sourceModule", c_char * 16),
        ("eventType", c_ulonglong),
        ("eventData", c_ulonglong),
        ("groupCursor", c_ulonglong),
        ("instanceId", c_ulonglong),
        ("timestampUsec", c_ulonglong),
        ("traceId", c_ulonglong),
        ("gpuInstanceId", c_uint),
        ("computeInstanceId", c_uint),
        ("severity", c_uint),
        ("categoryId", c_uint),
        ("moduleEventCode", c_uint),
        ("scope", c_uint),
        ("originator", c_uint),
        ("moduleInstance", c_uint),
        ("chipletId", c_uint),
        ("logLevel", c_uint),
        ("attributes", c_uint),
        ("groupCperSize", c_uint),
        ("groupAttributes", c_uint),
        ("groupSize", c_ubyte),
        ("groupIndex", c_ubyte),
    ]


class ContextCount(Structure):
    """nvmlEventSetGetContextCount_v1_t, which `pynvml` has since 13.615."""

    _fields_: ClassVar = [("count", c_uint)]


class LegacyXid(Structure):
    """nvmlEventSetGetGpuOperationalEventContextLegacyXid_v1_t, which `pynvml` has since 13.615."""

    _fields_: ClassVar = [("index", c_uint), ("xidCode", c_uint)]


class Reader(Protocol):
    """Reader of one GPU."""

    @property
    def device(self) -> Device:
        """The GPU."""


class EventListener:
    """Listener for events that the driver reports, such as Xids."""

    def __init__(self, driver: Driver, readers: Sequence[Reader]) -> None:
        self._driver = driver
        self._set: Any = driver.call(pynvml.nvmlEventSetCreate)
        self._operational = False
        """Whether operational events of any GPU are subscribed to."""
        self.registered = 0
        """Number of GPUs whose events are reported."""
        self._uuids: dict[int | None, str] = {}
        """UUIDs by handle: the driver no longer gives the UUID of a GPU that has just been lost."""
        if isinstance(self._set, Missing):
            return
        devices = [reader.device for reader in readers]
        self._uuids |= {_address(device.handle): device.uuid for device in devices}
        for device in devices:
            supported = driver.call(pynvml.nvmlDeviceGetSupportedEventTypes, device.handle, gpu=device.index)
            wanted = sum(KINDS) & supported if known(supported) else 0
            if wanted:
                failure = driver.call(
                    pynvml.nvmlDeviceRegisterEvents, device.handle, wanted, self._set, gpu=device.index
                )
                self.registered += not isinstance(failure, Missing)
        self._subscribe(devices)

    def _subscribe(self, devices: Sequence[Device]) -> None:
        """Subscribe to operational events where driver and GPU have them."""
        for device in devices:
            config = OperationalConfig(device.uuid.encode(), 0, RECOVERABLE)
            failure = self._driver.call(
                REGISTER_OPERATIONAL_EVENTS, self._set, byref(config), gpu=device.index
            )
            if failure == FUNCTION_NOT_FOUND:
                return
            self._operational = self._operational or not isinstance(failure, Missing)

    def wait(self, timeout_ms: int) -> Maybe[Event]:
        """Wait for an event; return `Missing("timed out")` if there was none."""
        if self._operational:
            answer = EventWait(timeoutMs=timeout_ms)
            failure = self._driver.call(WAIT_FOR_ANY_EVENT, self._set, byref(answer))
            if not isinstance(failure, Missing):
                return self._event(answer)
            if failure not in UNSUPPORTED:
                return failure
            self._operational = False
        data = self._driver.call(pynvml.nvmlEventSetWait_v2, self._set, timeout_ms)
        if isinstance(data, Missing):
            return data
        gpu = self._uuids.get(_address(data.device)) or or_none(
            self._driver.call(pynvml.nvmlDeviceGetUUID, data.device)
        )
        return _by_bit(gpu, data.eventType, data.eventData)

    def _event(self, answer: EventWait) -> Event:
        gpu = _text(answer.uuid) or None
        if answer.dataType != OPERATIONAL:
            return _by_bit(gpu, answer.eventType, answer.eventData)
        names = (*_names(answer.attributes, ATTRIBUTES), *_names(answer.groupAttributes, GROUP_ATTRIBUTES))
        xid = self._legacy_xid() if NOT_NEW.isdisjoint(names) else None
        # The header does not say when the driver's time stamp begins, so the time of arrival is used.
        return Event(
            mono_s=time.monotonic(),
            wall_s=time.time(),
            gpu=gpu,
            kind="operational" if xid is None else "xid",
            code=answer.moduleEventCode if xid is None else xid,
            module=_text(answer.sourceModule) or "unknown module",
            module_code=answer.moduleEventCode,
            severity=SEVERITIES.get(answer.severity, f"severity {answer.severity}"),
            attributes=names,
        )

    def _legacy_xid(self) -> int | None:
        """Return the Xid that belongs to the last operational event, None if it has none."""
        contexts = ContextCount()
        failure = self._driver.call(READ_CONTEXT_COUNT, self._set, byref(contexts))
        count = 0 if isinstance(failure, Missing) else min(contexts.count, MAX_CONTEXTS)
        for index in range(count):
            found = LegacyXid(index)
            failure = self._driver.call(READ_CONTEXT_XID, self._set, byref(found))
            if not isinstance(failure, Missing):
                return int(found.xidCode)
        return None


def _address(handle: Any) -> int | None:
    """Return what identifies a handle of a GPU: NVML gives the same pointer each time; None for NULL."""
    return cast(handle, c_void_p).value


def _by_bit(gpu: str | None, event_type: int, data: int) -> Event:
    """Return an event that the driver reports as a bit of nvmlEventType."""
    kind = KINDS.get(event_type, f"event {event_type:#x}")
    return Event(time.monotonic(), time.time(), gpu, kind, data)


def _names(bits: int, names: Sequence[str]) -> list[str]:
    """Return the names of the bits that are set; a bit without a name is called by its number."""
    return [names[i] if i < len(names) else f"bit {i}" for i in range(bits.bit_length()) if bits >> i & 1]


def _text(raw: bytes) -> str:
    return clean(raw.decode(errors="replace"))
