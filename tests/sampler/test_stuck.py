"""A worker whose driver hangs: which GPU is waited for, what is replaced, what is shown; on a test clock."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import ClassVar

import pytest

from nvltop.model import Counter, Inventory, LinkCounters, Reading, Scope
from nvltop.nvml import session, simulated
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.simulated import Fault
from nvltop.report.startup import startup_progress
from nvltop.sampler import client
from nvltop.sampler.client import LONG_CALL_S, MAX_STUCK_WORKERS, RESTART_BACKOFF_S, Worker
from nvltop.sampler.protocol import deadline_s

INTERVAL_S = 0.25
LIMIT_S = deadline_s(INTERVAL_S)
HUNG = "nvmlDeviceGetFieldValues"
PATIENCE_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SimulatedProcess:
    """A worker process that is a thread in a call of the simulated library."""

    made: ClassVar[list[SimulatedProcess]] = []

    def __init__(self, interval_s, demo, leave_out, *rest) -> None:
        self.leave_out = leave_out
        self.ended = self.abandoned = False
        self.rejection = ""
        self.fd = -1
        self.arrived: list = []
        self.watch = CallTracker()
        self._thread: threading.Thread | None = None
        self.made.append(self)

    def hang(self, reader, hang: Hang) -> None:
        """Begin a call that does not return, and wait until it is in flight."""
        self._thread = threading.Thread(target=reader.read_counters, daemon=True)
        self._thread.start()
        assert hang.entered.wait(PATIENCE_S)

    def read(self) -> list:
        items, self.arrived = self.arrived, []
        return items

    def exited(self) -> bool:
        return self.abandoned and not (self._thread and self._thread.is_alive())

    def trim_stderr(self) -> None:
        """Nothing is written there."""

    def abandon(self) -> None:
        self.abandoned = True

    def detach(self) -> None:
        """The thread ends when its call returns."""


class Hang(threading.Event):
    """A hang that reports when a call is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()

    def wait(self, timeout=None) -> bool:
        self.entered.set()
        return super().wait(timeout)


@pytest.fixture
def stuck(monkeypatch):
    """Return a worker on a test clock, whose first process reads an H100 node."""
    clock = Clock()
    dated = SimpleNamespace(monotonic=clock, time=clock)
    monkeypatch.setattr(client, "time", dated)
    monkeypatch.setattr("nvltop.nvml.call_tracker.time", dated)
    monkeypatch.setattr(client, "WorkerProcess", SimulatedProcess)
    monkeypatch.setattr(SimulatedProcess, "made", [])
    library = simulated.install("dgx-h100", "training")
    worker = Worker(INTERVAL_S, ("dgx-h100", "training"))
    first = SimulatedProcess.made[0]
    made = session.new_session(first.watch)
    inventory = made.open()
    first.arrived.append(inventory)
    worker.drain()
    hang = Hang()
    yield SimpleNamespace(
        worker=worker,
        clock=clock,
        library=library,
        readers=made.readers,
        hang=hang,
        processes=SimulatedProcess.made,
    )
    hang.set()
    worker.close()
    simulated.uninstall()


def answer(s, gpu: int) -> None:
    """Let one GPU answer."""
    uuid = s.readers[gpu].device.uuid
    data = LinkCounters(Counter.DATA, Scope.GPU, (gpu,), (gpu,))
    s.worker._child.arrived.append(Reading(uuid, s.clock.now, s.clock.now, s.clock.now, data))
    s.worker.drain()


def begin_hang(s, gpu: int) -> None:
    s.library.faults[HUNG] = Fault(gpu=gpu, hang=s.hang)
    s.worker._child.hang(s.readers[gpu], s.hang)


def pass_time(s, seconds: float, every_s: float = 0.5, also=lambda: None) -> list:
    """Let the clock run, with a heartbeat of the process and a tick each half second."""
    ticks = []
    for _ in range(round(seconds / every_s)):
        s.clock.now += every_s
        for process in s.processes:
            process.watch.heartbeat()
        also()
        ticks.append(s.worker.tick())
    return ticks


def test_while_any_gpu_answers_the_one_that_hangs_is_waited_for(stuck):
    begin_hang(stuck, gpu=3)
    ticks = pass_time(stuck, 20 * LIMIT_S, also=lambda: answer(stuck, gpu=5))
    assert {tick.worker for tick in ticks} == {"running"}
    assert len(stuck.processes) == 1
    assert stuck.worker._leave_out == ()
    assert [call.gpu for call in ticks[-1].calls] == [3], "the call is shown"
    assert ticks[-1].calls[0].function == HUNG


def test_when_none_answers_the_worker_is_replaced_without_the_gpu_that_hangs(stuck):
    begin_hang(stuck, gpu=3)
    ticks = pass_time(stuck, LIMIT_S - 0.5)
    assert {tick.worker for tick in ticks} == {"running"}
    assert len(stuck.processes) == 1
    assert [call.gpu for call in pass_time(stuck, LONG_CALL_S)[-1].calls or ticks[-1].calls] == [3]
    ticks = pass_time(stuck, 1.0)
    assert len(stuck.processes) == 2
    assert stuck.processes[1].leave_out == (3,)
    assert stuck.processes[0].abandoned, "left in its call, and never killed"
    assert ticks[-1].note == f"left out GPU 3: {HUNG} hung"


def test_no_more_than_one_worker_is_left_behind(stuck):
    begin_hang(stuck, gpu=3)
    pass_time(stuck, LIMIT_S + 1.0)
    assert len(stuck.processes) == 1 + MAX_STUCK_WORKERS
    # The second one hangs as well, on another GPU.
    stuck.hang.entered.clear()
    stuck.library.faults[HUNG] = Fault(gpu=5, hang=stuck.hang)
    second = stuck.processes[1]
    made = session.new_session(second.watch)
    threading.Thread(target=made.open, daemon=True).start()
    stuck.library.faults[HUNG] = Fault(hang=stuck.hang)
    assert stuck.hang.entered.wait(PATIENCE_S)
    ticks = pass_time(stuck, 10 * LIMIT_S)
    assert len(stuck.processes) == 1 + MAX_STUCK_WORKERS, "another one would hang as well"
    assert ticks[-1].worker == "stuck"
    assert "left out GPU 3" in ticks[-1].note, "mentioned for as long as it is left out"
    assert ticks[-1].calls
    assert startup_progress(ticks[-1], 60.0)


def test_the_gpu_is_read_again_when_its_call_has_returned(stuck):
    begin_hang(stuck, gpu=3)
    pass_time(stuck, LIMIT_S + 1.0)
    assert len(stuck.processes) == 2

    def second_answers() -> None:
        stuck.worker._child.arrived.append(Inventory(stuck.clock.now, stuck.clock.now))
        stuck.worker.drain()

    pass_time(stuck, RESTART_BACKOFF_S, also=second_answers)
    assert stuck.worker._leave_out == (3,), "its call still hangs"
    stuck.hang.set()
    stuck.processes[0]._thread.join(PATIENCE_S)
    ticks = pass_time(stuck, RESTART_BACKOFF_S + 1.0, also=second_answers)
    assert stuck.worker._leave_out == ()
    assert stuck.processes[-1].leave_out == ()
    assert "GPU 3 is read again" in ticks[-1].note
