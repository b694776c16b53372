"""One worker's session with the driver: its GPUs, and their readers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import field, replace
from typing import Final

from nvltop.frozen import mutable
from nvltop.model import (
    GPU_IS_LOST,
    Data,
    Gauges,
    Inventory,
    LinkCounters,
    LinkErrors,
    LinkStates,
    Maybe,
    Missing,
    Problem,
    Reading,
    known,
)
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml import inventory
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.compute import ComputeReader
from nvltop.nvml.counters import CounterReader
from nvltop.nvml.device import Device
from nvltop.nvml.driver import Driver
from nvltop.nvml.errors import ErrorReader
from nvltop.nvml.fabric import FabricReader
from nvltop.nvml.gauges import GaugeReader
from nvltop.nvml.gpm import Gpm, GpmStream
from nvltop.nvml.host_traffic import GPM_METRICS, HostTrafficReader
from nvltop.nvml.pcie import PcieReader
from nvltop.nvml.processes import ProcessReader
from nvltop.nvml.states import StateReader

MAX_UUID_CHANGES: Final = 2
"""Number of times that the GPU at one index may change its UUID.

A UUID changes when a board is exchanged or a vGPU is created again.
"""


@mutable
class GpuReader:
    """All readers of one GPU."""

    device: Device
    counters: CounterReader
    states: StateReader
    errors: ErrorReader
    gauges: GaugeReader
    host_traffic: HostTrafficReader
    fabric: FabricReader
    processes: ProcessReader
    compute: ComputeReader
    lost: bool = False
    unresponsive: bool = False
    """Whether the last reading returned none of the values that this board normally provides."""
    _unread_links: set[int] = field(default_factory=set)
    """Links whose counters could not be read the last time."""
    _newest: dict[type[Data], Data] = field(default_factory=dict)
    """Newest values of some groups."""

    @classmethod
    def of(cls, driver: Driver, device: Device) -> GpuReader:
        """Return a GPU's readers."""
        gpm = Gpm(driver, device)
        return cls(
            device,
            CounterReader(driver, device),
            StateReader(driver, device),
            ErrorReader(driver, device),
            GaugeReader(driver, device),
            HostTrafficReader(PcieReader(driver, device), GpmStream(gpm, GPM_METRICS)),
            FabricReader(driver, device),
            ProcessReader(driver, device),
            ComputeReader(driver, device, gpm),
        )

    def read_counters(self) -> list[Reading]:
        """Read the throughput counters and, while there is traffic, the compute activity of the same time.

        The state of a link is read again if its counter has become readable or unreadable.
        """
        readings = self.counters.read(
            lambda: self.states.any_link_active, with_power=self.compute.has_traffic
        )
        if readings and isinstance(readings[-1].data, LinkCounters):
            unread = readings[-1].data.unread()
            if unread != self._unread_links:
                self.states.recheck(unread ^ self._unread_links)
                self._unread_links = unread
            readings += self.compute.read_fast(readings[-1], self.counters.power_w)
        return readings

    def read_states(self) -> list[Reading]:
        """Read the state and the speed of each link."""
        if self.device.links == 0:
            return []
        return [self._timed(self.states.read, lambda why: LinkStates((why,), (why,)))]

    def read_errors(self) -> list[Reading]:
        """Read the error counters."""
        if self.device.links == 0:
            return []
        readings = [self._timed(self.errors.read, lambda why: LinkErrors({}))]
        start, wall = time.monotonic(), time.time()
        ber = self.errors.read_ber(start)
        if ber is not None and known(ber):
            readings.append(Reading(self.device.uuid, start, time.monotonic(), wall, ber))
        return readings

    def read_gauges(self) -> list[Reading]:
        """Read utilization, memory, power and similar values, and detect a lost GPU."""
        reading = self._timed(lambda: self.gauges.read(time.monotonic()), lambda why: Gauges())
        data = reading.data
        assert isinstance(data, Gauges)
        values = (data.util_percent, data.memory_used_bytes, data.power_w, data.temperature_c)
        # An unsupported value shows neither that the GPU fails nor that it works.
        unread = [v for v in values if isinstance(v, Missing) and v not in UNSUPPORTED]
        self.unresponsive = bool(unread) and not any(known(v) for v in values)
        self.lost = self.unresponsive and GPU_IS_LOST in unread
        if self.unresponsive:
            why = GPU_IS_LOST if self.lost else unread[0]
            return [replace(reading, problem=why.reason)]
        return [reading]

    def read_host_traffic(self) -> list[Reading]:
        """Read PCIe and C2C throughput, and without NVLink traffic the compute activity."""
        start = time.monotonic()
        traffic = self.host_traffic.read(with_activity=not self.compute.has_traffic)
        end, wall = time.monotonic(), time.time()
        read = [data for data in (traffic.pcie, traffic.c2c) if data]
        readings = [Reading(self.device.uuid, start, end, wall, data) for data in read]
        return readings + self.compute.read_slow(traffic.span, traffic.power_w)

    def read_fabric(self) -> list[Reading]:
        """Read the fabric state, the recovery action and row remapping."""
        start = time.monotonic()
        fabric = self.fabric.read()
        return [Reading(self.device.uuid, start, time.monotonic(), time.time(), fabric)]

    def _timed(self, read: Callable[[], Maybe[Data]], empty: Callable[[Missing], Data]) -> Reading:
        start = time.monotonic()
        data = read()
        end, wall = time.monotonic(), time.time()
        if isinstance(data, Missing):
            return Reading(self.device.uuid, start, end, wall, empty(data), data.reason)
        newest = self._newest.get(type(data))
        if data is not newest and data == newest:
            # The same object, so that it is encoded and compared once.
            data = newest
        self._newest[type(data)] = data
        return Reading(self.device.uuid, start, end, wall, data)


