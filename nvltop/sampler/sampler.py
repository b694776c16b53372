"""The threads of the worker: which values each thread reads, and at which interval."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from nvltop.gc_tuning import collect, freeze_startup_objects
from nvltop.host.kernel_log import KernelLogReader
from nvltop.host.machine import booted_s, driver_loaded_s, in_container, in_wsl
from nvltop.host.nics import NicTable
from nvltop.host.pci import kernel_driver_gpus
from nvltop.host.safe_read import read_safely
from nvltop.host.sysfs import proc_root
from nvltop.model import (
    Cost,
    GpuInterval,
    Inventory,
    Item,
    LinkCounters,
    Listening,
    Missing,
    Reading,
    known,
)
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.driver import REASONS
from nvltop.nvml.events import EventListener
from nvltop.nvml.session import GpuReader, Session, new_session
from nvltop.sampler import schedule
from nvltop.sampler.nic_monitor import NicMonitor, NicReader
from nvltop.sampler.poll_threads import PollThread, PollThreads
from nvltop.sampler.process_lists import ProcessLists, new_describer
from nvltop.sampler.protocol import EXIT_RELOAD, HEARTBEAT_S, WorkerConfig, exit_on_failure
from nvltop.sampler.refresh import RefreshProbe
from nvltop.sampler.schedule import AdaptiveInterval, Periodic, RequestedInterval
from nvltop.sampler.wsl import without_links

EVENT_WAIT_MS: Final = 5000
FAILED_AT_ONCE_S: Final = 0.5
"""Duration in seconds below which a wait without an event has failed."""
EVENT_BACK_OFF_S: Final = 5.0
"""Delay in seconds after a wait that has failed, as it does at once while a registered GPU is lost."""

MIN_WATCHDOG_S: Final = 0.5
"""Shortest interval of the watchdog's heartbeats and of its checks for GPUs that delay others, seconds.

