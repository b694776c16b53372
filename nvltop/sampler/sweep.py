"""The worker's clocks: what is read when, on which thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from nvltop.host.machine import booted_s, in_container
from nvltop.host.pci import drivers_gpus
from nvltop.model import LISTENING, Cost, Event, Inventory, Item, Missing, Reading, known
from nvltop.nvml.session import Events, GpuReader, Session, connect
from nvltop.nvml.watch import Watch
from nvltop.sampler import cadence
from nvltop.sampler.cadence import Due, Stretch
from nvltop.sampler.protocol import Job

EVENT_WAIT_MS: Final = 1000
EVENT_BACK_OFF_S: Final = 5.0
"""After a wait that failed at once, as it does while a registered GPU is lost."""

Send = Callable[..., None]


def run(job: Job, watch: Watch, send: Send, stop: threading.Event) -> None:
    """Open the driver and read until told to stop; never returns while the main process lives."""
    threading.current_thread().name = "links"
    if job.demo:
        from nvltop.nvml import simulated

        simulated.install(*job.demo)
    session = connect(watch, job.leave_out)
    worker = Sampler(job, session, watch, send, stop)
    worker.open()
    threading.Thread(target=worker.slow, name="slow", daemon=True).start()
    threading.Thread(target=worker.events, name="events", daemon=True).start()
    worker.fast()


class Sampler:
    """Reads one node."""

    def __init__(self, job: Job, session: Session, watch: Watch, send: Send, stop: threading.Event) -> None:
        self._job = job
        self._session = session
        self._watch = watch
        self._send = send
        self._stop = stop
        self._look_again = threading.Event()

    def open(self) -> None:
        """Read the inventory, waiting for a driver if there is none yet."""
        while True:
            inventory = self._session.open()
            self._tell(inventory)
            if not inventory.problem or self._stop.wait(cadence.LOOK_AGAIN_S):
                return

    def _tell(self, inventory: Inventory) -> None:
        if self._job.demo:
            self._send(replace(inventory, demo=", ".join(self._job.demo)))
            return
        shown = [g.pci_bus_id for g in inventory.gpus if known(g.pci_bus_id)]
        self._send(
            replace(inventory, pci_gpus=drivers_gpus(shown), container=in_container(), booted_s=booted_s())
        )

    def fast(self) -> None:
        """Read link counters at the refresh rate; gauges, states and errors at their own."""
        stretch = Stretch(self._job.interval_s)
        gauges, states = Due(cadence.GAUGES_S), Due(cadence.STATES_S)
        cost = Due(cadence.COST_S)
        cost.at(time.monotonic())
        errors: dict[str, Due] = {}
        lost: dict[str, Due] = {}
        spent = (time.monotonic(), self._watch.calls, self._watch.driver_s)
        next_s = time.monotonic()
        while not self._stop.is_set():
            start = time.monotonic()
            # A turn early rather than a whole interval late.
            slack = stretch.interval_s / 2
            with_gauges, with_states = gauges.at(start, slack), states.at(start, slack)
            counters_s = 0.0
            for reader in self._session.readers:
                if reader.lost and not lost.setdefault(reader.device.uuid, Due(cadence.LOST_S)).at(start):
                    continue
                begun = time.monotonic()
                readings = reader.read_counters()
                counters_s += time.monotonic() - begun
                if with_states:
                    readings += reader.read_states()
                if with_gauges or reader.lost:
                    readings += reader.read_gauges()
                every = cadence.ERRORS_BY_CALL_S if reader.errors.needs_calls else cadence.ERRORS_S
                due = errors.setdefault(reader.device.uuid, Due(every))
                due.every_s = every
                if due.at(start, slack):
                    readings += reader.read_errors()
                self._send(*readings)
            stretch.note(counters_s)
            now = time.monotonic()
            if cost.at(now):
                self._send(self._cost(spent, now, stretch))
                spent = (now, self._watch.calls, self._watch.driver_s)
            next_s += stretch.interval_s
            if next_s <= now:
                # Missed turns are skipped, not made up for.
                next_s = now + stretch.interval_s
            self._stop.wait(next_s - now)

    def _cost(self, before: tuple[float, int, float], now: float, stretch: Stretch) -> Reading:
        seconds = max(now - before[0], 1e-3)
        cost = Cost(
            calls_per_s=(self._watch.calls - before[1]) / seconds,
            driver_s_per_s=(self._watch.driver_s - before[2]) / seconds,
            interval_s=stretch.interval_s,
            sweep_s=stretch.sweep_s,
        )
        return Reading(None, now, now, time.time(), cost)

    def slow(self) -> None:
        """Read PCIe and C2C traffic, the fabric, and now and then the inventory again."""
        traffic, fabric, pairs = Due(cadence.TRAFFIC_S), Due(cadence.FABRIC_S), Due(cadence.PAIRS_S)
        pairs.at(time.monotonic())
        # GPM needs two samples for a first value: the second does not wait a whole turn.
        self._each(GpuReader.read_traffic)
        self._each(GpuReader.read_fabric)
        fabric.at(time.monotonic())
        self._stop.wait(cadence.FIRST_TRAFFIC_S)
        while not self._stop.is_set():
            now = time.monotonic()
            if traffic.at(now):
                self._each(GpuReader.read_traffic)
            if fabric.at(now):
                self._each(GpuReader.read_fabric)
            if pairs.at(now) and (inventory := self._session.read_again()):
                self._tell(inventory)
            self._stop.wait(cadence.SLOW_TURN_S)

    def _each(self, read: Callable[[GpuReader], list[Reading]]) -> None:
        for reader in self._session.readers:
            if not reader.lost and not self._stop.is_set():
                self._send(*read(reader))

    def events(self) -> None:
        """Pass on what the driver tells by itself."""
        events = Events(self._session.driver, self._session.readers)
        # From here on silence means that nothing happened; what was before nobody tells us.
        self._send(Event(time.monotonic(), time.time(), None, LISTENING, events.registered))
        if not events.registered:
            return
        while not self._stop.is_set():
            begun = time.monotonic()
            event: Any = events.wait(EVENT_WAIT_MS)
            if not isinstance(event, Missing):
                item: Item = event
                self._send(item)
            elif time.monotonic() - begun < EVENT_WAIT_MS / 2000:
                self._stop.wait(EVENT_BACK_OFF_S)
