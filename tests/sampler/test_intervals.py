"""The polling interval after calls that hang, on a clock that the test moves: no thread, no waiting."""

from __future__ import annotations

import threading
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvltop.analysis.rates import max_gap_s
from nvltop.model import Cost, GpuInterval, Reading, Tick, known
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.simulated import Fault
from nvltop.nvml.simulated.nics import SimulatedNics
from nvltop.sampler import cost, poll_threads, sampler, sweep_plan
from nvltop.sampler.nic_monitor import NicMonitor
from nvltop.sampler.poll_threads import PollThread
from nvltop.sampler.protocol import WorkerConfig, deadline_s
from nvltop.sampler.sampler import Sampler
from nvltop.sampler.schedule import MAX_SWEEP_SHARE, AdaptiveInterval, RequestedInterval
from nvltop.sampler.task_threads import TaskThreads

HUNG = "nvmlDeviceGetFieldValues"


class Stop(threading.Event):
    """An event whose waits take the test's time, in which the cost of reading is sent."""

    def __init__(self, clock, end_s: float, send_cost) -> None:
        super().__init__()
        self._clock, self._end_s, self._send_cost = clock, end_s, send_cost

    def is_set(self) -> bool:
        return self._clock.now >= self._end_s

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._send_cost()
        self._clock.now += timeout
        return self.is_set()


class Hangs(threading.Event):
    """Calls that begin in a span of time return at its end; others take `call_s`."""

    def __init__(self, clock, spans, call_s: float = 0.0) -> None:
        super().__init__()
        self._clock, self._spans, self._call_s = clock, spans, call_s

    def wait(self, timeout: float | None = None) -> bool:
        now = self._clock.now
        self._clock.now = max(
            [now + self._call_s, *(end for start, end in self._spans if start <= now < end)]
        )
        return True


@pytest.fixture
def read(bench, monkeypatch):
    """Return a function that reads GPU 1 as its thread would, and gives the frames of each sweep."""

    def run(interval_s: float, seconds: float, *spans: tuple[float, float], call_s: float = 0.0):
        b = bench("h100-two")
        begun = b.clock.now
        dated = SimpleNamespace(monotonic=b.clock, time=b.clock, process_time=lambda: 0.0)
        for module in (sampler, poll_threads, cost):
            monkeypatch.setattr(module, "time", dated)
        shifted = [(begun + start, begun + end) for start, end in spans]
        b.library.faults[HUNG] = Fault(gpu=1, hang=Hangs(b.clock, shifted, call_s))
        frames = []
        own: Sampler

        def send(*items) -> None:
            for item in items:
                b.monitor.update(item)
            b.monitor.update(Tick(b.clock.now, b.clock.now, interval_s))
            frames.append((b.clock.now - begun, b.monitor.frame().gpus[1]))

        def send_cost() -> None:
            for reading in own._cost.read(b.clock.now):
                b.monitor.update(reading)

        stop = Stop(b.clock, begun + seconds, send_cost)
        nics = NicMonitor(SimulatedNics(b.library), send)
        job = WorkerConfig(0, 0, interval_s)
        tasks, requested = TaskThreads(send, stop), RequestedInterval(interval_s)
        own = Sampler(job, b.session, CallTracker(), send, stop, requested, nics, tasks)
        thread = PollThread([b.readers[1].device.uuid])
        own._fast._threads = [thread]
        own.read_fast(thread)
        del b.library.faults[HUNG]
        return b, frames, own

    return run


def bounds(b, span, late_s: float) -> tuple[float, float]:
    """Return what a link's TX can have moved in a span (bytes/s) if each count is up to `late_s` late."""
    (start_s, end_s), counts = span, []
    for at_s in (start_s, start_s + late_s, end_s, end_s + late_s):
        b.clock.now = at_s
        counts.append(b.readers[1].read_counters()[-1].data.tx_bytes[0])
    seconds = end_s - start_s
    return (counts[2] - counts[1] - 1024) / seconds, (counts[3] - counts[0] + 1024) / seconds


