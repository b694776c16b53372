"""The application on a simulated node, without a terminal and with a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.model import Cost, Host, Item, Listening, Reading, Tick
from nvltop.nvml.processes import by_pid
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated.processes import SimulatedProcessTable
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell import frame_scheduler
from nvltop.tui.shell.app import Nvltop
from tests.realterminal import Terminal

EVERY_SECOND = (
    GpuReader.read_states,
    GpuReader.read_gauges,
    GpuReader.read_errors,
    GpuReader.read_host_traffic,
    GpuReader.read_fabric,
)
HOST = Host(12.5, 412 << 30, 2048 << 30)


class Script:
    """A source whose items are the readings of a simulated node."""

    def __init__(self, bench, seconds: float) -> None:
        self.bench = bench
        now, wall = bench.clock.now, 1_790_000_000.0
        self.items: list[Item] = [bench.inventory, Listening(now, wall, 8)]
        self.closed = False
        self.note = ""
        self.table = SimulatedProcessTable(1_790_000_000.0)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let the node run on; counters are read four times a second, all else once, as a sampler does."""
        for _ in range(max(1, round(seconds * 4))):
            self.bench.clock.now += 0.25
            second = self.bench.clock.now % 1 == 0
            for reader in self.bench.readers:
                self.items += reader.read_counters()
                for read in EVERY_SECOND if second else ():
                    self.items += read(reader)
            if second:
                self.items.append(self.bench.read_nics())
        now = self.bench.clock.now
        listed = self.table.describe(*by_pid([r.processes.read(now) for r in self.bench.readers]))
        self.items.append(Reading(None, now, now, 1_790_000_000.0, listed))
        for data in (HOST, Cost(105.0, 0.02, 0.25, 0.004)):
            self.items.append(Reading(None, now, now, 1_790_000_000.0, data))

    def fileno(self) -> int:
        return -1

    def drain(self) -> list[Item]:
        items, self.items = self.items, []
        return items

    def tick(self) -> Tick:
        return Tick(self.bench.clock.now, 1_790_000_000.0, 0.25, "running", (), self.note)

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
def script(bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    # Frames come from the test alone, on a busy machine as well.
    monkeypatch.setattr(frame_scheduler, "MAX_FRAME_AGE_S", 1e9)

    def make(node: str = "dgx-h100", scenario: str = "training", seconds: float = 3.0) -> Script:
        return Script(bench(node, scenario), seconds)

    return make


@pytest.fixture
def app(script) -> Callable[..., Nvltop]:
    def make(node: str = "dgx-h100", scenario: str = "training", seconds: float = 1.0, **settings) -> Nvltop:
        return Nvltop(script(node, scenario, seconds), Settings(**settings))

    return make


@pytest.fixture
def view(bench) -> Callable[..., ViewState]:
    """Return a function that gives the painters what they need, without an application."""

    def make(node: str = "dgx-h100", scenario: str = "training", seconds: float = 6.0, **what) -> ViewState:
        b = bench(node, scenario)
        b.history = RateHistory()
        frame = b.run(seconds)
        return ViewState(frame=frame, history=b.history, gpus=frame.gpus, now_s=b.clock.now, **what)

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
