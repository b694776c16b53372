"""Measure the CPU time of each stage of both processes: the real code, on a simulated clock.

Waiting, threads and the system are left out, and the processor's caches stay warm, so the sum is less than
what `top` shows. Compare the stages with each other, and with those of another run on the same machine.
The driver is simulated in Python. What it takes is measured and left out, but measuring it adds about a
microsecond to each driver call.
"""

from __future__ import annotations

import functools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import counted
from counted import Counts, draw, pack, read
from simulated_time import Clock, on_clock

from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.analysis.health.engine import RuleEngine
from nvltop.analysis.incidents.tracker import IncidentTracker
from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.gc_tuning import freeze_startup_objects
from nvltop.host.host_stats import HostStats
from nvltop.host.nics import NicTable
from nvltop.host.processes import ProcessTable
from nvltop.nvml import simulated
from nvltop.nvml.session import GpuReader, Session
from nvltop.nvml.simulated.nics import SimulatedNics
from nvltop.nvml.simulated.processes import SimulatedProcessTable
from nvltop.sampler import schedule
from nvltop.sampler.pipe import Sender
from nvltop.sampler.process_lists import ProcessLists
from nvltop.sampler.refresh import RefreshProbe
from nvltop.sampler.sampler import Sampler
from nvltop.sampler.task_threads import TaskThreads
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.snapshots import SnapshotTaker
from nvltop.tui.shell.tabbed_screen import TabbedScreen
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.wire.pipe_codec import Receiver

INTERVALS_S: Final = (0.25, 1.0)
SIZE: Final = (200, 60)
SECONDS: Final = 30.0
"""Time that is measured in the main process: what is done every 15 s is in it twice."""
Stages = tuple[tuple[str, type, tuple[str, ...]], ...]
"""Each stage and its methods. A method that is called from another stage counts for its own stage only."""
MAIN: Final[Stages] = (
    ("decode the pipe", Receiver, ("feed",)),
    ("fold items into rates, states and errors", Monitor, ("update",)),
    ("make the frame", Monitor, ("frame", "_compute_tick_state")),
    ("job analysis, once a second", ActivityTracker, ("evaluate",)),
    ("rules, once a second", RuleEngine, ("evaluate",)),
    ("rules, once a second", IncidentTracker, ("observe", "culprits")),
    ("history", RateHistory, ("add",)),
    ("keep items for a snapshot", SnapshotTaker, ("write",)),
    ("make the rows", TabbedScreen, ("draw_frame",)),
    ("compare rows and write what changed", RowsWidget, ("show",)),
    ("rest", Nvltop, ("step",)),
)
SIMULATION: Final = "simulated driver, /proc and NICs"
"""Stage that no real node has; it is not part of the sum."""
READING: Final[Stages] = (
    ("link counters, compute activity", GpuReader, ("read_counters",)),
    ("gauges", GpuReader, ("read_gauges",)),
    ("link states", GpuReader, ("read_states",)),
    ("error counters", GpuReader, ("read_errors",)),
    ("PCIe and C2C traffic, fabric", GpuReader, ("read_host_traffic", "read_fabric")),
    ("process lists of the driver", ProcessLists, ("read", "describe")),
    ("inventory, once a minute", Session, ("reread_inventory",)),
    ("encode and send", Sender, ("send",)),
    ("rest", Sampler, ("read_fast", "watch_inventory")),
    ("rest", TaskThreads, ("run_alone",)),
    ("rest", RefreshProbe, ("run",)),
    (SIMULATION, SimulatedNics, ("changed", "find", "gpu_locations", "read")),
    (SIMULATION, SimulatedProcessTable, ("describe",)),
)
FILE_READS: Final = 200
"""How often the files in /proc and /sys are read to measure it."""


class Stopwatch:
    """Adds up the CPU time of stages that call each other, between `begin` and `end`."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._measures = False
        self._since_s = 0.0

    def begin(self) -> None:
        self._since_s = time.process_time()
        self._measures = True

    def end(self) -> None:
        self._add()
        self._measures = False

    def _add(self) -> None:
        if self._measures:
            now_s = time.process_time()
            if self._running:
                self.spent_s[self._running[-1]] += now_s - self._since_s
            self._since_s = now_s

    def timed(self, stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return `method` with its time counted for `stage`, not for the stage around it."""

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._add()
            self._running.append(stage)
            try:
                return method(*args, **kwargs)
            finally:
                self._add()
                self._running.pop()

        return call


