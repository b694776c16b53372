"""Poll the ports of the NICs, and detect NICs that were added or removed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from nvltop.host.safe_read import read_safely
from nvltop.model import Inventory, Maybe, Nic, NicPorts, PciLocation, Reading, known
from nvltop.sampler import schedule
from nvltop.sampler.task import Task

SYSFS: Final = "/sys"


class NicReader(Protocol):
    """A reader of the NICs of this machine, or of simulated ones."""

    def changed(self) -> bool:
        """Return whether devices were added or removed since the last `find`."""

    def find(self) -> Maybe[tuple[Nic, ...]]:
        """Return the NICs of the machine."""

    def gpu_locations(self, buses: Sequence[str]) -> tuple[PciLocation, ...]:
        """Return the PCI locations of the GPUs with these bus ids."""

    def read(self, now_s: float) -> NicPorts:
        """Return the state and counters of all ports."""


class NicMonitor:
    """Adds the NICs to each inventory, and sends the newest inventory again when the NICs have changed.

    Only `read` reads ports, so that an adapter whose firmware hangs delays no inventory.
    """

    def __init__(self, nics: NicReader, send: Callable[..., None]) -> None:
        self._reader, self._send = nics, send
        self._lock = threading.Lock()
        """Guards `_newest`; never held while ports are read."""
        self._newest: Inventory | None = None
        self._nics: Maybe[tuple[Nic, ...]] | None = None

    def send(self, inventory: Inventory) -> None:
        """Send an inventory completed with the NICs and the PCI locations of the GPUs."""
        if self._nics is None:
            self._nics = self._find()
        with self._lock:
            self._send_with_nics(inventory, self._nics)

    def task(self) -> Task:
        """Return the task that reads the ports."""
        return Task("nics", self.read, schedule.NICS_S, (0.0, schedule.FIRST_NICS_S))

    def read(self, start_s: float) -> list[Reading]:
        """Read the ports; send the inventory again if there are other NICs."""
        if read_safely(self._reader.changed, SYSFS) is not False:
            self._nics = self._find()
            with self._lock:
                if self._newest:
                    self._send_with_nics(
                        replace(self._newest, mono_s=start_s, wall_s=time.time()), self._nics
                    )
        ports = read_safely(partial(self._reader.read, start_s), SYSFS)
        return [Reading(None, start_s, time.monotonic(), time.time(), ports)] if known(ports) else []

    def _find(self) -> Maybe[tuple[Nic, ...]]:
        return read_safely(self._reader.find, SYSFS)

    def _send_with_nics(self, inventory: Inventory, nics: Maybe[tuple[Nic, ...]]) -> None:
        buses = [g.pci_bus_id for g in inventory.gpus if known(g.pci_bus_id)]
        places = read_safely(lambda: self._reader.gpu_locations(buses), SYSFS)
        self._newest = replace(inventory, nics=nics, gpu_locations=places if known(places) else ())
        self._send(self._newest)
