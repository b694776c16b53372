"""Time at the limit: the bounds hold, and are close to the true time where possible."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nvltop.analysis.activity import link_usage
from nvltop.analysis.activity.decision import USAGE_VALUES
from nvltop.analysis.activity.link_usage import (
    LONG_BURST,
    MAX_COMMON_SPREAD,
    MAX_STEADY_SPREAD,
    MIN_COMMON_SHARE,
    MIN_STEADY,
    MIN_STEADY_LONG,
    _steady_readings,
    measure_usage,
)
from nvltop.analysis.activity.traffic_series import TOO_MANY_GAPS, PeerTraffic, TrafficSpan
from nvltop.analysis.activity.usage_trace import LimitBounds, UsageSpans, UsageTrace
from nvltop.model import Missing

from .patterns import Drawn, steps

BOUNDS = LimitBounds(0.85, 0.9, 0.0)


def read(flow: Drawn, seconds: float = 60.0, interval: float = 0.25, seed: int = 1, toward=()) -> UsageTrace:
    """Return the trace of traffic that is read with jitter, as a worker does."""
    rng, trace, before = random.Random(seed), UsageTrace(), 0.05
    while before < seconds:
        at = before + interval + rng.uniform(-0.004, 0.004)
        rate = (flow.integral(at) - flow.integral(before)) / (at - before)
        trace.add(TrafficSpan(before, at, rate, 0.5 * rate, toward), 1.0, 0.8, BOUNDS.limit)
        before = at
    return trace


def drawn(period: float, duty: float, rate: float, jitter: float, seed: int) -> Drawn:
    flow = Drawn()
    for t, length, _ in steps(period, 70.0, jitter, seed):
        flow.burst(t, 0.999 * duty * length, rate)
    return flow


@settings(max_examples=60, derandomize=True)
@given(
    period=st.floats(0.1, 15.0), duty=st.floats(0.05, 0.95), rate=st.floats(0.05, 1.05),
    jitter=st.floats(0.0, 0.1), interval=st.sampled_from([0.1, 0.25, 1.0]), seed=st.integers(1, 99),
)  # fmt: skip
def test_the_upper_bound_holds_and_the_lower_one_is_never_far_above_the_truth(
    period, duty, rate, jitter, interval, seed
):
    flow = drawn(period, duty, rate, jitter, seed)
    trace = read(flow, interval=interval, seed=seed)
    found = measure_usage(trace.between(5.0, 55.0), BOUNDS)
    cells = [(a, b, flow.rate((a + b) / 2)) for a, b in ((i / 100, (i + 1) / 100) for i in range(500, 5500))]
    truth = sum(b - a for a, b, r in cells if r >= BOUNDS.limit) / 50.0
    # A reading whose mean is near the limit counts completely, so the error is that of two readings.
    edges = 0.02 + 2 * interval / 50.0 + 0.18 * truth
    assert found.at_limit <= truth + edges
    steady = rate < BOUNDS.limit or period * duty > 4 * interval
    if steady:
        assert found.at_limit_most >= truth - edges
    assert 0.0 <= found.at_ring_limit <= found.at_limit <= found.at_limit_most <= 1.0


@settings(max_examples=40, derandomize=True)
@given(
    period=st.floats(0.3, 15.0), duty=st.floats(0.05, 0.95), rate=st.floats(0.05, 1.05),
    interval=st.sampled_from([0.25, 1.0]), seed=st.integers(1, 99),
)  # fmt: skip
def test_the_level_is_the_volume_over_the_time_with_traffic(period, duty, rate, interval, seed):
    """So the mean follows from what is shown of a job, however long its bursts are in readings."""
    trace = read(drawn(period, duty, rate, 0.02, seed), interval=interval, seed=seed)
    found = measure_usage(trace.between(1.0, 58.0), BOUNDS)
    assert found.busy * found.level == pytest.approx(found.mean, rel=0.06, abs=0.006)
    assert found.level <= 1.02 * rate
    # On a board with switches NCCL max is 1 here.
    assert found.gpu_rate == pytest.approx(found.level, rel=1e-6)
    assert not found.busy or (found.sent, found.balance) == pytest.approx((2 / 3, 0.5), rel=1e-6)


@pytest.mark.parametrize(("rate", "near"), [(0.97, 0.6), (0.87, 0.6), (0.6, 0.0)])
def test_bursts_that_fill_readings_show_their_rate(rate, near):
    found = measure_usage(read(drawn(3.0, 0.6, rate, 0.01, 3)).between(1.0, 58.0), BOUNDS)
    assert found.at_limit == pytest.approx(near, abs=0.03)
    assert found.at_limit_most == pytest.approx(near, abs=0.03)
    assert found.busy == pytest.approx(0.6, abs=0.02)
    assert found.level == pytest.approx(rate, rel=0.01)
    assert (found.at_ring_limit > 0.5) == (rate > 0.9)


def test_bursts_shorter_than_a_reading_are_bounded_on_one_side_only():
    found = measure_usage(read(drawn(0.31, 0.5, 1.0, 0.05, 4)).between(1.0, 58.0), BOUNDS)
    assert found.at_limit < 0.05
    assert found.at_limit_most > 0.4


def test_too_many_gaps_and_nothing_at_all():
    trace = UsageTrace()
    for i in range(40):
        rate = math.nan if i % 2 else 0.5
        trace.add(TrafficSpan(i / 4, (i + 1) / 4, rate, rate), 1.0, 0.8, 0.85)
    assert measure_usage(trace.between(0.0, 10.0), BOUNDS) == TOO_MANY_GAPS
    assert isinstance(measure_usage(trace.between(50.0, 60.0), BOUNDS), Missing)
    quiet = measure_usage(read(Drawn(0.001)).between(1.0, 58.0), BOUNDS)
    assert (quiet.busy, quiet.at_limit, quiet.at_ring_limit) == (0.0, 0.0, 0.0)


def test_the_links_to_one_gpu_are_a_limit_of_their_own():
    """A ring over 4 of 12 links uses a third of the GPU's speed, but all of these links' speed."""
    toward = (PeerTraffic("GPU-1", 0.25, 0.1, 1 / 3), PeerTraffic("GPU-2", 0.0, 0.0, 1 / 3))
    trace = read(Drawn(0.25), toward=toward)
    found = measure_usage(trace.between(1.0, 58.0), BOUNDS)
    assert found.level == pytest.approx(0.25 / (0.8 / 3))
    assert found.at_ring_limit == 1.0
    assert trace.remote == "GPU-1"
    assert measure_usage(read(Drawn(0.25)).between(1.0, 58.0), BOUNDS).at_limit == 0.0


@pytest.mark.parametrize(("period", "duty"), [(4.0, 0.5), (2.3, 0.3), (9.0, 0.8)])
def test_the_seconds_at_the_limit_are_those_of_the_bursts(period, duty):
    trace = read(drawn(period, duty, 0.97, 0.01, 5))
    assert trace.at_limit_s == pytest.approx(60.0 * duty, rel=0.08)


@given(
    st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0.0, 1.0)), min_size=1, max_size=20),
    st.floats(9.0, 20.0),
    st.floats(0.1, 5.0),
)
def test_the_mean_share_is_weighted_by_the_time_in_common(readings, start_s, length_s):
    trace, at_s, end_s, moved, common_s = UsageTrace(), 10.0, start_s + length_s, 0.0, 0.0
    for seconds, share in readings:
        trace.add(TrafficSpan(at_s, at_s + seconds, share, 0.0), 1.0, 1.0, BOUNDS.limit)
        shared_s = max(0.0, min(end_s, at_s + seconds) - max(start_s, at_s))
        moved, common_s, at_s = moved + share * shared_s, common_s + shared_s, at_s + seconds
    assume(abs(common_s - 0.9 * length_s) > 1e-6)
    found = trace.mean_share(start_s, end_s)
    # A span that began before the first one is not known.
    if common_s > 0.9 * length_s and start_s >= 10.0:
        assert found == pytest.approx(moved / common_s, abs=1e-9)
    else:
        assert math.isnan(found)


def test_old_spans_are_dropped():
    trace = read(Drawn(0.5), seconds=400.0)
    assert len(trace.between(0.0, 500.0).seconds) <= 130 * 4 + 64 + 1


def steady_one_by_one(rates, strictness):
    """Return what `_steady_readings` returns, without looking first whether there can be a run."""
    needed = MIN_STEADY
    if len(rates) >= LONG_BURST:
        top = sorted(rates)[-1 - len(rates) // 10]
        alike = [abs(rate - top) <= strictness * MAX_COMMON_SPREAD * top for rate in rates]
        if sum(alike) >= MIN_COMMON_SHARE * len(rates):
            return alike
        needed = MIN_STEADY_LONG
    found = [False] * len(rates)
    begin = 0
    while begin < len(rates):
        end = begin + 1
        while end < len(rates):
            run = rates[begin : end + 1]
            if max(run) - min(run) > strictness * MAX_STEADY_SPREAD * max(run):
                break
            end += 1
        if end - begin >= needed:
            found[begin:end] = [True] * (end - begin)
            begin = end
        else:
            begin += 1
    return found


# Long, short and no steady runs: levels with noise that may be about as large as the spreads.
near_levels = st.lists(
    st.tuples(st.sampled_from([0.3, 0.31, 0.6, 0.9]), st.sampled_from([0.0, 0.01, 0.03, 0.06, 0.3]),
              st.integers(1, 14), st.integers(0, 9999)),
    min_size=1, max_size=10,
)  # fmt: skip
# Runs about as wide as the spread and about as long as needed, between rates that are in no run.
near_limits = st.lists(
    st.tuples(st.floats(0.94, 1.02), st.lists(st.booleans(), min_size=6, max_size=9), st.integers(1, 3)),
    min_size=1, max_size=6,
)  # fmt: skip


def with_noise(parts):
    return [
        level * (1 + random.Random(seed + k).uniform(-noise, noise) / 2)
        for level, noise, count, seed in parts
        for k in range(count)
    ]


@settings(max_examples=200, derandomize=True)
@given(near_levels, near_limits, st.sampled_from([1.0, 0.9, 0.5, 0.25]))
def test_the_look_ahead_finds_every_steady_run(levels, limits, strictness):
    rates = with_noise(levels)
    assert _steady_readings(rates, strictness) == steady_one_by_one(rates, strictness)
    rates = []
    for width, lower, apart in limits:
        low = 0.8 * (1 - width * strictness * MAX_STEADY_SPREAD)
        rates += [*(low if is_low else 0.8 for is_low in lower), *(0.1 * 1.5**k for k in range(apart))]
    assert _steady_readings(rates, strictness) == steady_one_by_one(rates, strictness)


@settings(max_examples=200, derandomize=True)
@given(
    seed=st.integers(0, 9999), count=st.integers(3, 40), highest=st.floats(0.2, 0.9),
    near=st.sampled_from([0.64, 0.75, 0.85]), ends=st.sampled_from([None, 0.1, 0.86]),
)  # fmt: skip
def test_readings_that_show_no_rate_are_added_at_once_as_one_by_one(seed, count, highest, near, ends):
    rng = random.Random(seed)
    shares = [rng.uniform(0.1, highest) for _ in range(count)]
    if ends is not None:
        shares[0] = shares[-1] = ends
    shares = [0.0, *shares, 0.0] * 2
    seconds = [rng.uniform(0.5, 1.5) for _ in shares]
    spans = UsageSpans(100.0, seconds, shares, shares, shares)
    bounds = LimitBounds(near, 0.9, 0.0)
    at_once = measure_usage(spans, bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_usage, "any", lambda steady: True, raising=False)
        one_by_one = measure_usage(spans, bounds)
    if isinstance(one_by_one, Missing):
        assert at_once == one_by_one
    else:
        assert USAGE_VALUES(at_once) == pytest.approx(USAGE_VALUES(one_by_one), rel=1e-9, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0.1, 2.0), st.one_of(st.floats(0, 1), st.just(math.nan)))))
def test_the_lengths_are_those_of_the_spans_that_were_read(spans):
    seconds, shares = [s for s, _ in spans], [w for _, w in spans]
    found = UsageSpans(1.0, seconds, shares, [], [])
    assert list(found.read_s) == [s for s, w in spans if w == w]
