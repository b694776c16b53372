"""Rates of counters: the integral of the rates is what the counter counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.analysis.rate_tracker import RateTracker
from nvltop.analysis.rates import (
    COUNTER_RESET,
    IMPLAUSIBLE_RATE,
    MAX_PLAUSIBLE_SHARE,
    NO_SECOND_READING,
    READING_GAP,
    TIMING_SLACK_S,
    CounterSample,
    bytes_moved,
    elapsed_by_counter,
    elapsed_s,
)
from nvltop.analysis.refresh import ALWAYS_FRESH
from nvltop.model import Missing, known

SPEED = 26.562e9
KIB = 1024


def always_fresh() -> RateTracker:
    """Return a tracker for counters with fresh values at every reading."""
    tracker = RateTracker()
    tracker.learn(ALWAYS_FRESH)
    return tracker


def feed(tracker: RateTracker, time_s: float, *values, interval_s: float = 0.25):
    """Add a reading, and return the span that it closes."""
    (span,) = tracker.update(time_s, values, (), [SPEED] * len(values), interval_s)
    return span


def test_first_reading_is_a_baseline():
    span = feed(always_fresh(), 10.0, 5_000_000)
    assert span.rates == (NO_SECOND_READING,)


def test_rate_is_the_difference_over_the_time_between():
    tracker = always_fresh()
    feed(tracker, 10.0, 10**12)
    assert feed(tracker, 10.25, 10**12 + 10**9).rates == (4e9,)


def test_gap_gives_a_new_baseline_not_a_mean():
    tracker = always_fresh()
    feed(tracker, 10.0, 0)
    assert feed(tracker, 15.5, 10**10).rates == (READING_GAP,)
    assert feed(tracker, 15.75, 10**10 + 10**9).rates == (4e9,)


def test_late_poll_within_the_gap_is_a_longer_span():
    tracker = always_fresh()
    feed(tracker, 10.0, 0)
    assert feed(tracker, 14.0, 4 * 10**9).rates == (1e9,)


def test_reset_is_neither_negative_nor_a_spike():
    tracker = always_fresh()
    feed(tracker, 10.0, 10**12)
    assert feed(tracker, 10.25, 10**9).rates == (COUNTER_RESET,)
    assert feed(tracker, 10.5, 2 * 10**9).rates == (4e9,)


@pytest.mark.parametrize("bits", [32, 33, 40, 48, 63])
def test_wrap_is_followed(bits):
    tracker = always_fresh()
    top = KIB << bits
    feed(tracker, 10.0, top - 10**8 // KIB * KIB)
    rate = feed(tracker, 10.25, 9 * 10**8 // KIB * KIB).rates[0]
    assert rate == pytest.approx(4e9, rel=1e-4)


def test_wrap_that_the_link_could_not_have_made_is_a_reset():
    assert bytes_moved(KIB << 31, 0, KIB, 10**10) == COUNTER_RESET


@given(
    st.lists(st.integers(32, 48), min_size=1, max_size=6),
    st.integers(1, 9 * 10**5),
    st.integers(0, 10**5),
    st.booleans(),
)
def test_counters_that_are_reset_together_do_not_wrap(bits, short_kib, after_kib, with_reset):
    """A counter that is just below a power of two when its GPU is reset looks like one that wraps."""
    tracker = always_fresh()
    before = [(KIB << n) - short_kib * KIB for n in bits]
    after = [after_kib * KIB] * len(bits)
    if with_reset:
        before, after = [*before, 3 << 45], [*after, 0]
    feed(tracker, 10.0, *before)
    rates = feed(tracker, 10.25, *after).rates
    moved = (short_kib + after_kib) * KIB / 0.25
    assert rates == tuple([COUNTER_RESET if with_reset else pytest.approx(moved)] * len(after))


def test_more_than_the_link_carries_is_implausible():
    tracker = always_fresh()
    feed(tracker, 10.0, 0)
    span = feed(tracker, 11.0, int(2 * SPEED), interval_s=1.0)
    assert span.rates == (IMPLAUSIBLE_RATE,)
    assert span.implausible[0] == pytest.approx(2 * SPEED)


def test_unread_counter_has_its_reason_and_the_others_their_rates():
    tracker = always_fresh()
    feed(tracker, 10.0, 0, 0)
    span = feed(tracker, 10.25, Missing("no permission"), 10**9)
    assert span.rates == (Missing("no permission"), 4e9)
    assert feed(tracker, 10.5, 10**9, 2 * 10**9).rates == (NO_SECOND_READING, 4e9)


def test_nvml_time_is_used_only_if_it_agrees():
    assert elapsed_s(0.25, 0.26e6) == 0.26
    assert elapsed_s(0.25, 0.35e6) == 0.25, "a step of the clock does not count as elapsed time"
    assert elapsed_s(10.0, 10.4e6) == 10.4
    assert elapsed_s(0.25, 0.0) == 0.25


EVENTS = st.sampled_from(["poll"] * 12 + ["reset", "wrap", "late", "gap", "down", "still"])


@settings(max_examples=300)
@given(
    st.lists(st.tuples(EVENTS, st.floats(0.05, 0.6), st.floats(0, 1)), min_size=2, max_size=60),
    st.integers(0, 2**44),
    st.booleans(),
)
def test_the_integral_of_the_rates_is_what_the_counter_counted(steps, start, stamped):
    """No rate is negative or above the speed of the link, and no byte is invented."""
    tracker = always_fresh()
    t, value = 1000.0, start * KIB
    known_values: dict[float, int | None] = {}

    def poll(v):
        stamps = (int(t * 1e6),) if stamped else ()
        known_values[t] = v
        return tracker.update(t, [Missing("link is down") if v is None else v], stamps, [SPEED], 0.25)

    poll(value)
    for event, dt, load in steps:
        t += {"late": 2.0, "gap": 9.0}.get(event, 0.0) + dt
        seconds = dt + {"late": 2.0, "gap": 9.0}.get(event, 0.0)
        step = 0 if event == "still" else int(load * SPEED * seconds) // KIB * KIB
        value += step
        if event == "reset":
            value = int(load * 1e6) // KIB * KIB
        (span,) = poll(None if event == "down" else value)
        rate = span.rates[0]
        if known(rate):
            assert rate >= 0
            seconds = span.end_s - span.start_s
            assert rate * seconds <= SPEED * MAX_PLAUSIBLE_SHARE * (seconds + TIMING_SLACK_S) * 1.001
            before, after = known_values[span.start_s], known_values[span.end_s]
            assert before is not None
            assert after is not None
            if after >= before and event != "reset":
                # NVML's time stamps are in whole µs.
                assert rate * seconds == pytest.approx(after - before, rel=5e-5, abs=1)
        elif event in ("poll", "late", "still"):
            assert isinstance(rate, Missing)


counts = st.lists(
    st.tuples(st.integers(0, 2**50), st.integers(-(2**33), 2**34), st.integers(-90_000, 90_000)),
    min_size=1,
    max_size=6,
)


@given(counts, st.sampled_from([1e9, 50e9, float("inf")]), st.booleans())
def test_the_rate_of_a_counter_does_not_depend_on_other_counters(each, limit, stamped):
    """A counter that cannot be read does not change the rates of the others."""

    def rates(count: int, beside: tuple) -> tuple:
        tracker = always_fresh()
        chosen = each[:count]
        befores = (*(before for before, _, _ in chosen), *beside)
        afters = (*(max(0, before + step) for before, step, _ in chosen), *beside)
        stamps = [1_790_000_000_000_000] * len(befores) if stamped else []
        later = [s + 250_000 + (each[i][2] if i < count else 0) for i, s in enumerate(stamps)]
        tracker.update(0.0, befores, stamps, [limit] * len(befores), 0.25)
        (span,) = tracker.update(0.25, afters, later, [limit] * len(afters), 0.25)
        return span.rates[:count], span.implausible

    assert rates(len(each), ()) == rates(len(each), (Missing("no answer"),))


@given(
    st.lists(st.tuples(st.integers(0, 1 << 51), st.integers(-200_000, 200_000)), min_size=2, max_size=6),
    st.floats(0.01, 4.0),
)
def test_the_least_time_is_the_lowest_of_all(stamps, span_s):
    """NVML's time stamps of each counter may agree with our own time or not."""
    before = tuple(stamp for stamp, _ in stamps)
    after = tuple(stamp + round(span_s * 1e6) + late for stamp, late in stamps)
    base, sample = (
        CounterSample(at_s, (0,) * len(stamps), us) for at_s, us in ((100.0, before), (100.0 + span_s, after))
    )
    seconds, least_s = elapsed_by_counter(base, sample)
    assert len(seconds) == len(stamps)
    assert least_s == min(seconds)
