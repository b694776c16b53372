"""The application on a simulated node, without a terminal and with a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

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


_first_items: dict[tuple[str, str, float, float], tuple[list[Item], float]] = {}
"""Items of the first seconds of a node, and the time at their end, by node, scenario, seconds and start."""


class Script:
    """A source whose items are the readings of a simulated node.

    The node runs its first seconds once for all tests; in a test that needs more of it, it runs them again.
    """

    def __init__(self, start: Callable[..., Bench], clock: Clock, node: str, scenario: str, seconds: float):
        self.items: list[Item] = []
        self.closed = False
        self.note = ""
        self.table = SimulatedProcessTable(1_790_000_000.0)
        self.clock = clock
        self._start, self._arguments, self._seconds = start, (node, scenario), seconds
        self._begin_s = clock.now
        self._bench: Bench | None = None
        key = node, scenario, seconds, clock.now
        if key not in _first_items:
            self._run_first_seconds()
            _first_items[key] = self.items, clock.now
        items, clock.now = _first_items[key]
        self.items = list(items)

    @property
    def bench(self) -> Bench:
        """The node."""
        if self._bench is None:
            now_s, items = self.clock.now, self.items
            self.clock.now = self._begin_s
            self._run_first_seconds()
            self.clock.now, self.items = now_s, items
        assert self._bench
        return self._bench

    def _run_first_seconds(self) -> None:
        self._bench = self._start(*self._arguments)
        self.items = [self._bench.inventory, Listening(self.clock.now, 1_790_000_000.0, 8)]
        self.advance(self._seconds)

    def advance(self, seconds: float) -> None:
        """Let the node run on; counters are read four times a second, all else once, as a sampler does."""
        node = self.bench
        for _ in range(max(1, round(seconds * 4))):
            self.clock.now += 0.25
            second = self.clock.now % 1 == 0
            for reader in node.readers:
                self.items += reader.read_counters()
                for read in EVERY_SECOND if second else ():
                    self.items += read(reader)
            if second:
                self.items.append(node.read_nics())
        now = self.clock.now
        listed = self.table.describe(*by_pid([r.processes.read(now) for r in node.readers]))
        self.items.append(Reading(None, now, now, 1_790_000_000.0, listed))
        for data in (HOST, Cost(105.0, 0.02, 0.25, 0.004)):
            self.items.append(Reading(None, now, now, 1_790_000_000.0, data))

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


@pytest.fixture(autouse=True)
def utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the locale that most people have, whatever the machine's is."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


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
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, **options) -> Terminal:
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
