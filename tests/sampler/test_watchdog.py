"""The watchdog sleeps while a poll thread is in time, and finds what blocks one."""

from __future__ import annotations

import select
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.sampler.poll_threads import SPLIT_AFTER_S
from nvltop.sampler.protocol import HEARTBEAT_LATE_S
from nvltop.sampler.schedule import RequestedInterval
from nvltop.sampler.watchdog import Timer, Watchdog

FOUND_WITHIN_S = 1.4
"""Delay that docs/cost.md names."""


class SimulatedTimer:
    """Records when the timer would expire."""

    def __init__(self) -> None:
        self.now = 0.0
        self.restarts: list[tuple[float, float, float]] = []

    def restart(self, first_s: float, every_s: float) -> None:
        self.restarts.append((self.now, first_s, every_s))

    def expirations(self, until_s: float) -> list[float]:
        found = []
        ends = [began for began, _, _ in self.restarts[1:]] + [until_s]
        for (began, first_s, every_s), end in zip(self.restarts, ends, strict=True):
            at = began + first_s
            while at < end:
                found.append(at)
                at += every_s
        return found


def visited(interval_s: float, seconds: float) -> tuple[SimulatedTimer, list[float], float]:
    """Return the timer of a watchdog that is visited at an interval, its checks, and the last visit."""
    timer: Any = SimulatedTimer()
    checks: list[float] = []
    watchdog = Watchdog(
        lambda: None, checks.append, lambda: None, RequestedInterval(interval_s), threading.Event()
    )
    watchdog._timer.close()
    watchdog._timer = timer
    while timer.now < seconds:
        watchdog.visit(timer.now)
        timer.now += interval_s
    return timer, checks, timer.now - interval_s


@given(st.floats(0.1, 1.0))
def test_the_watchdog_sleeps_while_a_poll_thread_is_in_time(interval_s):
    timer, checks, last_s = visited(interval_s, 20.0)
    assert not timer.expirations(last_s)
    assert all(b - a <= 1.0 + 1e-6 for a, b in pairwise(checks))


@given(st.floats(0.1, 30.0), st.floats(0.0, 1.0))
def test_what_blocks_a_poll_thread_is_found_in_time(interval_s, late):
    timer, _, last_s = visited(interval_s, 60.0)
    # The next sweep begins, and one of its calls never returns.
    blocked_s = last_s + interval_s + 0.2 * late
    found = [s for s in timer.expirations(blocked_s + 5.0) if s > blocked_s + SPLIT_AFTER_S]
    assert found[0] - blocked_s <= FOUND_WITHIN_S + 0.05 + 1e-6


@given(st.floats(0.1, 30.0))
def test_heartbeats_are_never_late(interval_s):
    timer, checks, _ = visited(interval_s, 60.0)
    beats = sorted(checks + timer.expirations(65.0))
    assert max(b - a for a, b in pairwise(beats)) < HEARTBEAT_LATE_S / 2


@pytest.fixture
def timer():
    made = Timer()
    yield made
    made.close()


def test_a_timer_expires(timer):
    timer.restart(0.001, 0.001)
    timer.wait(60.0)
    timer.wait(60.0)


def test_a_timer_that_was_restarted_expires_later(timer):
    timer.restart(0.001, 0.001)
    timer.wait(60.0)
    timer.restart(60.0, 60.0)
    assert not select.select([timer._fd], [], [], 0)[0]


def test_without_timers_of_the_kernel_the_watchdog_checks_at_its_interval(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    stop, beats = threading.Event(), []

    def heartbeat() -> None:
        beats.append(1)
        if len(beats) == 3:
            stop.set()

    monkeypatch.setattr("nvltop.sampler.watchdog.time.sleep", lambda s: None)
    Watchdog(heartbeat, lambda now: None, lambda: None, RequestedInterval(0.25), stop).run()
    assert len(beats) == 3
