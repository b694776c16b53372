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
    Inventory,
    Item,
    Listening,
    Missing,
    Reading,
    known,
)
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.driver import REASONS
from nvltop.nvml.events import EventListener
from nvltop.nvml.session import Session, new_session
from nvltop.sampler import schedule
from nvltop.sampler.cost import CostReader
from nvltop.sampler.nic_monitor import NicMonitor, NicReader
from nvltop.sampler.poll_threads import PollThread, PollThreads
from nvltop.sampler.process_lists import ProcessLists, new_describer
from nvltop.sampler.protocol import EXIT_RELOAD, WorkerConfig, exit_on_failure
from nvltop.sampler.refresh import RefreshProbe
from nvltop.sampler.schedule import AdaptiveInterval, Periodic, RequestedInterval
from nvltop.sampler.sweep_plan import SweepPlan
from nvltop.sampler.task import Guests, Task
from nvltop.sampler.task_threads import TaskThreads
from nvltop.sampler.watchdog import Watchdog
from nvltop.sampler.wsl import without_links

EVENT_WAIT_MS: Final = 5000
FAILED_AT_ONCE_S: Final = 0.5
"""Duration in seconds below which a wait without an event has failed."""
EVENT_BACK_OFF_S: Final = 5.0
"""Delay in seconds after a wait that has failed, as it does at once while a registered GPU is lost."""

NOTICE_S: Final = 1.0
"""Time in seconds within which a change of the interval is noticed."""
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
    tasks: TaskThreads,
) -> None:
    """Open the driver and read until `stop` is set; set `watchdog_runs` when it writes the heartbeats."""
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
    Sampler(config, session, watch, send, stop, requested, NicMonitor(nics, send), tasks).run(watchdog_runs)


