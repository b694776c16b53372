"""Rates of counters that the driver refreshes at intervals, compared with the true traffic."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nvltop.analysis.rate_tracker import RateTracker
from nvltop.analysis.rates import (
    COUNTER_RESET,
    IMPLAUSIBLE_RATE,
    LEARNING_REFRESH,
    NO_SECOND_READING,
    READING_GAP,
    RateSpan,
    max_gap_s,
)
from nvltop.analysis.refresh import ALWAYS_FRESH, LONGEST_REFRESH_S, RefreshEstimator, RefreshPeriod
from nvltop.model import CounterRefresh, Missing, known

SPEED = 26.562e9
"""Bytes/s of an NVLink 4 link in one direction."""
START_S = 1000.0
READ_S = 0.02
"""Time between two readings of the worker's measurement."""
MEASURED_TO_S = 0.004
"""Precision of `Driver.measured`."""


@dataclass(frozen=True)
class Driver:
    """A driver that refreshes its counters every `refresh_s`, late by up to a share of that."""

    refresh_s: float
    jitter: float = 0.0

    def refreshed_s(self, time_s: float) -> float:
        if not self.refresh_s:
            return time_s
        k = math.floor(time_s / self.refresh_s)
        if time_s < (k + self._late(k)) * self.refresh_s:
            k -= 1
        return (k + self._late(k)) * self.refresh_s

    def _late(self, k: int) -> float:
        return math.sin((k + 1) * 12.9898) * 43758.5453 % 1.0 * self.jitter

    def measured(self, now_s: float = START_S) -> CounterRefresh:
        """Return the measured refresh period, which is exact to 4 ms."""
        if self.refresh_s <= READ_S:
            return CounterRefresh(0.0, 0.0, 0.0, True)
        r, j = self.refresh_s, self.jitter
        seen_s = self.refreshed_s(now_s)
        if j:
            return CounterRefresh(r * (1 - j), r, r * (1 + j) + READ_S, False, READ_S)
        return CounterRefresh(r, r, r, True, r / 3000, seen_s - 0.002, seen_s + 0.002)


@dataclass(frozen=True)
class Bursts:
    """A job that moves data for part of each step."""

    step_s: float
    duty: float
    rate: float = 0.8 * SPEED

    def moved(self, time_s: float) -> int:
        # Computed in whole nanoseconds, so that the counter never decreases.
        step_ns, on_ns = round(self.step_s * 1e9), round(self.duty * self.step_s * 1e9)
        steps, rest = divmod(round(time_s * 1e9), step_ns)
        return (steps * on_ns + min(rest, on_ns)) * round(self.rate) // 10**9


@dataclass
class Shown:
    """The readings of a run, and the spans that a tracker returned."""

    spans: list[tuple[float, RateSpan]]
    """Each span with the time of the reading that closed it."""
    counts: list[tuple[float, int]]
    """Time and count of each reading."""

    @property
    def rates(self) -> list[tuple[float, RateSpan, float]]:
        return [(t, span, r) for t, span in self.spans if known(r := span.rates[0])]


def run(
    driver: Driver,
    job: Bursts,
    interval_s: float,
    seconds: float = 30.0,
    learn: bool = True,
    seed: int = 0,
    late: Callable[[random.Random], float] = lambda rng: rng.random() * 0.004,
) -> Shown:
    """Read the counter of a driver at an interval with jitter, and return the spans."""
    rng, tracker, shown = random.Random(seed), RateTracker(), Shown([], [])
    if learn:
        tracker.learn(RefreshPeriod.measured(driver.measured()))
    begin_s = START_S + rng.random()
    for k in range(int(seconds / interval_s)):
        time_s = begin_s + k * interval_s + late(rng)
        if shown.counts and time_s <= shown.counts[-1][0]:
            continue
        if learn and k and k % max(1, int(15 / interval_s)) == 0:
            tracker.learn(RefreshPeriod.measured(driver.measured(time_s)))
        count = job.moved(driver.refreshed_s(time_s))
        shown.counts.append((time_s, count))
        shown.spans += [(time_s, s) for s in tracker.update(time_s, (count,), (), (SPEED,), interval_s)]
    return shown


