"""Measure the CPU time of each stage of the main process: the real code, on a simulated clock.

Waiting, threads and the system are left out, and the processor's caches stay warm, so the sum is less than
what `top` shows. Compare the stages with each other, and with those of another run on the same machine.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from counted import Counts, draw, pack, read
from simulated_time import Clock, on_clock

from nvltop.analysis.activity.tracker import ActivityTracker
from nvltop.analysis.health.engine import RuleEngine
from nvltop.analysis.incidents.tracker import IncidentTracker
from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.gc_tuning import freeze_startup_objects
from nvltop.nvml import simulated
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.snapshots import SnapshotTaker
from nvltop.tui.shell.tabbed_screen import TabbedScreen
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.wire.bursts import Receiver

INTERVALS_S: Final = (0.25, 1.0)
SIZE: Final = (200, 60)
SECONDS: Final = 30.0
"""Time that is measured: what is done every 15 s is in it twice."""
STAGES: Final[tuple[tuple[str, type, tuple[str, ...]], ...]] = (
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
"""Each stage and its methods. A method that is called from another stage counts for its own stage only."""


class Stopwatch:
    """Adds up the CPU time of stages that call each other."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since_s = 0.0

    def _add(self) -> None:
        now_s = time.process_time()
        if self._running:
            self.spent_s[self._running[-1]] += now_s - self._since_s
        self._since_s = now_s

    @contextmanager
    def measuring(self, stage: str) -> Iterator[None]:
        """Count the time in the block for `stage`, not for the stage around it."""
        self._add()
        self._running.append(stage)
        try:
            yield
        finally:
            self._add()
            self._running.pop()

    def timed(self, stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return `method` with its time counted for `stage`."""

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.measuring(stage):
                return method(*args, **kwargs)

        return call


@contextmanager
def stages_timed(watch: Stopwatch) -> Iterator[None]:
    """Measure the methods of all stages with `watch`."""
    before = [(owner, name, vars(owner)[name]) for _, owner, names in STAGES for name in names]
    for stage, owner, names in STAGES:
        for name in names:
            setattr(owner, name, watch.timed(stage, vars(owner)[name]))
    try:
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)


def measure_stages(node: str, scenario: str, interval_s: float) -> dict[str, float]:
    """Return the CPU time of each stage on the tab Main, ms in a second of the node's time."""
    clock, counts, watch = Clock(), Counts(), Stopwatch()

    def begin() -> None:
        freeze_startup_objects()  # as the program does: a collection would count for any stage
        watch.spent_s.clear()

    with on_clock(clock):
        try:
            bursts = pack(read(node, scenario, clock, counts, interval_s), clock, counts, interval_s)
        finally:
            simulated.uninstall()
        with stages_timed(watch):
            draw("Main", bursts, clock, counts, interval_s, SIZE, SECONDS, begin, profiled=False)
    return {stage: 1000 * watch.spent_s[stage] / SECONDS for stage, _, _ in STAGES}


def stages(node: str, scenario: str) -> str:
    """Return a table of the stages, at the intervals that docs/cost.md names."""
    columns = [measure_stages(node, scenario, interval_s) for interval_s in INTERVALS_S]
    lines = ["ms of CPU a second, " + ", ".join(f"{1 / s:g} Hz" for s in INTERVALS_S)]
    rows = {stage: [column[stage] for column in columns] for stage in columns[0]}
    rows["together"] = [sum(column.values()) for column in columns]
    lines += (f"{stage:42}" + "".join(f"{ms:8.2f}" for ms in row) for stage, row in rows.items())
    return "\n".join(lines)
