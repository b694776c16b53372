"""The application on a simulated node, without a terminal and with a clock that the test moves."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import textual.app
import textual.pilot
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.model import Cost, Frame, Host, Item, Listening, Reading, Tick
from nvltop.nvml.processes import by_pid
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated.processes import SimulatedProcessTable
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell import frame_scheduler
from nvltop.tui.shell.app import Nvltop
from tests.conftest import Bench, Clock
from tests.realterminal import Terminal

EVERY_SECOND = (
    GpuReader.read_states,
    GpuReader.read_gauges,
    GpuReader.read_errors,
    GpuReader.read_host_traffic,
    GpuReader.read_fabric,
)
HOST = Host(12.5, 412 << 30, 2048 << 30)


STEP_S = 0.25
"""Time between two readings of the counters, seconds; all else is read once a second, as a sampler does."""
MAX_SHARED_STEPS = 120
"""For how many steps the items of a node may be shared with other tests."""


@dataclass
class Shared:
    """Items of one node that tests share."""

    steps: list[list[Item]] = field(default_factory=list)
    ends: dict[int, list[Item]] = field(default_factory=dict)
    """What is read at the end of a run, by the number of steps before it."""


_shared: defaultdict[tuple[str, str, float], Shared] = defaultdict(Shared)
"""Items by node, scenario and the time at which the node was switched on, seconds."""


class Script:
    """A source whose items are the readings of a simulated node.

    What a node reads depends on nothing but its clock, so tests share the items until one of them uses
    `bench` or `table`, or moves the clock.
    """

    def __init__(self, start: Callable[..., Bench], clock: Clock, node: str, scenario: str, seconds: float):
        self.items: list[Item] = []
        self.closed = False
        self.note = ""
        self.clock = clock
        self._start, self._node, self._scenario = start, node, scenario
        self._begin_s = clock.now
        self._bench: Bench | None = None
        self._table = SimulatedProcessTable(1_790_000_000.0)
        self._steps = self._made = 0
        """Steps so far, and how many of them `_bench` has made."""
        self._is_shared = True
        self.advance(seconds)

    @property
    def bench(self) -> Bench:
        """The node, which a test may change."""
        node = self._caught_up()
        self._is_shared = False
        return node

    @property
    def table(self) -> SimulatedProcessTable:
        """The processes of the node, which a test may change."""
        self._caught_up()
        self._is_shared = False
        return self._table

    def advance(self, seconds: float) -> None:
        """Let the node run on."""
        if self._is_shared and self.clock.now != self._begin_s + self._steps * STEP_S:
            now_s = self.clock.now
            self._caught_up()
            self.clock.now, self._is_shared = now_s, False
        for _ in range(max(1, round(seconds / STEP_S))):
            self.items += self._step()
        self.items += self._end()

    def _step(self) -> list[Item]:
        """Return what is read in the next step."""
        shared = _shared[self._node, self._scenario, self._begin_s].steps if self._is_shared else []
        if self._steps < len(shared):
            self.clock.now += STEP_S
            items = shared[self._steps]
        else:
            items = self._read(self._caught_up())
            if self._is_shared and self._steps == len(shared) < MAX_SHARED_STEPS:
                shared.append(items)
        self._steps += 1
        return items

    def _caught_up(self) -> Bench:
        """Return the node after all steps so far."""
        if self._bench is None:
            now_s, self.clock.now = self.clock.now, self._begin_s
            self._bench = self._start(self._node, self._scenario)
            self.clock.now = now_s
        while self._is_shared and self._made < self._steps:
            self.clock.now = self._begin_s + self._made * STEP_S
            self._read(self._bench)
        return self._bench

    def _read(self, node: Bench) -> list[Item]:
        """Let the node make a step, and return what it read."""
        first = not self._made
        items: list[Item] = [node.inventory, Listening(self.clock.now, 1_790_000_000.0, 8)] if first else []
        self.clock.now += STEP_S
        self._made += 1
        second = self.clock.now % 1 == 0
        for reader in node.readers:
            items += reader.read_counters()
            for read in EVERY_SECOND if second else ():
                items += read(reader)
        if second:
            items.append(node.read_nics())
        return items

    def _end(self) -> list[Item]:
        """Return what is read at the end of a run."""
        ends = _shared[self._node, self._scenario, self._begin_s].ends if self._is_shared else {}
        if self._steps not in ends:
            node, now = self._caught_up(), self.clock.now
            listed = self._table.describe(*by_pid([r.processes.read(now) for r in node.readers]))
            data = (listed, HOST, Cost(105.0, 0.02, STEP_S, 0.004))
            ends[self._steps] = [Reading(None, now, now, 1_790_000_000.0, what) for what in data]
        return ends[self._steps]

    def fileno(self) -> int:
        return -1

    def drain(self) -> list[Item]:
        items, self.items = self.items, []
        return items

    def tick(self) -> Tick:
        return Tick(self.clock.now, 1_790_000_000.0, 0.25, "running", (), self.note)

    def set_interval(self, interval_s: float) -> None:
        self.interval_s = interval_s

    def close(self) -> None:
        self.closed = True


QUIET_TURNS = 3
"""Turns of the event loop without anything else to do, after which it is idle."""
SOON_S = 0.02
"""A timer that is due within this time is waited for, seconds."""


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until the event loop has nothing to do, and no timer ends soon.

    Textual's own function, for each key and each pause, waits for 20 ms in which the process used hardly any
    CPU time: that was more than half of the time of these tests.
    """
    loop: Any = asyncio.get_running_loop()
    end_s = loop.time() + max_sleep
    soon_s = quiet = 0.0
    while loop.time() < end_s:
        await asyncio.sleep(0)
        quiet = 0 if loop._ready else quiet + 1
        if quiet < QUIET_TURNS:
            continue
        now_s = loop.time()
        soon_s = soon_s or now_s + SOON_S
        timers_s = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
        due_s = min((at_s for at_s in timers_s if at_s < soon_s), default=None)
        if due_s is None:
            return
        await asyncio.sleep(max(0.0, due_s - now_s))
        quiet = 0