drivers = st.builds(
    Driver,
    st.sampled_from([0.0, 0.04, 0.1, 0.2, 0.25, 0.3, 0.5, 0.6, 1.0, 2.0]) | st.floats(0.04, 2.0),
    st.sampled_from([0.0, 0.0, 0.1, 0.5]),
)
jobs = st.builds(
    Bursts,
    st.sampled_from([0.3, 0.5, 1.0, 1.2, 2.0, 4.0]) | st.floats(0.2, 20.0),
    st.floats(0.05, 1.0),
    st.floats(0.05, 1.0).map(lambda share: share * SPEED),
)
intervals = st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]) | st.floats(0.1, 2.0)


@st.composite
def intervals_near_refreshes(draw: st.DrawFn) -> tuple[Driver, float]:
    """Return a driver, and an interval at which many readings coincide with its refreshes."""
    driver = draw(drivers.filter(lambda driver: driver.refresh_s >= 0.1))
    refreshes = draw(st.sampled_from([1.0, 1.0, 0.5, 1.5, 2.0]))
    return driver, min(max(driver.refresh_s * refreshes * draw(st.floats(0.98, 1.02)), 0.1), 2.0)


@settings(max_examples=120)
@given(drivers, jobs, intervals, st.integers(0, 99))
@example(Driver(0.5), Bursts(1.2, 0.7), 0.25, 0)
@example(Driver(0.2, 0.5), Bursts(2.0, 0.6, SPEED), 0.25, 3)
def test_no_byte_is_lost_and_none_invented(driver, job, interval_s, seed):
    """At each reading that closes a span, the integral of all rates is what the counter counted."""
    check_integral(run(driver, job, interval_s, seed=seed))


@settings(max_examples=40)
@given(st.sampled_from([0.0, 1.0, 2.0]), jobs, st.sampled_from([0.1, 0.25]), st.integers(0, 99))
@example(1.0, Bursts(2.0, 0.5), 0.25, 0)
def test_no_byte_is_lost_where_the_refresh_was_never_measured(refresh_s, job, interval_s, seed):
    """Recordings of 0.1.0 have no measurement; the driver may be slower than the readings."""
    check_integral(
        run(Driver(refresh_s), replace(job, rate=job.rate / 2), interval_s, learn=False, seed=seed)
    )


def check_integral(shown: Shown) -> None:
    first, total = shown.counts[0][1], 0.0
    closed: dict[float, list[RateSpan]] = {}
    for time_s, span in shown.spans:
        closed.setdefault(time_s, []).append(span)
    for time_s, count in shown.counts[1:]:
        for span in closed.get(time_s, ()):
            assert span.end_s <= time_s + 1e-9
            assert known(span.rates[0])
            total += span.rates[0] * (span.end_s - span.start_s)
        if closed.get(time_s, [])[-1:] and closed[time_s][-1].rates[0]:
            assert total == pytest.approx(count - first, rel=1e-6, abs=1)


@settings(max_examples=120)
@given(drivers, jobs, intervals, st.integers(0, 99))
@example(Driver(0.2), Bursts(3.0, 0.6, SPEED), 0.25, 0)
@example(Driver(0.2, 0.5), Bursts(1e9, 1.0, SPEED), 0.25, 0)
@example(Driver(0.04, 0.5), Bursts(3.0, 0.5, SPEED), 0.1, 1)
def test_no_rate_is_more_than_the_link_carries(driver, job, interval_s, seed):
    shown = run(driver, job, interval_s, seed=seed)
    assert all(rate <= 1.01 * SPEED for _, _, rate in shown.rates)
    assert not any(span.rates[0] == IMPLAUSIBLE_RATE for _, span in shown.spans)


@settings(max_examples=120)
@given(drivers, jobs, intervals, st.integers(0, 99))
@example(Driver(0.5), Bursts(1e9, 1.0), 0.25, 0)
@example(Driver(0.5045340685157099), Bursts(1.2, 0.75, 0.5 * SPEED), 0.5, 57)
def test_a_rate_of_zero_is_true(driver, job, interval_s, seed):
    """In a span with rate 0, no more was moved than the error of its two ends explains."""
    check_zeros(driver, job, interval_s, seed)


