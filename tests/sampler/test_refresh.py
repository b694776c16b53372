"""The thread that measures the driver's refresh, on the simulated library and a clock that tests move."""

from __future__ import annotations

import threading
import time

import pytest

from nvltop.model import CounterRefresh
from nvltop.nvml.simulated import Fault
from nvltop.sampler.refresh import MAX_MEASUREMENT_S, RefreshProbe


class Ticking(threading.Event):
    """An event whose waits take the test's time, until a number of seconds has passed."""

    def __init__(self, clock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._end_s = clock.now + seconds

    def is_set(self) -> bool:
        return self._clock.now >= self._end_s

    def set(self) -> None:
        """Take note of traffic: none comes here but what was there."""

    def clear(self) -> None:
        """Forget it."""

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now = self._end_s if timeout is None else min(self._clock.now + timeout, self._end_s)
        return self.is_set()


@pytest.fixture
def probe(bench, monkeypatch):
    """Return a function that runs the probe on a node for some seconds; gives what it sent, and the calls."""

    def run(seconds: float, scenario: str = "training", refresh_s: float = 0.0, prepare=None):
        b = bench("dgx-h100", scenario)
        b.library.machine.refresh_s = refresh_s
        for reader in b.readers:
            reader.read_states()
            reader.read_counters()
        if prepare:
            prepare(b)
        monkeypatch.setattr(time, "monotonic", b.clock)
        sent: list[CounterRefresh] = []
        ticking = Ticking(b.clock, seconds)
        made = RefreshProbe(lambda: b.readers, lambda *items: sent.extend(i.data for i in items), ticking)
        made._traffic = ticking
        before = b.library.calls["nvmlDeviceGetFieldValues"]
        made.run()
        return sent, b.library.calls["nvmlDeviceGetFieldValues"] - before

    return run


def test_a_current_driver_costs_five_calls_in_ten_minutes(probe):
    sent, calls = probe(590.0)
    assert sent == [CounterRefresh(0.0, 0.0, 0.0, True, calls=5)]
    assert calls == 5


def test_a_slow_driver_is_known_after_two_refreshes_and_exact_after_a_minute(probe):
    sent, calls = probe(60.0, refresh_s=0.5)
    assert sent[0].typical_s == pytest.approx(0.5, abs=0.03)
    assert sent[-1].regular
    assert sent[-1].error_s < 0.001
    assert sent[-1].typical_s == pytest.approx(0.5, abs=sent[-1].error_s)
    assert calls < 300


def test_the_first_result_comes_within_two_refreshes(probe):
    sent, _ = probe(1.05, refresh_s=0.5)
    assert sent
    assert not sent[0].regular, "two refreshes do not prove regularity"


def test_an_idle_node_is_left_alone_after_five_seconds(probe):
    sent, calls = probe(3600.0, "idle")
    assert sent == []
    assert calls <= MAX_MEASUREMENT_S / 0.02 + 2


def test_a_gpu_that_fails_meanwhile_costs_no_more_than_its_time(probe):
    sent, calls = probe(
        MAX_MEASUREMENT_S, prepare=lambda b: b.library.faults.update({"nvmlDeviceGetFieldValues": Fault(15)})
    )
    assert sent == []
    assert calls <= MAX_MEASUREMENT_S / 0.02 + 2
