"""Workers whose driver hangs, and workers that fail, are stopped, or cannot be started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from nvltop.model import Tick
from nvltop.sampler import client, launch, stuck_workers
from nvltop.sampler.client import Worker, WorkerError
from nvltop.sampler.protocol import HEARTBEAT_LATE_S, deadline_s
from tests.faulty import boot, program

PATIENCE_S = 40.0


def test_check_reports_each_failure(tmp_path):
    crash = "after({}, lambda: os.kill(os.getpid(), signal.SIGSEGV))"
    cases = {
        "after(1.0, lambda: hang(lib))": (2, "NVLINK CRITICAL - "),
        "after(1.0, lambda: hang(lib, gpu=3))": (2, "for GPU 3"),
        crash.format(0.8): (3, "nvltop's reading process was ended by signal 11"),
        "raise AttributeError('no such thing')": (
            3,
            "nvltop's reading process failed: AttributeError: no such",
        ),
        "threading.Thread.start = lambda _: exec('raise RuntimeError(chr(99))')": (
            3,
            "failed: RuntimeError: c",
        ),
        # Near misses.
        "after(0.5, lambda: hang(lib, gpu=3, seconds=2.5))": (0, "72 of 72 links up"),
        "pass": (0, "72 of 72 links up"),
    }
    running = {
        case: subprocess.Popen(
            program(case, "--demo", "hgx-h100-4", "--check", "--for", "2"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for case in cases
    }
    for case, process in running.items():
        out, err = process.communicate(timeout=PATIENCE_S)
        code, words = cases[case]
        assert (process.returncode, err) == (code, ""), (case, out, err)
        assert words in out, case
        if code == 3:
            assert "driver" not in out.partition("|")[0], case
        assert ("link_errors=" in out) is (code == 0), case


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(stuck_workers, "SOCKET_PREFIX", f"nvltop-test-{os.getpid()}")


@pytest.fixture
def start(monkeypatch) -> Iterator[Callable[..., Worker]]:
    """Return a function that starts a worker with a modified simulated library."""
    workers = []

    def start(prepare: str = "pass") -> Worker:
        monkeypatch.setattr(launch, "BOOT", boot(prepare))
        workers.append(Worker(0.1, ("h100-nvl-pair", "training")))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def until(worker: Worker, enough: Callable[[Tick], bool]) -> Tick:
    """Process items as the screen does until a tick meets a condition."""
    end = time.monotonic() + PATIENCE_S
    while True:
        fd = worker.fileno()
        select.select([fd] if fd >= 0 else [], [], [], 0.1)
        worker.drain()
        tick = worker.tick()
        if enough(tick):
            return tick
        assert time.monotonic() < end, tick


def running(tick: Tick) -> bool:
    return tick.worker in ("running", "replaced")


def test_a_stopped_worker_is_paused_and_not_stuck(start):
    worker = start("hang(lib, 'nvmlDeviceGetFieldValues', seconds=0.5)")
    until(worker, running)
    child = worker._child
    os.kill(child.process.pid, signal.SIGSTOP)
    tick = until(worker, lambda tick: tick.worker == "paused")
    assert tick.calls == ()
    time.sleep(deadline_s(0.1) - HEARTBEAT_LATE_S)
    assert until(worker, lambda tick: True).worker == "paused"
    os.kill(child.process.pid, signal.SIGCONT)
    until(worker, running)
    assert worker._child is child
    assert worker._leave_out == ()


def test_a_pause_of_both_processes_excludes_no_gpu(start, monkeypatch):
    worker = start("lib.machine.faults = type(lib.machine.faults)('slow-driver', 0, 2, False)")
    until(worker, running)
    child = worker._child
    os.kill(child.process.pid, signal.SIGSTOP)
    # As if this process had been stopped for a minute, too.
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 60.0)
    tick = worker.tick()
    assert (tick.worker, tick.calls) == ("running", ())
    os.kill(child.process.pid, signal.SIGCONT)
    assert worker._child is child
    assert until(worker, running).calls == ()
    assert worker._leave_out == ()


def test_an_excluded_gpu_is_read_again_after_its_call_has_returned(start, monkeypatch):
    monkeypatch.setattr(client, "deadline_s", lambda interval_s: 1.5)
    worker = start(
        "if not os.path.exists(os.environ['MARK']):\n"
        "    open(os.environ['MARK'], 'w').close()\n"
        "    after(0.5, lambda: hang(lib, seconds=5))"
    )
    first = worker._child
    tick = until(worker, lambda tick: bool(worker._leave_out))
    assert tick.worker == "stuck"
    assert "left out GPU" in until(worker, lambda tick: "left out" in tick.note).note
    tick = until(worker, lambda tick: worker._leave_out == ())
    assert first.exited()
    assert "read again" in until(worker, lambda tick: running(tick)).note


def test_a_worker_that_keeps_ending_uses_little_cpu_time(start):
    worker = start("os._exit(70)")
    until(worker, lambda tick: tick.worker == "ended" and "once a minute" in tick.note)
    begun = time.process_time()
    assert worker.fileno() == -1
    for _ in range(3):
        until(worker, lambda tick: tick.worker == "ended")
    assert time.process_time() - begun < 0.1
    assert worker._started == 2


def test_a_worker_that_cannot_be_started_is_reported_and_started_again(monkeypatch):
    def refuse(*arguments):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(client, "START_RETRY_S", 0.3)
    monkeypatch.setattr("nvltop.sampler.worker_process.start_worker", refuse)
    before = len(os.listdir("/proc/self/fd"))
    worker = Worker(0.1, ("dgx-h100", "training"))
    assert worker.fileno() == -1
    assert worker.drain() == []
    worker.set_interval(1.0)
    tick = worker.tick()
    assert (tick.worker, tick.calls) == ("ended", ())
    assert tick.note == "nvltop's reading process could not be started: Resource temporarily unavailable"
    assert len(os.listdir("/proc/self/fd")) == before
    monkeypatch.undo()
    until(worker, running)
    worker.close()


def test_a_worker_that_waits_for_the_driver_without_a_parent_is_detected(start):
    worker = start("hang(lib, 'nvmlInitWithFlags', 'nvmlInit_v2', seconds=8)")
    until(worker, lambda tick: any(tick.mono_s - c.since_s > stuck_workers.STUCK_AFTER_S for c in tick.calls))
    pid = worker._child.process.pid
    worker._child.abandon()
    end = time.monotonic() + PATIENCE_S
    while not (found := [w for w in stuck_workers.find() if w.pid == pid]) and time.monotonic() < end:
        time.sleep(0.05)
    assert found == [stuck_workers.StuckWorker(pid, ())]
    with pytest.raises(WorkerError, match=f"an earlier nvltop still waits .*process {pid}"):
        Worker(0.1)
    # The worker ends when its call returns, and the GPUs can be read again.
    worker._child.process.wait(PATIENCE_S)
    assert [w for w in stuck_workers.find() if w.pid == pid] == []


def test_gpus_that_workers_of_earlier_runs_wait_for_are_excluded(monkeypatch):
    waits = [
        stuck_workers.StuckWorker(10, (3,)),
        stuck_workers.StuckWorker(11, (3, 5)),
        stuck_workers.StuckWorker(12, (3,)),
    ]
    assert stuck_workers.refusal(waits) == ""
    assert stuck_workers.refusal([*waits, stuck_workers.StuckWorker(13, ())])
    assert stuck_workers.refusal([*waits, stuck_workers.StuckWorker(13, (0,))])
    monkeypatch.setattr(stuck_workers, "find", lambda: waits)
    jobs = []
    monkeypatch.setattr(client, "WorkerProcess", lambda _s, _demo, excluded, *_: jobs.append(excluded))
    worker = Worker(0.1)
    assert jobs == [(3, 5)]
    assert worker._note == "left out GPU 3, 5: a call of an earlier nvltop hangs"


def test_the_socket_of_another_process_is_ignored(tmp_path):
    listening = stuck_workers.announce({2, 4})
    assert listening
    for _ in range(3):
        assert stuck_workers.find() == [stuck_workers.StuckWorker(os.getpid(), (2, 4))]
        stuck_workers.accept_probes(listening)
    listening.close()
    listed = tmp_path / "unix"
    listed.write_text(f"0: 2 0 0 1 1 5 @{stuck_workers.SOCKET_PREFIX}-{os.getuid()}-1-driver\n")
    assert stuck_workers.find(listed) == []
    assert stuck_workers.find(tmp_path / "none") == []