@settings(max_examples=120)
@given(intervals_near_refreshes(), jobs, st.integers(0, 99))
@example((Driver(0.1), 0.1), Bursts(6.1747745747686915, 0.6819818110261079, 0.8181695 * SPEED), 85)
@example((Driver(0.25), 0.25), Bursts(1.0, 0.6177854738463211, 0.98942 * SPEED), 50)
@example((Driver(0.25), 0.24814812296866684), Bursts(0.5, 0.4473108865063933, 0.54599 * SPEED), 60)
@example((Driver(0.25), 0.5434838477145871), Bursts(1.0, 0.23866763386299, 0.06638 * SPEED), 5)
@example((Driver(0.5041942754179919), 0.5), Bursts(1.2, 0.2749441030767525, 0.51877 * SPEED), 48)
@example((Driver(0.42846085020844304), 1.371743147954964), Bursts(2.0, 0.17935183, 0.35735 * SPEED), 28)
def test_a_rate_of_zero_is_true_where_readings_coincide_with_refreshes(run_at, job, seed):
    driver, interval_s = run_at
    check_zeros(driver, job, interval_s, seed)


def check_zeros(driver: Driver, job: Bursts, interval_s: float, seed: int) -> None:
    shown = run(driver, job, interval_s, seed=seed)
    # A refresh at the time of a reading may have happened just before or just after it.
    error_s = 0.03 + 0.5 * driver.refresh_s
    for _, span, rate in shown.rates:
        if rate == 0 and span.start_s > START_S + 2 * driver.refresh_s + 1:
            moved = job.moved(span.end_s) - job.moved(span.start_s)
            # The time of an irregular refresh is not known precisely enough for a stricter check.
            assert driver.jitter or moved <= job.rate * min(error_s, span.end_s - span.start_s) + 2
            if driver.refresh_s and job.duty == 1.0:
                pytest.fail("traffic without a pause was shown as 0")


@settings(max_examples=100)
@given(drivers, intervals, st.integers(0, 99), st.floats(0.0, 1.0))
@example(Driver(0.3052421526700982, 0.1), 0.296875, 0, 0.8515625)
@example(Driver(0.2), 0.25, 27, 0.125)
def test_traffic_that_ends_is_zero_after_one_and_a_half_refreshes(driver, interval_s, seed, phase):
    job = Bursts(1e9, 15e-9 + phase * 1e-9 + START_S / 1e9)
    shown = run(driver, job, interval_s, seed=seed)
    end_s = 1e9 * job.duty
    last_s = driver.refreshed_s(end_s + driver.refresh_s * (1 + driver.jitter) + 1e-6)
    most_s = 1.5 * driver.refresh_s + driver.jitter * driver.refresh_s + 2 * interval_s + 0.1
    after = [t for t, _ in shown.counts if 0 <= t - last_s <= 2 * driver.refresh_s + interval_s]
    if driver.refresh_s and any(
        abs(t - driver.refreshed_s(t + MEASURED_TO_S)) <= MEASURED_TO_S for t in after
    ):
        # The next reading shows whether one at the time of a refresh has seen it.
        most_s += interval_s
    zeros = [time_s for time_s, _, rate in shown.rates if rate == 0 and time_s > end_s]
    assert zeros
    assert zeros[0] - last_s <= most_s
    assert all(rate == 0 for time_s, _, rate in shown.rates if time_s > last_s + most_s + interval_s)


@settings(max_examples=100)
@given(drivers, st.sampled_from([0.1, 0.25]), st.integers(0, 99), st.floats(0.1, 1.0))
@example(Driver(0.04), 0.25, 0, 1.0)
def test_no_rate_is_shown_for_long_while_the_counter_changes(driver, interval_s, seed, share):
    shown = run(driver, Bursts(1e9, 1.0, share * SPEED), interval_s, seed=seed)
    times = [time_s for time_s, _, _ in shown.rates]
    most_s = max(0.5, 2 * driver.refresh_s * (1 + driver.jitter)) + interval_s + 0.01
    assert max(b - a for a, b in pairwise(times)) <= most_s


