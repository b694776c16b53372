"""Fixtures: a simulated node with a clock that the test advances."""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest

import nvltop
from nvltop import gc_tuning
from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.model import CounterRefresh, Frame, Inventory, Reading, Tick, known
from nvltop.nvml import (
    call_tracker,
    compute,
    counters,
    events,
    fabric,
    gpm,
    host_traffic,
    inventory,
    pcie,
    session,
    simulated,
    utilization,
)
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.demo_nodes import SCENARIOS
from nvltop.nvml.session import GpuReader, Session
from nvltop.nvml.simulated import boards, nodes
from nvltop.nvml.simulated.link_layout import switched
from nvltop.nvml.simulated.nics import SimulatedNics

ROOT = Path(__file__).parents[1]
WALL = 1_790_000_000.0
SMALL = {
    "h100-two": lambda: nodes.make_node(boards.H100, switched(2, 4, 2), nodes.DRIVER_570, switches=(5, 6)),
    "h100-four": lambda: nodes.make_node(
        boards.H100, switched(4, 18, 4), nodes.DRIVER_570, switches=(5, 6, 7, 8)
    ),
    "b200-four": lambda: nodes.make_node(boards.B200, switched(4, 18, 2), nodes.DRIVER_580, switches=(5, 6)),
    "gb200-two": lambda: nodes.make_node(
        boards.GB200, switched(2, 4, 2), nodes.DRIVER_580, switches=(5, 6), hides_remotes=True, domain=8,
        clique_id=7, cluster_uuid=nodes.CLUSTER_UUID,
    ),
    "gb300-two": lambda: nodes.make_node(
        boards.GB300, switched(2, 4, 2), nodes.DRIVER_615, switches=(5, 6), hides_remotes=True, domain=8,
        clique_id=7, cluster_uuid=nodes.CLUSTER_UUID,
    ),
}  # fmt: skip
"""Small versions of the demo nodes, for tests that run long or often."""
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
"""Whether to run all combinations of what is independent, and ten times as many of the costly examples."""
# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")
# Let programs that tests start reuse compiled modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Compile once what the workers of pytest and the programs that tests start would all compile."""
    gc_tuning.disable_during_startup()
    worker = getattr(config, "workerinput", None)
    if worker is None:
        compileall.compile_dir(Path(nvltop.__file__).parent, quiet=2)
        return
    # Each worker rewrites the assertions of its share of the test modules, then loads all of them.
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    for file in files[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        # What fails here is reported when the module is collected.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Collect garbage as nvltop does; searching what pytest loaded took a tenth of the time of the tests."""
    gc_tuning.freeze_startup_objects()
    gc.set_threshold(100_000, 20, 100)


def pytest_unconfigure() -> None:
    """Collect what is left, so that a failure in it is reported, once: pytest would search all five times."""
    gc.collect()
    gc.freeze()


def examples(count: int) -> int:
    """Return how many examples of a property to run that take more than 50 ms each."""
    return 10 * count if THOROUGH else count


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A simulated node, a session with it, and a monitor."""

    clock: Clock
    library: simulated.Library
    session: Session
    inventory: Inventory
    monitor: Monitor
    interval_s: float = 0.25
    history: RateHistory | None = None
    """History to fill, if a test sets one."""

    @property
    def readers(self) -> tuple[GpuReader, ...]:
        return self.session.readers

    def feed(self, readings: list[Reading]) -> None:
        for reading in readings:
            self.monitor.update(reading)

    def poll(self, *reads: Callable[[GpuReader], list[Reading]]) -> Frame:
        """Read every GPU, by default all groups, and return the frame."""
        self.read(*reads)
        return self.frame()

    def read(self, *reads: Callable[[GpuReader], list[Reading]]) -> None:
        """Read every GPU, by default all groups."""
        for reader in self.readers:
            for read in reads or ALL:
                self.feed(read(reader))
        if not reads:
            self.feed([self.read_nics()])

    def read_nics(self) -> Reading:
        """Read the ports of the NICs."""
        now = self.clock.now
        return Reading(None, now, now, WALL + now, SimulatedNics(self.library).read(now))

    def tick(self) -> None:
        """Let the monitor evaluate what was read until now."""
        self.monitor.update(Tick(self.clock.now, WALL + self.clock.now, self.interval_s))

    def frame(self) -> Frame:
        self.tick()
        frame = self.monitor.frame()
        if self.history:
            self.history.add(frame)
        return frame

    def frames(self, seconds: float) -> Iterator[Frame]:
        """Yield a frame at each interval; the counters are read each time, all else once a second."""
        for _ in self._reads(seconds):
            yield self.frame()

    def _reads(self, seconds: float) -> Iterator[bool]:
        """Read the counters at each interval, all else once a second; yield whether all was read."""
        self.read()
        yield True
        last = round(seconds / self.interval_s)
        second = max(1, round(1.0 / self.interval_s))
        for n in range(1, last + 1):
            self.clock.now += self.interval_s
            reads_all = n % second == 0 or n == last
            self.read(*(() if reads_all else (GpuReader.read_counters,)))
            yield reads_all

    def run(self, seconds: float) -> Frame:
        """Read for a number of seconds, with a frame a second as on the screen, and return the last frame."""
        for is_second in self._reads(seconds):
            if is_second:
                frame = self.frame()
            else:
                self.tick()
        return frame


ALL = (
    GpuReader.read_counters,
    GpuReader.read_states,
    GpuReader.read_gauges,
    GpuReader.read_errors,
    GpuReader.read_host_traffic,
    GpuReader.read_fabric,
)


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use neither the state directory nor the configuration of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture
def node_clock() -> Clock:
    """Return the clock of the simulated nodes of a test."""
    return Clock()


@pytest.fixture
def bench(node_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Return a function that starts a simulated node."""
    for name, build in SMALL.items():
        monkeypatch.setitem(nodes.BUILDERS, name, build)
    # Only in the modules that date readings: asyncio and Textual need a real clock.
    dated = SimpleNamespace(monotonic=node_clock, time=lambda: WALL + node_clock.now)
    for module in (
        call_tracker,
        compute,
        counters,
        events,
        fabric,
        gpm,
        host_traffic,
        inventory,
        pcie,
        session,
        utilization,
    ):
        monkeypatch.setattr(module, "time", dated)

    def switch_on(
        node: str = "dgx-h100",
        scenario: str = "training",
        prepare: Callable[[simulated.Library], None] | None = None,
    ) -> Bench:
        assert scenario in SCENARIOS, "an unknown one would be a healthy node"
        library = simulated.install(node, scenario, clock=node_clock, wall=dated.time)
        library.released.set()  # a slow call takes no real time
        if prepare:
            prepare(library)
        opened = session.new_session(CallTracker())
        nics = SimulatedNics(library)
        found = opened.open()
        places = nics.gpu_locations([g.pci_bus_id for g in found.gpus if known(g.pci_bus_id)])
        found = replace(found, demo=f"{node}, {scenario}", nics=nics.find(), gpu_locations=places)
        monitor = Monitor()
        monitor.update(found)
        # The result that the worker measures, since these counters are always up to date.
        refresh = CounterRefresh(0.0, 0.0, 0.0, True)
        monitor.update(Reading(None, node_clock.now, node_clock.now, WALL + node_clock.now, refresh))
        return Bench(node_clock, library, opened, found, monitor)

    yield switch_on
    simulated.uninstall()
