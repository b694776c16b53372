"""The real worker process on a simulated node."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from nvltop.model import Inventory, Item, Reading, Tick, known
from nvltop.sampler import client, launch, worker_process
from nvltop.sampler.client import Worker
from nvltop.sampler.protocol import WORKER_NAME, WorkerConfig, deadline_s
from nvltop.sampler.schedule import AdaptiveInterval, Periodic, RequestedInterval

PATIENCE_S = 20.0


@pytest.fixture
def worker() -> Iterator[Worker]:
    source = Worker(0.1, ("dgx-h100", "training"))
    yield source
    source.close()


def wait(worker: Worker, seconds: float = 0.5) -> None:
    """Wait until items are there, or for a number of seconds."""
    fd = worker.fileno()
    select.select([fd] if fd >= 0 else [], [], [], seconds)


def until(worker: Worker, enough: Callable[[list[Item]], bool]) -> list[Item]:
    """Collect items until there are enough."""
    items: list[Item] = []
    end = time.monotonic() + PATIENCE_S
    while not enough(items):
        assert time.monotonic() < end, f"only {len(items)} items came"
        wait(worker)
        items += worker.drain()
    return items


def groups(items: list[Item]) -> set[str]:
    return {item.group for item in items if isinstance(item, Reading)}


ALL = {"links", "states", "gauges", "errors", "pcie", "c2c", "fabric", "host", "cost", "nics"}


def test_every_group_arrives_and_the_inventory_first(worker):
    items = until(worker, lambda items: groups(items) >= ALL)
    assert isinstance(items[0], Inventory)
    assert items[0].demo == "dgx-h100, training"
    assert len(items[0].gpus) == 8
    assert known(items[0].nics)
    assert len(items[0].nics) == 12
    assert worker.tick().worker == "running"


def test_the_child_has_a_name_and_a_session_of_its_own(worker):
    until(worker, bool)
    pid = worker._child.process.pid
    with open(f"/proc/{pid}/comm") as comm:
        assert comm.read().strip() == WORKER_NAME
    assert os.getsid(pid) == pid


def test_closing_ends_the_child_without_waiting(worker):
    until(worker, bool)
    process = worker._child.process
    begun = time.monotonic()
    worker.close()
    assert time.monotonic() - begun < client.EXIT_STATUS_TIMEOUT_S / 2
    # The fixture closes once more; that must be harmless, too.
    # `close` may have collected the exit status already.
    assert process.wait(timeout=PATIENCE_S) is not None


def killed(worker: Worker) -> Tick:
    """Let the child die, and return the tick that reports its end once its status is known."""
    child = worker._child
    os.kill(child.process.pid, signal.SIGSEGV)
    os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
    end = time.monotonic() + PATIENCE_S
    while not child.ended and time.monotonic() < end:
        wait(worker)
        worker.drain()
    return worker.tick()


def test_a_dead_child_is_replaced_once_and_reported(worker):
    until(worker, bool)
    assert killed(worker).worker == "ended"
    assert worker._started == 2
    assert killed(worker).worker == "ended"
    assert worker._started == 2, "one replacement, no more"


def test_the_replacement_reads_on(worker):
    until(worker, bool)
    before = worker.fileno()
    os.kill(worker._child.process.pid, signal.SIGSEGV)
    end = time.monotonic() + PATIENCE_S
    while worker.tick().worker != "replaced" and time.monotonic() < end:
        wait(worker)
        worker.drain()
    until(worker, lambda items: "links" in groups(items))
    assert "it was restarted" in worker.tick().note
    assert worker.fileno() != before, "who listens to a descriptor of the same number hears nothing"


RELOADED_ONCE = """
import os, sys
sys.path[:] = sys.argv[2:]
mark = os.environ["MARK"]
if not os.path.exists(mark):
    open(mark, "w").close()
    sys.exit(75)
from nvltop.sampler.worker import main
main()
"""


def test_a_worker_whose_driver_was_exchanged_is_followed_by_a_fresh_one(monkeypatch, tmp_path):
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(launch, "BOOT", RELOADED_ONCE)
    source = Worker(0.1, ("dgx-h100", "training"))
    end = time.monotonic() + PATIENCE_S
    while source.tick().worker != "replaced" and time.monotonic() < end:
        wait(source)
        source.drain()
    until(source, lambda items: "links" in groups(items))
    assert source.tick().note == "the driver was unloaded or replaced; reading has restarted"
    source.close()


BATCHED_AT_ONCE = launch.BOOT.replace("from", "import nvltop.sampler.pipe as p; p.START_S = -1.0; from", 1)


@pytest.mark.parametrize("pipe_bytes", [4096, worker_process.PIPE_BYTES])
def test_for_a_screen_the_readings_of_a_second_arrive_whole_whatever_fits_into_the_pipe(
    monkeypatch, pipe_bytes
):
    monkeypatch.setattr(worker_process, "PIPE_BYTES", pipe_bytes)
    monkeypatch.setattr(launch, "BOOT", BATCHED_AT_ONCE)
    source = Worker(0.1, ("dgx-h100", "training"), frame_s=1.0)
    until(source, lambda items: "links" in groups(items))
    wait(source, PATIENCE_S)
    items = until(source, bool)
    source.close()
    read_s = [item.start_s for item in items if isinstance(item, Reading) and item.group == "links"]
    assert 0.7 < max(read_s) - min(read_s) < 3.0, "a busy machine may be late"
    assert len({item.gpu for item in items if isinstance(item, Reading) and item.group == "links"}) == 8


def test_a_node_without_driver_says_so():
    source = Worker(0.1, ("no-driver", "training"))
    first = until(source, bool)[0]
    source.close()
    assert isinstance(first, Inventory)
    assert first.problem.id == "no-driver"


def test_job_round_trip():
    job = WorkerConfig(5, 6, 0.25, ("dgx-h100", "idle"), (3,))
    assert WorkerConfig.from_argument(job.to_argument()) == job


def test_deadline_is_three_intervals_and_never_under_five_seconds():
    assert deadline_s(0.25) == 5.0
    assert deadline_s(10.0) == 30.0


def test_interval_grows_when_sweeps_are_slow_and_recovers():
    interval = AdaptiveInterval(RequestedInterval(0.25))
    for _ in range(20):
        interval.add(0.32)
    assert interval.interval_s == pytest.approx(1.28, rel=0.01)
    for _ in range(30):
        interval.add(0.001)
    assert interval.interval_s == 0.25


def test_due_keeps_its_grid_and_skips_what_it_missed():
    due = Periodic(1.0)
    assert due.due(100.0)
    assert not due.due(100.9)
    assert due.due(100.9, slack_s=0.125)
    assert due.due(107.3)
    assert not due.due(107.9)