EVENTS = st.sampled_from(["", "", "", "", "", "", "late", "missed", "reset", "lost"])


@settings(max_examples=150)
@given(
    drivers,
    jobs,
    st.sampled_from([0.1, 0.25, 1.0]),
    st.lists(EVENTS, min_size=10, max_size=60),
    st.floats(0, 1e12).map(int),
)
@example(Driver(0.5), Bursts(2.0, 0.6), 0.25, [*[""] * 9, "reset", *[""] * 9], 2 * 10**10)
@example(Driver(0.2), Bursts(0.3, 1.0, SPEED), 0.1, ["", "lost", *[""] * 8], 0)
@example(Driver(2.0), Bursts(9.796875, 0.5, SPEED), 1.0, [*[""] * 9, "late", "reset", "", "reset", ""], 0)
@example(Driver(0.0625, 0.1), Bursts(0.3, 1.0, SPEED), 0.1, [*[""] * 7, "reset", "", "missed"], 0)
def test_wraps_resets_and_lost_readings_cost_only_themselves(driver, job, interval_s, events, to_top):
    """No rate is above the speed or below 0; between resets the integral is what the counter counted."""
    tracker = RateTracker()
    tracker.learn(RefreshPeriod.measured(driver.measured()))
    # The counter of 2**32 KiB wraps after `to_top` more bytes.
    time_s, top = START_S, 2**32 * 1024
    base = job.moved(driver.refreshed_s(time_s)) // 1024 * 1024 + to_top // 1024 * 1024
    total, count_0 = None, 0.0

    for event in events:
        time_s += interval_s * {"late": 1.8, "missed": 3.0}.get(event, 1.0)
        moved = job.moved(driver.refreshed_s(time_s)) // 1024 * 1024
        if event == "reset":
            base, total = moved, None
        count = (moved - base) % top
        value = Missing("GPU is lost") if event == "lost" else count
        for span in tracker.update(time_s, (value,), (), (SPEED,), interval_s):
            (rate,) = span.rates
            assert span.end_s <= time_s + 1e-9
            if isinstance(rate, Missing):
                assert rate != IMPLAUSIBLE_RATE
                total = None
                continue
            assert 0 <= rate <= 1.01 * SPEED
            total = None if total is None else total + rate * (span.end_s - span.start_s)
        if event == "lost" or tracker._base is None or tracker._base.values[0] != count:
            continue
        if total is None:
            total, count_0 = 0.0, moved
        else:
            assert total == pytest.approx(moved - count_0, rel=1e-6, abs=2048)


@pytest.mark.parametrize(
    ("refresh_s", "error"),
    [(0.0, 0.001), (0.04, 0.08), (0.1, 0.06), (0.2, 0.04), (0.25, 0.03), (0.5, 0.03), (1.0, 0.02)],
)
@pytest.mark.parametrize("job", [Bursts(2.0, 0.6), Bursts(1.2, 0.7), Bursts(3.0, 0.35)], ids=str)
def test_rates_of_a_regular_driver_are_those_of_their_time(refresh_s, error, job):
    """Check the mean error of the rates, weighted by volume, at four offsets of the readings."""
    off = total = 0.0
    for seed in range(4):
        shown = run(Driver(refresh_s), job, 0.25, 30.0, seed=seed)
        for _, span, rate in shown.rates[8:]:
            moved = job.moved(span.end_s) - job.moved(span.start_s)
            off += abs(rate * (span.end_s - span.start_s) - moved)
            total += moved
    assert off / total < error


def test_pauses_are_not_taken_for_the_refresh():
    """A step of 1.2 s with traffic for 70 % of it, read every 0.25 s, shows its bursts and pauses."""
    shown = run(Driver(0.0), Bursts(1.2, 0.7), 0.25)
    rates = {round(rate / SPEED, 2) for _, _, rate in shown.rates}
    assert 0.0 in rates
    assert 0.8 in rates
    assert len(shown.rates) == len(shown.counts) - 1