def test_a_gpu_that_hung_for_15_s_shows_rates_within_two_intervals(read):
    _, frames, sampler = read(0.25, 40.0, (10.0, 25.0))
    shown = [at_s for at_s, gpu in frames if known(gpu.nvlink.tx_bytes_per_s)]
    assert min(s for s in shown if s >= 25.0) <= 25.0 + 2 * 0.25 + 1e-6
    after = [at_s for at_s, _ in frames if at_s >= 25.0]
    assert max(b - a for a, b in pairwise(after)) <= 0.25 + 1e-6, "the normal rate"
    assert sampler._cost.intervals.popitem()[1].interval_s == 0.25


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([0.1, 0.25, 1.0]),
    st.floats(2.0, 3.0),
    st.floats(0.0, 20.0),
    st.sampled_from([0.0, 0.001, 0.02]),
)
def test_after_any_hang_rates_come_back_in_time_and_none_is_wrong(read, interval_s, start_s, hang_s, call_s):
    end_s = start_s + hang_s
    b, frames, _ = read(interval_s, end_s + 4 * interval_s, (start_s, end_s), call_s=call_s)
    begun_s = b.clock.now - frames[-1][0]
    back = [at_s for at_s, g in frames if at_s >= end_s and known(g.nvlink.tx_bytes_per_s)]
    # A sweep makes up to as many calls as the first one, and those after a hang delay the second counts.
    sweep_s = frames[0][0]
    assert min(back) <= end_s + 2 * interval_s + sweep_s + 1e-6
    for at_s, gpu in frames:
        rate = gpu.links[0].tx_bytes_per_s
        if at_s >= start_s and gpu.span_s and known(rate):
            hiccup = gpu.span_s[0] - begun_s < end_s
            low, high = bounds(
                b, gpu.span_s, call_s + (sweep_plan.SLOW_CALL_SHARE * interval_s if hiccup else 0.0)
            )
            # NVML's own times are whole microseconds.
            assert 0.9999 * low <= rate <= 1.0001 * high


def test_a_driver_that_is_always_slow_is_read_less_often_and_shows_rates(read):
    _, frames, sampler = read(0.25, 150.0, call_s=2.0)
    interval = sampler._cost.intervals.popitem()[1]
    assert interval.interval_s == pytest.approx(2.0 / MAX_SWEEP_SHARE, rel=0.1)
    assert max_gap_s(interval.interval_s) > interval.interval_s
    late = [gpu for at_s, gpu in frames if at_s > 75.0]
    assert len(late) >= 3
    assert all(known(gpu.nvlink.tx_bytes_per_s) and not gpu.stale for gpu in late)


@given(st.floats(0.1, 10.0), st.lists(st.floats(0.0, 60.0), max_size=20))
def test_one_sweep_never_changes_the_pace_and_none_counts_for_more_than_a_stuck_call(asked_s, slow):
    interval = AdaptiveInterval(RequestedInterval(asked_s))
    for sweep_s in slow:
        interval.add(sweep_s)
        interval.add(0.0)
        interval.add(0.0)
    assert interval.interval_s == asked_s, "each stood alone"
    for sweep_s in slow:
        interval.add(sweep_s)
        assert interval.interval_s <= max(asked_s, deadline_s(asked_s) / MAX_SWEEP_SHARE)


def test_sweeps_that_are_slow_every_other_time_count_by_half():
    interval = AdaptiveInterval(RequestedInterval(0.25))
    for _ in range(40):
        interval.add(0.4)
        interval.add(0.0)
    assert interval.sweep_s == pytest.approx(0.2, rel=0.25)


def test_each_gpu_has_the_interval_of_its_own_thread(bench):
    """The gap rule and the age from which a GPU is stale go by the thread that reads the GPU."""
    b = bench("dgx-h100")
    b.poll()
    b.monitor.update(
        Reading(None, 0.0, 0.0, 0.0, Cost(interval_s=0.25, other_intervals=(GpuInterval(4, 4.0),)))
    )
    b.clock.now += 8.0
    for _ in range(2):
        frame = b.poll()
        rates = [known(g.nvlink.tx_bytes_per_s) for g in frame.gpus]
        b.clock.now += 8.0
    assert [i for i, shown in enumerate(rates) if shown] == [4]
    assert [g.gpu.index for g in b.frame().gpus if not g.stale] == [4]


def test_the_cost_is_that_of_most_gpus_and_names_the_others(bench):
    b = bench("dgx-h100")
    made = Sampler(
        WorkerConfig(0, 0, 0.25),
        b.session,
        CallTracker(),
        print,
        threading.Event(),
        RequestedInterval(0.25),
        NicMonitor(SimulatedNics(b.library), print),
        TaskThreads(print, threading.Event()),
    )
    uuids = [r.device.uuid for r in b.readers]
    slow, most = PollThread(uuids[4:5]), PollThread(uuids[:4] + uuids[5:])
    for order in ([slow, most], [most, slow]):
        made._fast._threads = order
        for thread, sweep_s in ((slow, 0.5), (most, 0.002)):
            made._cost.intervals[thread] = AdaptiveInterval(RequestedInterval(0.25))
            for _ in range(40):
                made._cost.intervals[thread].add(sweep_s)
        read = made._cost.read(1.0)[0].data
        assert read.interval_s == 0.25
        assert read.sweep_s == pytest.approx(0.002)
        assert [o.gpu for o in read.other_intervals] == [4]
        assert read.interval_of(4) == pytest.approx(2.0, rel=0.01)
        assert read.interval_of(5) == 0.25
