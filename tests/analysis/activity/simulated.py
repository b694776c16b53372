"""Jobs with a known answer on simulated nodes, read through the real monitor on simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from nvltop.analysis.link_capacity import CEILINGS
from nvltop.analysis.monitor import Monitor
from nvltop.model import (
    Ancestor,
    ComputeActivity,
    Counter,
    CounterRefresh,
    Frame,
    Gauges,
    GpuUse,
    Inventory,
    LinkCounters,
    LinkStates,
    NicPort,
    NicPorts,
    PcieTraffic,
    Process,
    Processes,
    Reading,
    Scope,
    Tick,
    known,
    total,
)
from nvltop.nvml import session, simulated
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import boards, nodes
from nvltop.nvml.simulated.link_layout import all_pairs, direct, switched

from .patterns import Drawn

WALL = 1_790_000_000.0
SWITCHES = (5, 6, 7, 8)
BOARDS = {
    "h100": lambda: nodes.make_node(boards.H100, switched(4, 18, 4), nodes.DRIVER_570, switches=SWITCHES),
    "b200": lambda: nodes.make_node(boards.B200, switched(4, 18, 2), nodes.DRIVER_580, switches=SWITCHES[:2]),
    "a100": lambda: nodes.make_node(boards.A100, switched(4, 12, 4), nodes.DRIVER_570, switches=SWITCHES),
    "a100-direct": lambda: nodes.make_node(boards.A100, direct(all_pairs(4, 4)), nodes.DRIVER_570),
    "v100": lambda: nodes.make_node(boards.V100, direct(nodes.CUBE_MESH_V100), nodes.DRIVER_535),
    "pair": lambda: nodes.make_node(boards.H100_NVL, direct(all_pairs(2, 12)), nodes.DRIVER_570),
    "a100-16": lambda: nodes.make_node(boards.A100, switched(16, 12, 4), nodes.DRIVER_570, switches=SWITCHES),
}
"""Smaller variants of the demo nodes: judged alike, and faster to read."""


@dataclass(frozen=True)
class Board:
    """A node: its inventory, and what its links can carry."""

    inventory: Inventory
    states: tuple[LinkStates, ...]
    direct: bool
    ceiling: float

    @cached_property
    def totals(self) -> list[float]:
        """NCCL max of all links of each GPU, bytes/s."""
        return [self.speed(g) for g in range(len(self.states))]

    def speed(self, gpu: int, remote: int | None = None) -> float:
        """Return NCCL max in bytes/s of all links of a GPU, or of those to one other GPU."""
        states, speeds = self.states[gpu].states, self.states[gpu].speed_bytes_per_s
        remotes = self.inventory.gpus[gpu].remotes
        wanted = None if remote is None else self.inventory.gpus[remote].uuid
        assert known(remotes)
        carried = total(
            [
                v
                for s, v, r in zip(states, speeds, remotes, strict=True)
                if known(s) and s.active and (wanted is None or r.gpu == wanted)
            ]
        )
        assert known(carried)
        return carried


@cache
def board(name: str) -> Board:
    """Return a node with everything that does not change; each node is read once."""
    nodes.BUILDERS["test"] = BOARDS[name]
    try:
        simulated.install("test", "idle", clock=lambda: 1000.0, wall=lambda: WALL)
        opened = session.new_session(CallTracker())
        inventory = opened.open()
        states = tuple(
            next(r.data for r in GpuReader.read_states(reader) if isinstance(r.data, LinkStates))
            for reader in opened.readers
        )
    finally:
        simulated.uninstall()
        del nodes.BUILDERS["test"]
    joined = any(r.gpu for r in inventory.gpus[0].remotes)
    generation = inventory.gpus[0].nvlink_generation
    assert known(generation)
    return Board(inventory, states, joined, CEILINGS[generation])


def working(gpu: int, t: float) -> Gauges:
    """Return the gauges of a GPU at work."""
    return Gauges(
        util_percent=99.0, power_w=300.0, memory_used_bytes=60 << 30, memory_total_bytes=80 << 30,
        sm_clock_mhz=1700.0, temperature_c=60.0, event_reasons=0, pcie_gen=5, pcie_width=16,
    )  # fmt: skip


def idle(gpu: int, t: float) -> Gauges:
    """Return the gauges of an idle GPU."""
    return replace(working(gpu, t), util_percent=0.0, power_w=70.0, memory_used_bytes=1 << 30)


def spinning(gpu: int, t: float) -> Gauges:
    """Return the gauges of a GPU that waits in a collective."""
    return replace(working(gpu, t), util_percent=100.0, power_w=90.0)


@dataclass
class Job:
    """A job on a node, and its true answer. Rates are shares of NCCL max."""

    name: str
    family: str
    board: str
    sent: Sequence[Drawn]
    """Sent traffic by GPU."""
    right: frozenset[str]
    """Correct states that say all that can be known."""
    received: Sequence[Drawn] | None = None
    """Received traffic by GPU; the sent traffic if None."""
    toward: Callable[[int], Mapping[int, float]] | None = None
    """Share of the traffic of a GPU by remote GPU, on boards with direct links."""
    compute: Sequence[Drawn] | None = None
    """Activity of the tensor cores by GPU; None if it cannot be read."""
    gauges: Callable[[int, float], Gauges] = working
    pcie: Callable[[int, float], float] = lambda gpu, t: 1e9
    """Bytes/s."""
    nic: float = 0.0
    """Share of its line rate that the NIC carries."""
    jobs: Sequence[Sequence[int]] | None = None
    """The GPUs of each job; None if no process is visible."""
    seconds: float = 75.0
    interval_s: float = 0.25
    refresh_s: float = 0.0
    """Refresh period of the driver, seconds; 0 if every reading has new values."""
    silent: frozenset[str] = frozenset({"unclear", "unknown", "may-limit"})
    """States that count as silent, except those in `right`."""
    says: tuple[str, ...] = ()
    """Texts that headline or summary must contain."""
    never: tuple[str, ...] = ()
    seed: int = 1
    about: int | None = None
    """A GPU of the job that is checked; None for the verdict of the node."""


@dataclass
class Node:
    """A simulated node that is being read."""

    job: Job
    monitor: Monitor = field(default_factory=Monitor)
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        # Readings do not start at the edges of the monitor's cells.
        self.now_s += self.job.seed * 0.0137 % 1.0
        self.board = board(self.job.board)
        self.begun_s = self.now_s
        self._read_s: dict[int, float] = {}
        self._noise = random.Random(self.job.seed)
        self.monitor.update(self._inventory())
        for gpu, data in enumerate(self.board.states):
            self._read(gpu, self.now_s, data)
        every_s = self.job.refresh_s
        until_s = self.now_s if every_s else 0.0
        refresh = CounterRefresh(
            every_s, every_s, every_s, True, 0.01, until_s - 0.02 if every_s else 0.0, until_s
        )
        self.monitor.update(self._reading(None, self.now_s, self.now_s, refresh))
        if self.job.jobs is not None:
            self.monitor.update(self._reading(None, self.now_s, self.now_s, self._processes()))

    def _inventory(self) -> Inventory:
        return replace(self.board.inventory, mono_s=self.now_s, wall_s=WALL + self.now_s)

    def _reading(self, uuid, start_s, end_s, data) -> Reading:
        return Reading(uuid, start_s, end_s, WALL + end_s, data)

    def _read(self, gpu: int, at_s: float, data, start_s: float | None = None) -> None:
        uuid = self.board.inventory.gpus[gpu].uuid
        self.monitor.update(self._reading(uuid, at_s if start_s is None else start_s, at_s, data))

    def _processes(self) -> Processes:
        found = []
        for n, gpus in enumerate(self.job.jobs or ()):
            launcher = (Ancestor(900 + n, "torchrun"),)
            for gpu in gpus:
                use = GpuUse(self.board.inventory.gpus[gpu].uuid, "compute", 1 << 30)
                found.append(Process(1000 + gpu, (use,), "python3", "me", started_s=WALL, ancestors=launcher))
        return Processes(tuple(found))

    def _counters(self, gpu: int, t: float) -> LinkCounters:
        job, of = self.job, self.board
        if job.refresh_s:
            t = t // job.refresh_s * job.refresh_s
        tx = job.sent[gpu].integral(t)
        rx = (job.received or job.sent)[gpu].integral(t)
        if not of.direct:
            most = of.totals[gpu] * of.ceiling
            return LinkCounters(Counter.DATA, Scope.GPU, (int(tx * most),), (int(rx * most),))
        remotes = of.inventory.gpus[gpu].remotes
        index_of: dict[str | None, int] = {g.uuid: g.index for g in of.inventory.gpus}
        weights = job.toward(gpu) if job.toward else dict.fromkeys(index_of.values(), 1.0)
        speed = of.states[gpu].speed_bytes_per_s[0]
        assert known(speed)
        each = of.ceiling * speed
        ways = [
            tuple(int(moved * each * weights.get(index_of[r.gpu], 0.0)) for r in remotes)
            for moved in (tx, rx)
        ]
        return LinkCounters(Counter.DATA, Scope.LINK, *ways)

    def run(self, seconds: float | None = None) -> Frame:
        """Read for `seconds`, by default to the end of the job."""
        job = self.job
        end_s = self.begun_s + job.seconds if seconds is None else self.now_s + seconds
        count = len(job.sent)
        while self.now_s < end_s - 1e-9:
            self.now_s += job.interval_s
            t = self.now_s - self.begun_s
            second = int(t + 1e-9) > int(t - job.interval_s + 1e-9)
            for gpu in range(count):
                at = t + self._noise.uniform(0.0, 0.004)
                self._read(gpu, self.begun_s + at, self._counters(gpu, at))
                if job.compute:
                    since = self._read_s.get(gpu, 0.0)
                    mean = (job.compute[gpu].integral(at) - job.compute[gpu].integral(since)) / (at - since)
                    data = ComputeActivity(min(1.0, mean + 0.2), mean, 0.3, source="gpm")
                    self._read(gpu, self.begun_s + at, data, self.begun_s + since)
                    self._read_s[gpu] = at
                if second:
                    self._read(gpu, self.now_s, job.gauges(gpu, t))
                    moved = job.pcie(gpu, t)
                    self._read(gpu, self.now_s, PcieTraffic(moved, moved, "byte-counter"))
            if second:
                if job.nic:
                    port = NicPort("mlx5_0", 1, state="active", rate_bytes_per_s=50e9,
                                   tx_bytes=int(job.nic * 50e9 * t), rx_bytes=0)  # fmt: skip
                    self.monitor.update(self._reading(None, self.now_s, self.now_s, NicPorts((port,))))
                self.monitor.update(Tick(self.now_s, WALL + self.now_s, job.interval_s))
        return self.monitor.frame()


def state_of(job: Job, frame: Frame) -> str:
    """Return the state of the node, or of the job on one GPU."""
    if job.about is None:
        found = frame.verdict
        return found.judgement.state if found.judgement else found.id
    uuid = frame.gpus[job.about].gpu.uuid
    return next(j.state for j in frame.judgements if uuid in j.gpus)


def outcome(job: Job, frame: Frame) -> str:
    """Return `right`, `silent` or `wrong`."""
    state, found = state_of(job, frame), frame.verdict
    text = f"{found.headline} {found.summary}"
    if any(word in text for word in job.never):
        return "wrong"
    if state in job.right:
        return "right" if all(word in text for word in job.says) else "wrong"
    return "silent" if state in job.silent else "wrong"