def test_steady_traffic_is_steady_whatever_the_refresh():
    for refresh_s in (0.04, 0.2, 0.25, 0.3, 0.5, 0.6, 1.0, 2.0):
        shown = run(Driver(refresh_s), Bursts(1e9, 1.0), 0.25, 60.0)
        rates = [rate / SPEED for _, _, rate in shown.rates[10:]]
        assert max(rates) < 0.86, refresh_s
        assert min(rates) > 0.74, refresh_s


def test_rates_come_at_once_when_the_refresh_is_learned():
    """A refresh of 0.5 s is known after 1 s; the readings until then are not lost."""
    driver, job, tracker = Driver(0.5), Bursts(1e9, 1.0), RateTracker()
    spans = []
    for k in range(5):
        time_s = START_S + 0.13 + k * 0.25
        spans += tracker.update(time_s, (job.moved(driver.refreshed_s(time_s)),), (), (SPEED,), 0.25)
    assert [span.rates[0] for span in spans] == [LEARNING_REFRESH]
    learned = tracker.learn(RefreshPeriod.measured(driver.measured()))
    assert [span.rates[0] for span in learned] == [pytest.approx(0.8 * SPEED, rel=0.05)] * len(learned)
    assert learned


def test_a_driver_that_keeps_up_may_be_learned_after_many_readings():
    job, tracker, spans = Bursts(1e9, 1.0), RateTracker(), []
    for k in range(5):
        spans += tracker.update(START_S + k / 10, (job.moved(START_S + k / 10),), (), (SPEED,), 0.1)
    spans += tracker.learn(RefreshPeriod.measured(CounterRefresh(0.0, 0.0, 0.0, True)))
    assert [s.rates[0] for s in spans] == [LEARNING_REFRESH, pytest.approx(0.8 * SPEED, rel=1e-6)]
    assert (spans[1].start_s, spans[1].end_s) == (START_S, START_S + 4 / 10), "one span for one reading"


def test_a_counter_that_stands_still_is_zero_even_if_its_refresh_is_not_known():
    tracker = RateTracker()
    shown = [s for k in range(20) for s in tracker.update(START_S + k / 4, (7,), (), (SPEED,), 0.25)]
    assert shown[0].rates == (LEARNING_REFRESH,)
    assert {span.rates[0] for span in shown[1:]} == {0.0}
    assert shown[1].end_s <= START_S + 20 / 4 - LONGEST_REFRESH_S


def test_a_wrong_period_is_given_up_when_readings_refute_it():
    """If a pause of the job was measured as the refresh, the rates still follow the readings."""
    tracker = RateTracker()
    tracker.learn(RefreshPeriod(2.0, 2.0, 2.0, True, 0.01))
    job, shown = Bursts(1e9, 1.0), []
    for k in range(40):
        time_s = START_S + k / 4
        shown += [(time_s, s) for s in tracker.update(time_s, (job.moved(time_s),), (), (SPEED,), 0.25)]
    assert tracker.period == ALWAYS_FRESH
    assert [s.rates[0] for t, s in shown if t > START_S + 4] == pytest.approx([0.8 * SPEED] * 23, rel=0.02)


def test_gap_reset_and_loss_have_their_reasons_with_a_slow_driver():
    tracker = RateTracker()
    tracker.learn(RefreshPeriod.measured(Driver(0.5).measured()))

    def feed(time_s: float, value: int | Missing) -> list[object]:
        return [s.rates[0] for s in tracker.update(START_S + time_s, (value,), (), (SPEED,), 0.25)]

    assert feed(0.0, 0) == [NO_SECOND_READING]
    assert feed(max_gap_s(0.25) + 0.1, 10**12) == [READING_GAP]
    assert feed(max_gap_s(0.25) + 0.6, 10**12 + 10**9)[0] == pytest.approx(2e9, rel=0.3)
    assert feed(max_gap_s(0.25) + 1.1, 5) == [COUNTER_RESET]
    assert feed(max_gap_s(0.25) + 1.6, Missing("GPU is lost")) == [Missing("GPU is lost")]


def test_an_interval_of_a_minute_needs_two_readings_with_new_values():
    estimator = RefreshEstimator()
    assert estimator.period(60.0) is None
    estimator.add(0.0, True)
    assert estimator.period(60.0) is None
    estimator.add(60.0, True)
    assert estimator.period(60.0) == ALWAYS_FRESH
