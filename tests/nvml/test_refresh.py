"""The measurement finds the driver's refresh period, whatever the job does."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from nvltop.model import CounterRefresh
from nvltop.nvml.refresh import MAX_INTERVAL_S, MIN_INTERVAL_S, RefreshMeasurement, refine


def measure(refreshed, moves, call_s: float = 0.0002, seed: int = 0) -> RefreshMeasurement:
    """Measure for five seconds; `refreshed` returns the last refresh, `moves` the counter at that time."""
    rng, made, t = random.Random(seed), RefreshMeasurement(), 1000.0 + random.Random(seed).random()
    begun_s = t
    while not made.done and t - begun_s < 5.0:
        made.add(t, t + call_s, moves(refreshed(t + call_s / 2)))
        t += max(made.interval_s, 4 * call_s) + rng.random() * 0.001
    return made


def always(t: float) -> float:
    return t


def regular(period_s: float):
    return lambda t: math.floor(t / period_s) * period_s


def irregular(period_s: float, jitter: float):
    def refreshed(t: float) -> float:
        k = math.floor(t / period_s)
        late = [math.sin((n + 1) * 12.9898) * 43758.5453 % 1.0 * jitter for n in (k, k - 1)]
        return (k + late[0]) * period_s if t >= (k + late[0]) * period_s else (k - 1 + late[1]) * period_s

    return refreshed


def bursts(step_s: float, duty: float):
    def moves(t: float) -> float:
        steps, rest = divmod(t, step_s)
        return round((steps * duty + min(rest / step_s, duty)) * 1e12)

    return moves


def test_counters_that_are_always_up_to_date_take_five_calls():
    made = measure(always, always)
    assert made.result == CounterRefresh(0.0, 0.0, 0.0, True, calls=5)
    assert made.done


def test_idle_counters_give_no_result():
    made = measure(always, lambda _: 7)
    assert made.result is None
    assert not made.any_refresh
    assert made.calls <= 5.0 / MAX_INTERVAL_S + 1


@settings(max_examples=60)
@given(st.floats(0.04, 1.0), st.integers(0, 99))
@example(0.04, 0)
@example(0.5, 1)
def test_a_regular_refresh_is_found(period_s, seed):
    result = measure(regular(period_s), always, seed=seed).result
    assert result is not None
    assert result.typical_s == pytest.approx(period_s, abs=max(result.error_s, 1e-9))
    assert result.error_s < 0.1 * period_s or not result.regular
    # A wait may appear longer by one reading at each end and then counts as irregular, which is less precise.
    assert result.regular or result.longest_s - result.shortest_s < 3 * result.error_s


@settings(max_examples=60)
@given(st.sampled_from([0.04, 0.1, 0.25, 0.5]), st.floats(0.5, 4.0), st.floats(0.3, 0.95), st.integers(0, 99))
@example(0.1, 1.2, 0.7, 0)
def test_pauses_of_the_job_do_not_count_as_refreshes(period_s, step_s, duty, seed):
    """Unless bursts are shorter than the period, the shortest wait is the period."""
    assume(step_s * duty > 3 * period_s)
    result = measure(regular(period_s), bursts(step_s, duty), seed=seed).result
    assert result is not None
    assert result.typical_s < 1.3 * period_s
    assert result.shortest_s == pytest.approx(period_s, abs=0.03)


@pytest.mark.parametrize("step_s", [0.3, 1.2, 2.0, 5.0])
def test_counters_are_found_up_to_date_with_any_job(step_s):
    for seed in range(20):
        result = measure(always, bursts(step_s, 0.6), seed=seed).result
        assert result is None or result.longest_s == 0.0, (step_s, seed, result)


@pytest.mark.parametrize("period_s", [0.2, 0.5])
@pytest.mark.parametrize("jitter", [0.3, 0.5])
def test_an_irregular_refresh_is_nearly_always_recognized(period_s, jitter):
    """Eight refreshes may look regular by chance; readings refute that later (`RefreshPredictor`)."""
    results = [measure(irregular(period_s, jitter), always, seed=seed).result for seed in range(40)]
    assert sum(result.regular for result in results) <= 2
    assert all(0.7 * period_s <= result.typical_s <= 1.3 * period_s for result in results)


def test_a_later_refresh_makes_the_period_more_precise():
    first = measure(regular(0.5), always).result
    assert first is not None
    assert first.regular
    seen_s = math.floor(first.until_s / 0.5) * 0.5 + 16 * 0.5
    better = refine(first, first, seen_s - MIN_INTERVAL_S / 2, seen_s + MIN_INTERVAL_S / 2)
    assert better.error_s < first.error_s / 3
    assert better.typical_s == pytest.approx(0.5, abs=better.error_s)
