"""Watches over the NICs: their ports once a second, and whether one has come or gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from nvltop.host.attempt import attempt
from nvltop.model import Inventory, Maybe, Nic, NicPorts, Place, Reading, known
from nvltop.sampler import schedule

SYSFS: Final = "/sys"


class Ports(Protocol):
    """The NICs of this machine, or simulated ones."""

    def changed(self) -> bool:
        """Whether devices have come or gone since the last `find`."""

    def find(self) -> Maybe[tuple[Nic, ...]]:
        """Return which there are."""

    def gpu_places(self, buses: Sequence[str]) -> tuple[Place, ...]:
        """Return where the GPUs with these bus ids sit."""

    def read(self, now_s: float) -> NicPorts:
        """Read all ports."""


class NicWatch:
    """Adds the NICs to each inventory; sends the newest one again when they have changed.

    Only the thread of `run` reads ports: an adapter whose firmware hangs holds up nobody else.
    """

    def __init__(self, table: Ports, send: Callable[..., None], stop: threading.Event) -> None:
        self._table, self._send, self._stop = table, send, stop
        self._lock = threading.Lock()
        """Of what was told last; never held while ports are read."""
        self._told: Inventory | None = None
        self._nics: Maybe[tuple[Nic, ...]] | None = None

    def tell(self, inventory: Inventory) -> None:
        """Send an inventory with what joins its GPUs to other nodes."""
        if self._nics is None:
            self._nics = self._find()
        with self._lock:
            self._send_with_nics(inventory, self._nics)

    def run(self) -> None:
        """Read the ports until told to stop."""
        every_s = schedule.FIRST_NICS_S
        while not self._stop.is_set():
            start = time.monotonic()
            if attempt(self._table.changed, SYSFS) is not False:
                self._nics = self._find()
                with self._lock:
                    if self._told:
                        self._send_with_nics(
                            replace(self._told, mono_s=start, wall_s=time.time()), self._nics
                        )
            ports = attempt(partial(self._table.read, start), SYSFS)
            if known(ports):
                self._send(Reading(None, start, time.monotonic(), time.time(), ports))
            self._stop.wait(every_s)
            every_s = schedule.NICS_S

    def _find(self) -> Maybe[tuple[Nic, ...]]:
        return attempt(self._table.find, SYSFS)

    def _send_with_nics(self, inventory: Inventory, nics: Maybe[tuple[Nic, ...]]) -> None:
        buses = [g.pci_bus_id for g in inventory.gpus if known(g.pci_bus_id)]
        places = attempt(lambda: self._table.gpu_places(buses), SYSFS)
        self._told = replace(inventory, nics=nics, gpu_places=places if known(places) else ())
        self._send(self._told)