Otherwise it is that of the link counters, but at most `HEARTBEAT_S`.
"""
SLOW_CALL_SHARE: Final = 0.5
"""Share of the interval above which a call is too long for its counters to belong to one point in time."""
SLOW_CALL_FACTOR: Final = 4.0
"""Ratio to the duration of the previous call above which a call is unusually slow."""
RELOAD_REASONS: Final = frozenset({REASONS[1], REASONS[9], REASONS[18]})
"""Errors after the driver was reloaded: not initialized, driver not loaded, library and driver differ."""

Send = Callable[..., None]


def run(
    config: WorkerConfig,
    watch: CallTracker,
    send: Send,
    stop: threading.Event,
    requested: RequestedInterval,
    watchdog_runs: threading.Event,
) -> None:
    """Open the driver and read until `stop` is set; set `watchdog_runs` when it writes the heartbeats."""
    threading.current_thread().name = "inventory"
    nics: NicReader = NicTable()
    logs: Callable[[], None] = KernelLogReader(send, stop).run
    if config.demo:
        from nvltop.nvml import simulated
        from nvltop.nvml.simulated.kernel_log import SimulatedKernelLog
        from nvltop.nvml.simulated.nics import SimulatedNics

        library = simulated.install(*config.demo)
        nics = SimulatedNics(library)
        logs = SimulatedKernelLog(library, send, stop).run
    session = new_session(watch, config.leave_out)
    threading.Thread(target=exit_on_failure(logs), name="logs", daemon=True).start()
    Sampler(config, session, watch, send, stop, requested, NicMonitor(nics, send, stop)).run(watchdog_runs)


class Sampler:
    """Reads one node; each kind of value has threads of its own."""

    def __init__(
        self,
        config: WorkerConfig,
        session: Session,
        watch: CallTracker,
        send: Send,
        stop: threading.Event,
        requested: RequestedInterval,
        nics: NicMonitor,
    ) -> None:
        self._config = config
        self._session = session
        self._watch = watch
        self._send = send
        self._stop = stop
        self._nics = nics
        self._inventory_due = threading.Event()
        """Set when something happened that may have changed the inventory."""
        self._fast = PollThreads("links", exit_on_failure(self.read_fast))
        self._slow = PollThreads("slow", exit_on_failure(self.read_slow))
        self._processes = PollThreads("processes", exit_on_failure(self.read_processes))
        self._lists = ProcessLists(new_describer(is_demo=config.demo is not None))
        self._refresh = RefreshProbe(lambda: session.readers, send, stop)
        self._requested = requested
        self._demo_loaded_s = _demo_loaded_s() if config.demo else 0.0
        self._intervals: dict[PollThread, AdaptiveInterval] = {}
        """Effective interval of each thread that reads link counters."""

    def run(self, watchdog_runs: threading.Event) -> None:
        """Open the driver, start the threads, and keep the inventory up to date."""
        self.open()
        freeze_startup_objects()
        self._cover()
        threading.Thread(target=exit_on_failure(self.forward_events), name="events", daemon=True).start()
        threading.Thread(target=exit_on_failure(self._nics.run), name="nics", daemon=True).start()
        threading.Thread(target=exit_on_failure(self._refresh.run), name="refresh", daemon=True).start()
        threading.Thread(target=exit_on_failure(self.watchdog), name="watchdog", daemon=True).start()
        watchdog_runs.set()
        self.watch_inventory()

    def open(self) -> None:
        """Read the inventory; wait for a driver if there is none yet."""
        while True:
            inventory = self._session.open()
            self._send_inventory(inventory)
            if not inventory.problem or self._stop.wait(schedule.RESCAN_S):
                return

    def _send_inventory(self, inventory: Inventory) -> None:
        if self._config.demo:
            demo = ", ".join(self._config.demo)
            self._nics.send(replace(inventory, demo=demo, driver_loaded_s=self._demo_loaded_s))
            return
        shown = [g.pci_bus_id for g in inventory.gpus if known(g.pci_bus_id)]
        boot_s, proc = booted_s(), proc_root()
        completed = replace(
            inventory,
            pci_gpus=read_safely(lambda: kernel_driver_gpus(shown, proc), "/proc/driver/nvidia"),
            container=read_safely(in_container, "/proc"),
            booted_s=boot_s,
            driver_loaded_s=driver_loaded_s(proc, boot_s),
            wsl=in_wsl(proc),
        )
        self._nics.send(without_links(completed))

    def _cover(self) -> None:
        self._fast.cover(self._session.readers)
        self._slow.cover(self._session.readers)
        self._processes.cover(self._session.readers)

    def watchdog(self) -> None:
        """Write heartbeats, separate GPUs that delay others, flush items held back, and report the cost.

        This thread calls no driver and reads no files, so that nothing that hangs stops the heartbeats.
        """
        spent = (time.monotonic(), self._watch.calls, self._watch.driver_s, time.process_time())
        self._watch.heartbeat()
        while not self._stop.wait(max(MIN_WATCHDOG_S, min(self._requested.interval_s, HEARTBEAT_S))):
            self._watch.heartbeat()
            self._send()  # flush items that were held back for long enough
            now = time.monotonic()
            self._fast.split(now)
            self._slow.split(now)
            self._processes.split(now)
            if now - spent[0] >= schedule.COST_S:
                self._send(self._cost(spent, now))
                spent = (now, self._watch.calls, self._watch.driver_s, time.process_time())

    def read_fast(self, thread: PollThread) -> None:
        """Read link counters at the requested interval; gauges, states and errors at their own intervals."""
        interval = self._intervals[thread] = AdaptiveInterval(self._requested)
        calls_s: dict[str, float] = {}
        gauges, states = Periodic(schedule.GAUGES_S), Periodic(schedule.STATES_S)
        errors: dict[str, Periodic] = {}
        lost: dict[str, Periodic] = {}
        next_s = time.monotonic()
        while not (self._stop.is_set() or thread.ended):
            start = time.monotonic()
            # Read half an interval early rather than a full interval late.
            slack = interval.interval_s / 2
            with_gauges, with_states = gauges.due(start, slack), states.due(start, slack)
            counters_s = 0.0
            gathered: list[Reading] = []
            for reader in thread.readers_in_turn(self._session.readers):
                uuid, was_lost, was_silent = reader.device.uuid, reader.lost, reader.unresponsive
                if was_lost and not lost.setdefault(uuid, Periodic(schedule.RETRY_LOST_S)).due(start):
                    continue
                begun = time.monotonic()
                readings = _read_counters(reader, interval.interval_s, calls_s)
                counters_s += time.monotonic() - begun
                if reader.counters.changed_s >= begun:
                    self._refresh.note_traffic()
                if with_states:
                    readings += reader.read_states()
                if with_gauges or was_lost:
                    readings += reader.read_gauges()
                every = schedule.ERRORS_BY_CALL_S if reader.errors.needs_calls else self._config.errors_s
                periodic = errors.setdefault(uuid, Periodic(every))
                periodic.every_s = every
                if periodic.due(start, slack):
                    readings += reader.read_errors()
                if reader.unresponsive != was_silent:
                    self._inventory_due.set()
                gathered += readings
                if time.monotonic() - start > schedule.GATHER_S:
                    self._send(*thread.of_own_gpus(gathered))
                    gathered = []
            self._send(*thread.of_own_gpus(gathered))
            interval.add(counters_s)
            now = time.monotonic()
            next_s += interval.interval_s
            if next_s <= now:
                # Missed readings are skipped, not made up for.
                next_s = now + interval.interval_s
            self._stop.wait(next_s - now)

    def read_processes(self, thread: PollThread) -> None:
        """List the processes on the GPUs on a thread of its own: /proc can be slow on a loaded machine."""
        while not (self._stop.is_set() or thread.ended):
            start = time.monotonic()
            for reader in thread.readers_in_turn(self._session.readers):
                if not reader.lost:
                    self._lists.read(reader)
            begun_cpu_s = time.thread_time()
            if thread is self._processes.largest:
                listed = self._lists.describe(self._session.readers)
                self._send(Reading(None, start, time.monotonic(), time.time(), listed))
            # Thousands of processes are read less often, to limit the cost to a few percent.
            spent_s = time.thread_time() - begun_cpu_s
            pause_s = max(schedule.PROCESSES_S, spent_s / schedule.PROCESSES_SHARE)
            self._stop.wait(min(pause_s, schedule.MAX_PROCESSES_S))

    def _cost(self, before: tuple[float, int, float, float], now: float) -> Reading:
        seconds = max(now - before[0], 1e-3)
        main = self._interval_of(self._fast.largest)
        cost = Cost(
            calls_per_s=(self._watch.calls - before[1]) / seconds,
            driver_s_per_s=(self._watch.driver_s - before[2]) / seconds,
            interval_s=main.interval_s,
            sweep_s=main.sweep_s,
            cpu_s_per_s=(time.process_time() - before[3]) / seconds,
            other_intervals=self._other_intervals(main.interval_s),
        )
        return Reading(None, now, now, time.time(), cost)

    def _other_intervals(self, interval_s: float) -> tuple[GpuInterval, ...]:
        """Return the GPUs whose link counters are read at another interval than `interval_s`."""
        if len(self._intervals) == 1:
            return ()
        intervals = [
            GpuInterval(r.device.index, self._interval_of(self._fast.thread_of(r.device.uuid)).interval_s)
            for r in self._session.readers
        ]
        return tuple(i for i in intervals if i.interval_s != interval_s)

    def _interval_of(self, thread: PollThread | None) -> AdaptiveInterval:
        interval = self._intervals.get(thread) if thread else None
        return interval or AdaptiveInterval(self._requested)  # the thread has not started yet

    def read_slow(self, thread: PollThread) -> None:
        """Read PCIe and C2C traffic and the fabric."""
        traffic, fabric = Periodic(schedule.TRAFFIC_S), Periodic(schedule.FABRIC_S)
        # GPM needs two samples for its first value: read the second one early.
        self._each(thread, GpuReader.read_host_traffic)
        self._each(thread, GpuReader.read_fabric)
        fabric.due(time.monotonic())
        self._stop.wait(schedule.FIRST_TRAFFIC_S)
        while not (self._stop.is_set() or thread.ended):
            now = time.monotonic()
            if traffic.due(now):
                self._each(thread, GpuReader.read_host_traffic)
            if fabric.due(now):
                self._each(thread, GpuReader.read_fabric)
            self._stop.wait(max(0.0, min(traffic.next_s, fabric.next_s) - time.monotonic()))

    def _each(self, thread: PollThread, read: Callable[[GpuReader], list[Reading]]) -> None:
        for reader in thread.readers_in_turn(self._session.readers):
            if not reader.lost and not self._stop.is_set():
                self._send(*read(reader))

    def watch_inventory(self) -> None:
        """Read the inventory again at intervals, and soon after an event."""
        while not self._stop.is_set():
            unread = any(g.problem for g in self._session.inventory.gpus) if self._session.inventory else True
            self._inventory_due.wait(schedule.RESCAN_S if unread else schedule.PAIRS_S)
            if self._inventory_due.is_set():
                # Wait until related changes have happened as well.
                self._stop.wait(schedule.SETTLE_S)
                self._inventory_due.clear()
            if self._stop.is_set():
                return
            collect()
            answer = self._session.reread_inventory()
            if isinstance(answer, Missing):
                if answer in RELOAD_REASONS:
                    # Only a new process loads the new library.
                    os._exit(EXIT_RELOAD)
                self._stop.wait(schedule.RESCAN_S)
            elif answer:
                self._send_inventory(answer)
                self._cover()

    def forward_events(self) -> None:
        """Send the events that the driver reports."""
        events = EventListener(self._session.driver, self._session.readers)
        # From here on, no event means that nothing happened; earlier events are not reported.
        self._send(Listening(time.monotonic(), time.time(), events.registered))
        if not events.registered:
            return
        while not self._stop.is_set():
            begun = time.monotonic()
            event: Any = events.wait(EVENT_WAIT_MS)
            if not isinstance(event, Missing):
                item: Item = event
                self._send(item)
                self._inventory_due.set()
            elif time.monotonic() - begun < FAILED_AT_ONCE_S:
                self._stop.wait(EVENT_BACK_OFF_S)


def _read_counters(reader: GpuReader, interval_s: float, calls_s: dict[str, float]) -> list[Reading]:
    """Read a GPU's link counters; read them again if the call took much longer than usual.

    The driver may have read the counters at any time during a call that hung, so the rate would include
    traffic during the hang. `calls_s` maps the UUID to the duration of the previous call.
    """
    readings = reader.read_counters()
    uuid, took_s = reader.device.uuid, _call_s(readings)
    if took_s > max(SLOW_CALL_SHARE * interval_s, SLOW_CALL_FACTOR * calls_s.get(uuid, took_s)):
        readings = reader.read_counters()
        took_s = _call_s(readings)
    calls_s[uuid] = took_s
    return readings


def _call_s(readings: list[Reading]) -> float:
    return max((r.end_s - r.start_s for r in readings if isinstance(r.data, LinkCounters)), default=0.0)


def _demo_loaded_s() -> float:
    """Return the Unix time at which the driver of a simulated node was loaded; the simulation starts now."""
    from nvltop.nvml.simulated.machine import INITIAL_UPTIME_S

    return time.time() - INITIAL_UPTIME_S