@contextmanager
def stages_timed(watch: Stopwatch, stages: Stages) -> Iterator[None]:
    """Measure the methods of all stages with `watch`."""
    before = [(owner, name, vars(owner)[name]) for _, owner, names in stages for name in names]
    for stage, owner, names in stages:
        for name in names:
            setattr(owner, name, watch.timed(stage, vars(owner)[name]))
    try:
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)


@contextmanager
def library_timed(watch: Stopwatch) -> Iterator[None]:
    """Measure the functions of the simulated library as the stage that no real node has."""
    library: Any = simulated.Library
    wrap = library._wrap
    library._wrap = lambda *args: watch.timed(SIMULATION, wrap(*args))
    try:
        yield
    finally:
        library._wrap = wrap


Measured = dict[str, float]
"""CPU time by stage, ms in a second of the node's time."""


def measure_reading(
    node: str, scenario: str, clock: Clock, interval_s: float
) -> tuple[Measured, list[tuple[float, bytes]]]:
    """Return what the stages of the reading process take, and what it sends when."""
    counts, watch = Counts(), Stopwatch()
    freeze_startup_objects()  # as `Sampler.run` does
    try:
        with stages_timed(watch, READING), library_timed(watch):
            sent = read(node, scenario, clock, counts, interval_s, watch)
            bursts = pack(sent, clock, counts, interval_s, watch)
    finally:
        simulated.uninstall()
    return {stage: 1000 * watch.spent_s[stage] / counted.READ_S for stage, *_ in READING}, bursts


def measure_main(bursts: list[tuple[float, bytes]], clock: Clock, interval_s: float) -> Measured:
    """Return what the stages of the main process take on the tab Main."""
    watch = Stopwatch()

    def begin() -> None:
        freeze_startup_objects()  # as the program does: a collection would count for any stage
        watch.begin()

    with stages_timed(watch, MAIN):
        draw("Main", bursts, clock, Counts(), interval_s, SIZE, SECONDS, begin, profiled=False)
    return {stage: 1000 * watch.spent_s[stage] / SECONDS for stage, *_ in MAIN}


def measure_stages(node: str, scenario: str, interval_s: float) -> tuple[Measured, Measured]:
    """Return what the stages of the reading process and of the main process take."""
    clock = Clock()
    with on_clock(clock):
        reading, bursts = measure_reading(node, scenario, clock, interval_s)
        return reading, measure_main(bursts, clock, interval_s)


def measure_files() -> Measured:
    """Return the CPU time of what reads /proc and /sys, on the machine that measures, ms in a second."""
    nics, host, processes = NicTable(), HostStats(), ProcessTable()
    nics.find()
    own = {os.getpid(): ()}
    # As the monitor of the NICs does, which looks for new ones and then reads the ports.
    interfaces = len(nics.read(0.0).ports)
    reads: tuple[tuple[str, float, Callable[[float], Any]], ...] = (
        (f"ports of {interfaces} NICs here", schedule.NICS_S, lambda now: (nics.changed(), nics.read(now))),
        ("CPU and memory here", schedule.HOST_S, lambda now: host.read()),
        ("one process here", schedule.PROCESSES_S, lambda now: processes.describe(own)),
    )
    spent = {}
    for name, every_s, read_files in reads:
        begun_s = time.process_time()
        for i in range(FILE_READS):
            read_files(i * every_s)
        spent[name] = 1000 * (time.process_time() - begun_s) / FILE_READS / every_s
    return spent


def table(title: str, columns: list[Measured]) -> list[str]:
    """Return the lines of a table of stages; the simulation's share is left out of the sum."""
    rows = {stage: [column[stage] for column in columns] for stage in columns[0]}
    simulation = rows.pop(SIMULATION, None)
    rows["together"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    if simulation:
        rows[f"not counted: {SIMULATION}"] = simulation
    head = f"{title + ', ms of CPU a second':48}" + "".join(f"{f'{1 / s:g} Hz':>8}" for s in INTERVALS_S)
    return [head, *(f"{stage:48}" + "".join(f"{ms:8.2f}" for ms in row) for stage, row in rows.items())]


def stages(node: str, scenario: str) -> str:
    """Return a table for each process, at the intervals that docs/cost.md names."""
    files, both = measure_files(), [measure_stages(node, scenario, interval_s) for interval_s in INTERVALS_S]
    reading = table("reading process", [{**files, **columns[0]} for columns in both])
    return "\n".join([*reading, "", *table("main process", [columns[1] for columns in both])])
