"""The worker's clocks: what is read when, on which thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from nvltop.gc_tuning import freeze_startup_objects
from nvltop.host.attempt import attempt
from nvltop.host.machine import booted_s, driver_loaded_s, in_container, in_wsl
from nvltop.host.nics import NicTable
from nvltop.host.pci import drivers_gpus
from nvltop.host.processes import ProcessTable
from nvltop.host.sysfs import proc_root
from nvltop.model import (
    LISTENING,
    Cost,
    Event,
    GpuInterval,
    Inventory,
    Item,
    LinkCounters,
    Missing,
    Reading,
    known,
)
from nvltop.nvml.call_tracker import Watch
from nvltop.nvml.driver import REASONS
from nvltop.nvml.session import Events, GpuReader, Session, connect
from nvltop.sampler import schedule
from nvltop.sampler.listing import ProcessLists, Table
from nvltop.sampler.nics import NicWatch, Ports
from nvltop.sampler.poll_threads import Lane, Lanes
from nvltop.sampler.protocol import RELOAD, Job, guarded
from nvltop.sampler.refresh import RefreshProbe
from nvltop.sampler.schedule import Due, Pace, Stretch
from nvltop.sampler.wsl import without_links

EVENT_WAIT_MS: Final = 1000
EVENT_BACK_OFF_S: Final = 5.0
"""After a wait that failed at once, as it does while a registered GPU is lost."""

WATCH_S: Final = 0.25
"""How often the lanes are looked after."""
HICCUP: Final = 0.5
"""Share of the interval from which a call takes too long for its counters to be of one moment."""
USUAL: Final = 4.0
"""A call takes longer than usual if it takes this many times as long as the one before."""
GONE: Final = frozenset({REASONS[1], REASONS[9], REASONS[18]})
"""NVML is not initialised, the driver is not loaded, library and driver differ: reloaded under us."""

Send = Callable[..., None]


def run(job: Job, watch: Watch, send: Send, stop: threading.Event, pace: Pace) -> None:
    """Open the driver and read until told to stop; never returns while the main process lives."""
    threading.current_thread().name = "inventory"
    nics: Ports = NicTable()
    if job.demo:
        from nvltop.nvml import simulated
        from nvltop.nvml.simulated.nics import SimulatedNics

        nics = SimulatedNics(simulated.install(*job.demo))
    session = connect(watch, job.leave_out)
    Sampler(job, session, watch, send, stop, pace, NicWatch(nics, send, stop)).run()


class Sampler:
    """Reads one node: fast things, slow things, events and the inventory on threads of their own."""

    def __init__(
        self,
        job: Job,
        session: Session,
        watch: Watch,
        send: Send,
        stop: threading.Event,
        pace: Pace,
        nics: NicWatch,
    ) -> None:
        self._job = job
        self._session = session
        self._watch = watch
        self._send = send
        self._stop = stop
        self._nics = nics
        self._news = threading.Event()
        """Something happened that the inventory may show."""
        self._fast = Lanes("links", guarded(self.fast))
        self._slow = Lanes("slow", guarded(self.slow))
        self._processes = Lanes("processes", guarded(self.processes))
        self._lists = ProcessLists(_table(job))
        self._refresh = RefreshProbe(lambda: session.readers, send, stop)
        self._pace = pace
        self._stretches: dict[Lane, Stretch] = {}
        """The effective interval of each lane that reads link counters."""

    def run(self) -> None:
        """Open the driver, start the threads, then watch over lanes and inventory."""
        self.open()
        freeze_startup_objects()
        self._cover()
        threading.Thread(target=guarded(self.events), name="events", daemon=True).start()
        threading.Thread(target=guarded(self._nics.run), name="nics", daemon=True).start()
        threading.Thread(target=guarded(self._refresh.run), name="refresh", daemon=True).start()
        threading.Thread(target=guarded(self.watchdog), name="watchdog", daemon=True).start()
        self.inventory()

    def open(self) -> None:
        """Read the inventory, waiting for a driver if there is none yet."""
        while True:
            inventory = self._session.open()
            self._tell(inventory)
            if not inventory.problem or self._stop.wait(schedule.LOOK_AGAIN_S):
                return

    def _tell(self, inventory: Inventory) -> None:
        if self._job.demo:
            self._nics.tell(replace(inventory, demo=", ".join(self._job.demo)))
            return
        shown = [g.pci_bus_id for g in inventory.gpus if known(g.pci_bus_id)]
        boot_s, proc = booted_s(), proc_root()
        told = replace(
            inventory,
            pci_gpus=attempt(lambda: drivers_gpus(shown, proc), "/proc/driver/nvidia"),
            container=attempt(in_container, "/proc"),
            booted_s=boot_s,
            driver_loaded_s=driver_loaded_s(proc, boot_s),
            wsl=in_wsl(proc),
        )
        self._nics.tell(without_links(told))

    def _cover(self) -> None:
        self._fast.cover(self._session.readers)
        self._slow.cover(self._session.readers)
        self._processes.cover(self._session.readers)

    def watchdog(self) -> None:
        """Keep one GPU from holding up the others and items from waiting, and tell what reading costs."""
        spent = (time.monotonic(), self._watch.calls, self._watch.driver_s, time.process_time())
        while not self._stop.wait(WATCH_S):
            self._send()  # what has waited long enough for others to go with
            now = time.monotonic()
            self._fast.split(now)
            self._slow.split(now)
            self._processes.split(now)
            if now - spent[0] >= schedule.COST_S:
                self._send(self._cost(spent, now))
                spent = (now, self._watch.calls, self._watch.driver_s, time.process_time())

    def fast(self, lane: Lane) -> None:
        """Read link counters at the refresh rate; gauges, states and errors at their own."""
        stretch = self._stretches[lane] = Stretch(self._pace)
        calls_s: dict[str, float] = {}
        gauges, states = Due(schedule.GAUGES_S), Due(schedule.STATES_S)
        errors: dict[str, Due] = {}
        lost: dict[str, Due] = {}
        next_s = time.monotonic()
        while not (self._stop.is_set() or lane.ended):
            start = time.monotonic()
            # A turn early rather than a whole interval late.
            slack = stretch.interval_s / 2
            with_gauges, with_states = gauges.at(start, slack), states.at(start, slack)
            counters_s = 0.0
            gathered: list[Reading] = []
            for reader in lane.turn(self._session.readers):
                uuid, was_lost, was_silent = reader.device.uuid, reader.lost, reader.silent
                if was_lost and not lost.setdefault(uuid, Due(schedule.LOST_S)).at(start):
                    continue
                begun = time.monotonic()
                readings = _read_counters(reader, stretch.interval_s, calls_s)
                counters_s += time.monotonic() - begun
                if reader.counters.moved_s >= begun:
                    self._refresh.note_traffic()
                if with_states:
                    readings += reader.read_states()
                if with_gauges or was_lost:
                    readings += reader.read_gauges()
                every = schedule.ERRORS_BY_CALL_S if reader.errors.needs_calls else schedule.ERRORS_S
                due = errors.setdefault(uuid, Due(every))
                due.every_s = every
                if due.at(start, slack):
                    readings += reader.read_errors()
                if reader.silent != was_silent:
                    self._news.set()
                gathered += readings
                if time.monotonic() - start > schedule.GATHER_S:
                    self._send(*lane.own(gathered))
                    gathered = []
            self._send(*lane.own(gathered))
            stretch.note(counters_s)
            now = time.monotonic()
            next_s += stretch.interval_s
            if next_s <= now:
                # Missed turns are skipped, not made up for.
                next_s = now + stretch.interval_s
            self._stop.wait(next_s - now)

    def processes(self, lane: Lane) -> None:
        """List the processes on the GPUs, apart from all else: /proc can be slow on a loaded machine."""
        while not (self._stop.is_set() or lane.ended):
            start = time.monotonic()
            for reader in lane.turn(self._session.readers):
                if not reader.lost:
                    self._lists.read(reader)
            begun_cpu_s = time.thread_time()
            if lane is self._processes.largest:
                listed = self._lists.describe(self._session.readers)
                self._send(Reading(None, start, time.monotonic(), time.time(), listed))
            # Thousands of processes are read less often, so that they cost a few percent at most.
            spent_s = time.thread_time() - begun_cpu_s
            pause_s = max(schedule.PROCESSES_S, spent_s / schedule.PROCESSES_SHARE)
            self._stop.wait(min(pause_s, schedule.PROCESSES_MOST_S))

    def _cost(self, before: tuple[float, int, float, float], now: float) -> Reading:
        seconds = max(now - before[0], 1e-3)
        most = self._stretch_of(self._fast.largest)
        cost = Cost(
            calls_per_s=(self._watch.calls - before[1]) / seconds,
            driver_s_per_s=(self._watch.driver_s - before[2]) / seconds,
            interval_s=most.interval_s,
            sweep_s=most.sweep_s,
            cpu_s_per_s=(time.process_time() - before[3]) / seconds,
            other_intervals=self._other_intervals(most.interval_s),
        )
        return Reading(None, now, now, time.time(), cost)

    def _other_intervals(self, interval_s: float) -> tuple[GpuInterval, ...]:
        """Return the GPUs whose link counters are not read every `interval_s`."""
        intervals = [
            GpuInterval(r.device.index, self._stretch_of(self._fast.lane_of(r.device.uuid)).interval_s)
            for r in self._session.readers
        ]
        return tuple(i for i in intervals if i.interval_s != interval_s)

    def _stretch_of(self, lane: Lane | None) -> Stretch:
        stretch = self._stretches.get(lane) if lane else None
        return stretch or Stretch(self._pace)  # the lane's thread has not begun yet

    def slow(self, lane: Lane) -> None:
        """Read PCIe and C2C traffic and the fabric."""
        traffic, fabric = Due(schedule.TRAFFIC_S), Due(schedule.FABRIC_S)
        # GPM needs two samples for a first value: the second does not wait a whole turn.
        self._each(lane, GpuReader.read_traffic)
        self._each(lane, GpuReader.read_fabric)
        fabric.at(time.monotonic())
        self._stop.wait(schedule.FIRST_TRAFFIC_S)
        while not (self._stop.is_set() or lane.ended):
            now = time.monotonic()
            if traffic.at(now):
                self._each(lane, GpuReader.read_traffic)
            if fabric.at(now):
                self._each(lane, GpuReader.read_fabric)
            self._stop.wait(max(0.0, min(traffic.next_s, fabric.next_s) - time.monotonic()))

    def _each(self, lane: Lane, read: Callable[[GpuReader], list[Reading]]) -> None:
        for reader in lane.turn(self._session.readers):
            if not reader.lost and not self._stop.is_set():
                self._send(*read(reader))

    def inventory(self) -> None:
        """Read the inventory again now and then, and soon after something happened."""
        while not self._stop.is_set():
            unread = any(g.problem for g in self._session.inventory.gpus) if self._session.inventory else True
            self._news.wait(schedule.LOOK_AGAIN_S if unread else schedule.PAIRS_S)
            if self._news.is_set():
                # What happened goes on happening for a moment.
                self._stop.wait(schedule.SETTLE_S)
                self._news.clear()
            if self._stop.is_set():
                return
            answer = self._session.read_again()
            if isinstance(answer, Missing):
                if answer in GONE:
                    # Only a fresh process loads a fresh library.
                    os._exit(RELOAD)
                self._stop.wait(schedule.LOOK_AGAIN_S)
            elif answer:
                self._tell(answer)
                self._cover()

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
                self._news.set()
            elif time.monotonic() - begun < EVENT_WAIT_MS / 2000:
                self._stop.wait(EVENT_BACK_OFF_S)


def _read_counters(reader: GpuReader, interval_s: float, calls_s: dict[str, float]) -> list[Reading]:
    """Read a GPU's link counters; again if the call took far longer than usual, as one does that hung.

    Nobody knows when in that time the driver took the counts, so that the rate would be wrong: too high by
    what was moved while the call hung. `calls_s` holds how long the call before took, by UUID.
    """
    readings = reader.read_counters()
    uuid, took_s = reader.device.uuid, _call_s(readings)
    if took_s > max(HICCUP * interval_s, USUAL * calls_s.get(uuid, took_s)):
        readings = reader.read_counters()
        took_s = _call_s(readings)
    calls_s[uuid] = took_s
    return readings


def _call_s(readings: list[Reading]) -> float:
    return max((r.end_s - r.start_s for r in readings if isinstance(r.data, LinkCounters)), default=0.0)


def _table(job: Job) -> Table:
    if not job.demo:
        return ProcessTable()
    from nvltop.nvml.simulated.processes import SimulatedTable

    return SimulatedTable(time.time())