class Sampler:
    """Reads one node: link counters on poll threads, and other kinds of values as tasks."""

    def __init__(
        self,
        config: WorkerConfig,
        session: Session,
        watch: CallTracker,
        send: Send,
        stop: threading.Event,
        requested: RequestedInterval,
        nics: NicMonitor,
        tasks: TaskThreads,
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
        self._slow = PollThreads("slow", self._run_task(self._slow_task))
        self._processes = PollThreads("processes", self._run_task(self._processes_task))
        self._tasks = tasks
        self._lists = ProcessLists(new_describer(is_demo=config.demo is not None))
        self._refresh = RefreshProbe(lambda: session.readers, send, stop)
        self._requested = requested
        self._demo_loaded_s = _demo_loaded_s() if config.demo else 0.0
        self._cost = CostReader(watch, self._fast, lambda: session.readers, requested)
        self.watchdog = Watchdog(watch.heartbeat, self._split, send, requested, stop)

    def run(self, watchdog_runs: threading.Event) -> None:
        """Open the driver, start the threads, and keep the inventory up to date."""
        self.open()
        freeze_startup_objects()
        self._tasks.guests = self._guests
        self._cover()
        threading.Thread(target=exit_on_failure(self.forward_events), name="events", daemon=True).start()
        self._tasks.start(self._nics.task(), self._cost.task())
        threading.Thread(target=exit_on_failure(self._refresh.run), name="refresh", daemon=True).start()
        threading.Thread(target=exit_on_failure(self.watchdog.run), name="watchdog", daemon=True).start()
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

    def _split(self, now: float) -> None:
        """Give other threads to what waits for a blocked one."""
        for poll_threads in (self._fast, self._slow, self._processes):
            self._tasks.start(*poll_threads.split(now))

    def _guests(self) -> Guests | None:
        """Return the guests of the thread that reads the link counters of most GPUs."""
        return self._fast.largest.guests if self._fast.largest else None

    def read_fast(self, thread: PollThread) -> None:
        """Read the link counters of a thread's GPUs at the requested interval, and then run its guests."""
        interval = self._cost.intervals[thread] = AdaptiveInterval(self._requested)
        plan = SweepPlan(self._config.errors_s)
        next_s = time.monotonic()
        while not (self._stop.is_set() or thread.ended):
            start = time.monotonic()
            # A change of the interval has ended the wait early.
            next_s = min(next_s, start)
            # Read half an interval early rather than a full interval late.
            slack = interval.interval_s / 2
            with_gauges, with_states = plan.gauges.due(start, slack), plan.states.due(start, slack)
            counters_s = 0.0
            gathered: list[Reading] = []
            for reader in thread.readers_in_turn(self._session.readers):
                was_lost, was_silent = reader.lost, reader.unresponsive
                if was_lost and not plan.tries_again(reader, start):
                    continue
                begun = time.monotonic()
                readings = plan.read_counters(reader, interval.interval_s)
                counters_s += time.monotonic() - begun
                if reader.counters.changed_s >= begun:
                    self._refresh.note_traffic()
                if with_states:
                    readings += reader.read_states()
                if with_gauges or was_lost:
                    readings += reader.read_gauges()
                if plan.errors_due(reader, start, slack):
                    readings += reader.read_errors()
                if reader.unresponsive != was_silent:
                    self._inventory_due.set()
                gathered = self._send_if_late(thread, gathered + readings, start)
            interval.add(counters_s)
            if interval.sweep_s > schedule.MAX_GUESTS_SWEEP_S:
                self._tasks.start(*thread.guests.close())
            slack = min(slack, schedule.MAX_SLACK_S)
            others = self._tasks.run_guests(thread, start, slack)
            # Together, so that a screen wakes up once for both.
            self._send(*thread.of_own_gpus(gathered), *others)
            now = time.monotonic()
            self.watchdog.visit(now)
            next_s += interval.interval_s
            if next_s <= now:
                # Missed readings are skipped, not made up for.
                next_s = now + interval.interval_s
            self._wait(thread, next_s, slack)
        if thread.ended:
            self._tasks.start(*thread.guests.close())

    def _wait(self, thread: PollThread, until_s: float, slack: float) -> None:
        """Wait until a thread is due to read; meanwhile run guests that cannot wait for that.

        If the requested interval changes, return soon: the old one may have been much longer.
        """
        requested_s = self._requested.interval_s
        thread.guests.thread_next_s = until_s
        while (wake_s := thread.guests.next_s + slack) < until_s and not thread.ended:
            if self._stop.wait(max(0.0, wake_s - time.monotonic())):
                return
            self._send(*self._tasks.run_guests(thread, wake_s, slack))
            if self._requested.interval_s != requested_s:
                return
        while until_s - time.monotonic() > NOTICE_S:
            if self._stop.wait(NOTICE_S) or self._requested.interval_s != requested_s:
                return
        self._stop.wait(max(0.0, until_s - time.monotonic()))

    def _send_if_late(self, thread: PollThread, gathered: list[Reading], start: float) -> list[Reading]:
        """Send what a thread has gathered since `start` if that took long; return what is left to send."""
        if time.monotonic() - start <= schedule.GATHER_S:
            return gathered
        self._send(*thread.of_own_gpus(gathered))
        return []

    def _run_task(self, task: Callable[[PollThread], Task]) -> Callable[[PollThread], None]:
        """Return the work of a poll thread that does one task."""
        return exit_on_failure(lambda thread: self._tasks.run_alone(task(thread)))

    def _processes_task(self, thread: PollThread) -> Task:
        return self._lists.task(thread, self._session, lambda: thread is self._processes.largest)

    def _slow_task(self, thread: PollThread) -> Task:
        """Return the task that reads PCIe and C2C traffic and the fabric."""
        fabric = Periodic(schedule.FABRIC_S)

        def read(start: float) -> list[Reading]:
            gathered: list[Reading] = []
            with_fabric = fabric.due(start, schedule.TRAFFIC_S / 2)
            for reader in thread.readers_in_turn(self._session.readers):
                if not reader.lost and not self._stop.is_set():
                    readings = reader.read_host_traffic() + (reader.read_fabric() if with_fabric else [])
                    gathered = self._send_if_late(thread, gathered + readings, start)
            return thread.of_own_gpus(gathered)

        # GPM needs two samples for its first value: read the second one early.
        first_s = (0.0, schedule.FIRST_TRAFFIC_S)
        return Task("slow", read, schedule.TRAFFIC_S, first_s, lambda: thread.ended)

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


def _demo_loaded_s() -> float:
    """Return the Unix time at which the driver of a simulated node was loaded; the simulation starts now."""
    from nvltop.nvml.simulated.machine import INITIAL_UPTIME_S

    return time.time() - INITIAL_UPTIME_S