@pytest.fixture
def exact_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have keys and pauses wait no longer than the event loop works: for tests without other threads."""
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", wait_for_idle)


@pytest.fixture(autouse=True, scope="session")
def css_parsed_once() -> Iterator[None]:
    """Share the rules of the style sheets, which all applications have in common: a fifth of a start."""
    parse, parsed = Stylesheet._parse_rules, dict[object, list[RuleSet]]()

    def parse_once(sheet: Stylesheet, *arguments: Any, **named: Any) -> list[RuleSet]:
        key = arguments, frozenset(named.items()), frozenset(sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse(sheet, *arguments, **named)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_once)
        yield


@pytest.fixture(autouse=True)
def utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the locale that most people have, whatever the machine's is."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture(scope="session")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anywhere")


@pytest.fixture(autouse=True)
def in_no_folder_of_ours(anywhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have snapshots, which keys ask for and which go to the current folder, written where nobody looks."""
    monkeypatch.chdir(anywhere)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have times shown as on no machine in particular."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def script(bench, node_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    # Frames come from the test alone, on a busy machine as well.
    monkeypatch.setattr(frame_scheduler, "MAX_IDLE_FRAMES", 1e9)

    def make(node: str = "dgx-h100", scenario: str = "training", seconds: float = 3.0) -> Script:
        return Script(bench, node_clock, node, scenario, seconds)

    return make


@pytest.fixture
def app(script) -> Callable[..., Nvltop]:
    def make(node: str = "dgx-h100", scenario: str = "training", seconds: float = 1.0, **settings) -> Nvltop:
        return Nvltop(script(node, scenario, seconds), Settings(**settings))

    return make


MAX_RUNS = 8
_runs: dict[tuple[str, str, float], tuple[Frame, RateHistory]] = {}
"""Last frame and history of the latest runs of `view`, which no test changes."""


@pytest.fixture
def view(bench) -> Callable[..., ViewState]:
    """Return a function that gives the painters what they need, without an application."""

    def make(node: str = "dgx-h100", scenario: str = "training", seconds: float = 6.0, **what) -> ViewState:
        key = node, scenario, seconds
        if key not in _runs:
            b = bench(node, scenario)
            b.history = RateHistory()
            frame = b.run(seconds)
            if len(_runs) == MAX_RUNS:
                del _runs[next(iter(_runs))]
            _runs[key] = frame, b.history
        frame, history = _runs[key]
        return ViewState(frame=frame, history=history, gpus=frame.gpus, now_s=frame.tick.mono_s, **what)

    return make


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Terminal]]:
    # Settings that another test has saved, such as a shorter interval, are not those of this one.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    opened: list[Terminal] = []

    def start(*arguments: str, **options) -> Terminal:
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