@mutable
class Session:
    """A session with NVML, and the GPUs that it lists."""

    driver: Driver
    excluded: Collection[int] = ()
    readers: tuple[GpuReader, ...] = ()
    inventory: Inventory | None = None
    _uuid_changes: Counter[int] = field(default_factory=Counter)
    """Number of UUID changes by NVML index."""

    def open(self) -> Inventory:
        """Initialize NVML and read the inventory; its `problem` gives the reason of a failure."""
        problem = inventory.initialise(self.driver)
        if problem:
            return self._failed(problem)
        found = inventory.detect_gpus(self.driver, self.excluded)
        if isinstance(found, Missing):
            return self._failed(inventory.explain_failure(found, self.driver))
        self.readers = tuple(GpuReader.of(self.driver, device) for device in found.devices)
        self.inventory = inventory.read_inventory(self.driver, found)
        return self.inventory

    def reread_inventory(self) -> Maybe[Inventory] | None:
        """Read the inventory again; return None if it is unchanged, or why it could not be read."""
        found = inventory.detect_gpus(self.driver, self.excluded)
        if isinstance(found, Missing):
            return found
        found = replace(
            found, devices=self._with_stable_uuids(tuple(map(self._with_known_uuid, found.devices)))
        )
        fresh = inventory.read_inventory(self.driver, found)
        old = self.inventory
        if old and (fresh.gpus, fresh.pairs) == (old.gpus, old.pairs):
            return None
        by_uuid = {reader.device.uuid: reader for reader in self.readers}
        self.readers = tuple(
            by_uuid[d.uuid]
            if d.uuid in by_uuid and by_uuid[d.uuid].device == d
            else GpuReader.of(self.driver, d)
            for d in found.devices
        )
        self.inventory = fresh
        return fresh

    def _with_known_uuid(self, device: Device) -> Device:
        """Return a GPU with its last known UUID if the UUID cannot be read now.

        The GPU is identified by its PCI bus id.
        """
        for gpu in self.inventory.gpus if self.inventory else ():
            if known(gpu.pci_bus_id) and device.uuid == f"PCI-{gpu.pci_bus_id}":
                return replace(device, uuid=gpu.uuid)
        return device

    def _with_stable_uuids(self, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        """Return GPUs with a fixed UUID where it changes continually.

        Otherwise each new UUID would add another GPU to the history.
        """
        listed = {device.uuid for device in devices}
        before = {reader.device.index: reader.device.uuid for reader in self.readers}
        steady = []
        for device in devices:
            old = before.get(device.index, device.uuid)
            if old != device.uuid and old not in listed:
                self._uuid_changes[device.index] += 1
                if self._uuid_changes[device.index] > MAX_UUID_CHANGES:
                    device = replace(device, uuid=old)
            steady.append(device)
        return tuple(steady)

    def _failed(self, problem: Problem) -> Inventory:
        self.inventory = inventory.failed_inventory(self.driver, problem)
        return self.inventory


def new_session(tracker: CallTracker, excluded: Collection[int] = ()) -> Session:
    """Return a session without opening it; GPUs with an NVML index in `excluded` are never called."""
    return Session(Driver(tracker), excluded)
