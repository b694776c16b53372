"""One slow GPU has a thread of its own: the others stay live, and it comes back by itself."""

from __future__ import annotations

import select
import threading
import time
from types import SimpleNamespace

import pytest

from nvltop.model import Inventory, Item, Processes, Reading
from nvltop.nvml import session, simulated
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.nics import SimulatedNics
from nvltop.nvml.simulated.processes import SimulatedProcessTable
from nvltop.sampler import process_lists
from nvltop.sampler.client import Worker
from nvltop.sampler.nic_monitor import NicMonitor
from nvltop.sampler.poll_threads import SPLIT_AFTER_S, PollThread, PollThreads
from nvltop.sampler.protocol import WorkerConfig
from nvltop.sampler.sampler import Sampler
from nvltop.sampler.schedule import RequestedInterval
from nvltop.sampler.task import Task
from nvltop.sampler.task_threads import TaskThreads

PATIENT_S = 20.0


class Collected:
    """What a sampler sends."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.looked_after = 0
        self.changed = threading.Condition()

    def send(self, *items) -> None:
        with self.changed:
            self.items += items
            self.looked_after += not items
            self.changed.notify_all()

    def links(self, since: int = 0) -> set[str]:
        return {i.gpu for i in self.items[since:] if isinstance(i, Reading) and i.gpu and i.group == "links"}

    def until(self, enough) -> None:
        with self.changed:
            assert self.changed.wait_for(enough, PATIENT_S)


@pytest.fixture
def sampler():
    library = simulated.install("dgx-h100", "training")
    stop, seen = threading.Event(), Collected()
    nics = NicMonitor(SimulatedNics(library), seen.send)
    made = Sampler(
        WorkerConfig(0, 0, 0.05),
        session.new_session(CallTracker()),
        CallTracker(),
        seen.send,
        stop,
        RequestedInterval(0.05),
        nics,
        TaskThreads(seen.send, stop),
    )
    made._lists = process_lists.ProcessLists(SimulatedProcessTable(time.time()))
    made.open()
    made._tasks.guests = made._guests
    made._cover()
    thread = threading.Thread(target=made.watchdog.run, daemon=True)
    thread.start()
    yield library, seen, made
    stop.set()
    for fault in library.faults.values():
        if fault.hang:
            fault.hang.set()
    thread.join(PATIENT_S)
    simulated.uninstall()


def test_a_gpu_that_hangs_does_not_hold_up_the_others_and_comes_back(sampler):
    library, seen, made = sampler
    seen.until(lambda: len(seen.links()) == 8)
    hang = threading.Event()
    slow = made._session.readers[4].device.uuid
    library.faults["nvmlDeviceGetFieldValues"] = Fault(gpu=4, hang=hang)
    mark = len(seen.items)
    others = seen.links() - {slow}
    # Two rounds over the others: the first may still be of before.
    seen.until(lambda: seen.links(mark) >= others)
    second = len(seen.items)
    seen.until(lambda: seen.links(second) >= others)
    assert slow not in seen.links(second)
    hang.set()
    back = len(seen.items)
    seen.until(lambda: slow in seen.links(back))
    assert len(made._fast._threads) == 2, "one thread more, and no more"
    newest: dict[tuple[str | None, str], float] = {}
    for item in [i for i in seen.items if isinstance(i, Reading) and i.gpu]:
        key = item.gpu, item.group
        assert item.start_s >= newest.get(key, 0.0), "what was read before the hang comes after what is newer"
        newest[key] = item.start_s


def test_the_watchdog_writes_heartbeats_while_a_gpu_hangs(sampler):
    library, seen, made = sampler
    library.faults["nvmlDeviceGetFieldValues"] = Fault(gpu=4, hang=threading.Event())
    first_s = time.monotonic()
    seen.until(lambda: made._watch.heartbeat_s > first_s)


def test_what_waits_to_be_sent_is_looked_after_while_all_gpus_hang(sampler):
    library, seen, _ = sampler
    library.faults["nvmlDeviceGetFieldValues"] = Fault(hang=threading.Event())
    seen.until(lambda: seen.looked_after >= 2)


def test_a_lane_gives_up_only_what_blocks_it():
    thread = PollThread(["a", "b", "c"])
    assert thread.blocked_by(1e9) is None
    thread._reading = ("b", 10.0)
    assert thread.blocked_by(10.0 + SPLIT_AFTER_S / 2) is None
    assert thread.blocked_by(10.0 + 2 * SPLIT_AFTER_S) == "b"


def reader(uuid):
    return SimpleNamespace(device=SimpleNamespace(uuid=uuid))


def test_every_gpu_is_in_one_poll_thread_at_any_time():
    started: list[PollThread] = []
    poll_threads = PollThreads("test", started.append)
    readers = [reader(u) for u in "abcdef"]
    poll_threads.cover(readers)
    for slow in "bd":
        thread = next(thread for thread in poll_threads._threads if slow in thread.uuids)
        thread._reading = (slow, 0.0)
        poll_threads.split(1e9)
        assert sorted(u for thread in poll_threads._threads for u in thread.uuids) == list("abcdef")
    poll_threads.cover([*readers, reader("new")])
    assert sorted(u for thread in poll_threads._threads for u in thread.uuids) == [*"abcdef", "new"]


def arrived(worker: Worker, enough) -> list:
    items: list = []
    end = time.monotonic() + PATIENT_S
    while not enough(items) and time.monotonic() < end:
        select.select([worker.fileno()], [], [], 0.2)
        items += worker.drain()
        worker.tick()
    assert enough(items)
    return items


def test_the_interval_can_be_changed_while_reading():
    worker = Worker(60.0, ("rtx3090-pair", "training"))
    try:
        arrived(worker, lambda items: any(isinstance(i, Reading) and i.group == "links" for i in items))
        worker.set_interval(0.1)
        begun = time.monotonic()
        arrived(worker, lambda items: sum(isinstance(i, Reading) and i.group == "links" for i in items) >= 20)
        assert time.monotonic() - begun < 10.0, "the first reading came only after the old interval"
        assert worker.tick().interval_s == 0.1
    finally:
        worker.close()


def test_a_gpu_that_falls_off_is_reported_at_once_and_the_inventory_read_again(sampler):
    library, seen, made = sampler
    threading.Thread(target=made.watch_inventory, daemon=True).start()
    seen.until(lambda: len(seen.links()) == 8)
    for name in tuple(library.calls):
        if name.startswith("nvmlDevice") and name != "nvmlDeviceGetCount_v2":
            library.faults[name] = Fault(15, gpu=4)

    def found(kind) -> list:
        return [i for i in seen.items if isinstance(i, kind)]

    seen.until(lambda: any(g.problem for i in found(Inventory) for g in i.gpus))
    lost = next(i for i in found(Reading) if i.problem)
    again = next(i for i in found(Inventory) if any(g.problem for g in i.gpus))
    assert again.mono_s - lost.end_s < 5.0
    made._stop.set()
    made._inventory_due.set()


def listed(seen, since: int = 0) -> list[Processes]:
    return [i.data for i in seen.items[since:] if isinstance(i, Reading) and isinstance(i.data, Processes)]


def test_a_process_list_that_is_slow_does_not_delay_the_counters(sampler):
    _, seen, made = sampler
    seen.until(lambda: listed(seen))
    entered, release = threading.Event(), threading.Event()

    class Slow:
        def describe(self, uses, unread):
            entered.set()
            release.wait(PATIENT_S)
            return Processes()

    made._lists._describer = Slow()
    assert entered.wait(PATIENT_S)
    begun = len(seen.items)
    for _ in range(3):
        mark = len(seen.items)
        seen.until(lambda mark=mark: len(seen.links(mark)) == 8)
    assert not listed(seen, begun)
    release.set()
    seen.until(lambda: listed(seen, begun))


def test_a_gpu_whose_process_list_hangs_keeps_no_other_list(sampler, monkeypatch):
    library, seen, made = sampler
    seen.until(lambda: listed(seen))
    monkeypatch.setattr(process_lists, "MAX_AGE_S", 1.0)
    slow = made._session.readers[4].device.uuid
    library.faults["nvmlDeviceGetComputeRunningProcesses_v3"] = Fault(gpu=4, hang=threading.Event())
    mark = len(seen.items)
    seen.until(lambda: any(p.unread == process_lists.OUTDATED for p in listed(seen, mark)))
    uses = {u.gpu for p in listed(seen, mark)[-1:] for process in p.processes for u in process.uses}
    assert len(uses) == 7
    assert slow not in uses


class Hanging:
    """A task that hangs once `hangs` is set, until `release`."""

    def __init__(self) -> None:
        self.hangs, self.entered, self.release = threading.Event(), threading.Event(), threading.Event()
        self.threads: list[str] = []

    def read(self, start_s: float) -> list[Item]:
        self.threads.append(threading.current_thread().name)
        if self.hangs.is_set():
            self.entered.set()
            self.release.wait(PATIENT_S)
        return []


def counting(runs: list[str]) -> Task:
    """Return a task that notes the thread of each of its runs."""

    def read(start_s: float) -> list[Item]:
        runs.append(threading.current_thread().name)
        return []

    return Task("other", read, 0.1)


def test_a_guest_that_hangs_delays_neither_links_nor_other_guests(sampler):
    _, seen, made = sampler
    hanging, runs = Hanging(), list[str]()
    made._tasks.start(task := Task("hanging", hanging.read, 0.1), counting(runs))
    seen.until(lambda: "links" in hanging.threads and "links" in runs)
    hanging.hangs.set()
    assert hanging.entered.wait(PATIENT_S)
    # No GPU is left to the thread of the guest.
    seen.until(lambda: made._fast._count == 2 and len(made._fast._threads) == 1)
    mark, before = len(seen.items), len(runs)
    seen.until(lambda: len(seen.links(mark)) == 8)
    seen.until(lambda: len(runs) > before + 2)
    hanging.hangs.clear()
    hanging.release.set()
    count = len(hanging.threads)
    seen.until(lambda: len(hanging.threads) > count + 5)
    assert set(hanging.threads[count:]) == {"hanging"}, "it stays on a thread of its own"
    assert not task.may_be_guest


def test_a_gpu_that_hangs_does_not_delay_guests(sampler):
    library, seen, made = sampler
    runs = list[str]()
    made._tasks.start(counting(runs))
    seen.until(lambda: "links" in runs)
    library.faults["nvmlDeviceGetFieldValues"] = Fault(gpu=4, hang=threading.Event())
    seen.until(lambda: len(made._fast._threads) == 2)
    count = len(runs)
    seen.until(lambda: len(runs) > count + 5)
    seen.until(lambda: runs[-1] == "links 2")
