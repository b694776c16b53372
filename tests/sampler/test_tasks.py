"""Which thread does a task, and when: on a clock that the test moves."""

from __future__ import annotations

import threading
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvltop.model import LinkCounters, Reading
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.simulated.nics import SimulatedNics
from nvltop.sampler import cost, poll_threads, sampler, task, task_threads
from nvltop.sampler.nic_monitor import NicMonitor
from nvltop.sampler.poll_threads import PollThread
from nvltop.sampler.protocol import WorkerConfig
from nvltop.sampler.sampler import Sampler
from nvltop.sampler.schedule import MAX_SLACK_S, RequestedInterval
from nvltop.sampler.task import QUICK_S, RUNS, SLOW_RUNS, Guests, Task
from nvltop.sampler.task_threads import TaskThreads

EVERY_S = 2.0
SECONDS = 60.0


class Stop(threading.Event):
    """An event whose waits take the test's time."""

    def __init__(self, clock, end_s: float) -> None:
        super().__init__()
        self._clock, self._end_s = clock, end_s

    def is_set(self) -> bool:
        return self._clock.now >= self._end_s

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.now += timeout
        return self.is_set()


@pytest.fixture
def visit(bench, monkeypatch):
    """Return a function that reads GPU 1 with a guest, and gives the times of both, and the guest."""

    def run(interval_s: float, took_s: float, starts: list[Task]):
        b = bench("h100-two")
        dated = SimpleNamespace(monotonic=b.clock, time=b.clock, process_time=lambda: 0.0)
        for module in (sampler, poll_threads, cost, task, task_threads):
            monkeypatch.setattr(module, "time", dated)
        stop = Stop(b.clock, b.clock.now + SECONDS)
        links: list[float] = []
        ran: list[float] = []

        def send(*items) -> None:
            links.extend(i.start_s for i in items if isinstance(i, Reading) and type(i.data) is LinkCounters)

        def read(start_s: float) -> list[Reading]:
            ran.append(start_s)
            b.clock.now += took_s
            return []

        tasks = TaskThreads(send, stop)
        monkeypatch.setattr(tasks, "start", lambda *started: starts.extend(started))
        own = Sampler(
            WorkerConfig(0, 0, interval_s), b.session, CallTracker(), send, stop,
            RequestedInterval(interval_s), NicMonitor(SimulatedNics(b.library), send), tasks,
        )  # fmt: skip
        thread = PollThread([b.readers[1].device.uuid])
        own._fast._threads = [thread]
        thread.guests.thread_next_s = b.clock.now
        guest = Task("guest", read, EVERY_S)
        guest._took_s.extend([0.0] * RUNS)
        assert thread.guests.admit(guest)
        own.read_fast(thread)
        return links, ran, guest

    return run


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.1, 10.0), st.floats(0.0, 0.99 * QUICK_S))
def test_a_guest_keeps_its_interval_and_delays_no_reading(visit, interval_s, took_s):
    links, ran, _ = visit(interval_s, took_s, [])
    slack_s = min(interval_s / 2, MAX_SLACK_S)
    assert all(abs(b - a - interval_s) <= QUICK_S + 1e-6 for a, b in pairwise(links))
    assert all(abs(b - a - EVERY_S) <= 2 * slack_s + QUICK_S + 1e-6 for a, b in pairwise(ran))
    assert abs(len(ran) - SECONDS / EVERY_S) <= 2


def test_a_slow_guest_leaves_for_good(visit):
    starts: list[Task] = []
    _, ran, guest = visit(1.0, 2 * QUICK_S, starts)
    assert len(ran) == SLOW_RUNS
    assert starts == [guest]
    assert not guest.may_be_guest


@given(st.lists(st.floats(0.0, 4 * QUICK_S), min_size=RUNS, max_size=8))
def test_a_task_is_quick_if_all_its_last_runs_were_and_slow_if_none_was(durations_s):
    made = Task("any", lambda start_s: [], EVERY_S)
    assert not made.is_quick
    made._took_s.extend(durations_s)
    assert made.is_quick == (max(durations_s[-RUNS:]) <= QUICK_S)
    assert made.is_slow == (min(durations_s[-SLOW_RUNS:]) > QUICK_S)
    assert not (made.is_quick and made.is_slow)


@given(st.lists(st.sampled_from(["admit", "take", "put back", "close"]), max_size=30))
def test_a_task_is_in_one_place_at_any_time(steps):
    guests, outside, taken, waits = Guests(), [Task(str(i), lambda s: [], EVERY_S) for i in range(4)], [], 0
    for step in steps:
        if step == "admit" and outside and guests.admit(outside[-1]):
            outside.pop()
            waits += 1
        elif step == "take" and (found := guests.take(1e12, 0.0)):
            taken.append(found)
            waits -= 1
        elif step == "put back" and taken:
            waits += (stays := guests.put_back(taken[-1]))
            left = taken.pop()
            outside += [] if stays else [left]
        elif step == "close":
            outside += guests.close()
            waits = 0
        assert len({*outside, *taken}) == len(outside) + len(taken) == 4 - waits


@pytest.mark.parametrize(("overdue_s", "runs"), [(0.0, 0), (1.2, 1)])
def test_a_task_that_waited_for_a_thread_that_hung_runs_before_it_becomes_a_guest(
    bench, monkeypatch, overdue_s, runs
):
    b = bench("h100-two")
    for module in (task, task_threads):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=b.clock))
    ran: list[float] = []
    tasks, guests = TaskThreads(lambda *items: None, Stop(b.clock, b.clock.now + SECONDS)), Guests()

    def read(start_s: float) -> list[Reading]:
        ran.append(start_s)
        return []

    released = Task("any", read, EVERY_S)
    released._took_s.extend([0.0] * RUNS)
    b.clock.now += overdue_s
    guests.thread_next_s = b.clock.now + 0.9
    tasks.guests = lambda: guests
    tasks.run_alone(released)
    assert len(ran) == runs
    assert guests.next_s == guests.thread_next_s
