"""The buckets hold true means, and reading them does not change them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.rate_history import RateHistory, SeriesBlock, SeriesKey, _Buckets
from nvltop.model import LinkSpan

SPANS_S = (60, 300, 3600, 24 * 3600)


def shown_values(history: RateHistory, key: SeriesKey) -> list[str]:
    """Return all values of a series as text, because NaN is not equal to itself."""
    return [
        repr(history.second_means(key, history.bucket, 300)),
        *(repr(history.sum_over([key], s)) for s in SPANS_S),
    ]


def test_reading_changes_nothing(bench):
    frame = bench("rtx3090-pair").run(2)
    gpu = frame.gpus[0]
    key: SeriesKey = (gpu.gpu.uuid, None, "tx")

    @given(
        st.lists(st.tuples(st.floats(0.1, 20), st.booleans()), min_size=1, max_size=60),
        st.floats(0, 0.09),
        st.floats(0, 1e12),
    )
    def law(polls: list[tuple[float, bool]], lag_s: float, rate: float) -> None:
        unseen, seen = RateHistory(), RateHistory()
        start = now = 1000.0
        for seconds, look in polls:
            now += seconds
            end = now - lag_s
            moved = replace(gpu, spans=(LinkSpan(start, end, rate, rate, ()),), links=())
            polled = replace(frame, gpus=(moved,), tick=replace(frame.tick, mono_s=now))
            for history in (unseen, seen):
                history.add(polled)
            if look:
                shown_values(seen, key)
            start = end
        assert shown_values(seen, key) == shown_values(unseen, key)

    law()


def test_coarse_buckets_contain_every_second_that_the_screen_shows(bench):
    # The screen draws the newest values just after the second has changed, when readings are older.
    frame = bench("rtx3090-pair").run(2)
    gpu = frame.gpus[0]
    key: SeriesKey = (gpu.gpu.uuid, None, "tx")
    history = RateHistory()
    for quarter in range(1, 4 * 1805):
        end = 6000 + quarter / 4 - 0.01
        rate = float(int(end) % 15)
        moved = replace(gpu, spans=(LinkSpan(end - 0.25, end, rate, rate, ()),), links=())
        history.add(replace(frame, gpus=(moved,), tick=replace(frame.tick, mono_s=end + 0.01)))
        history.second_means(key, history.bucket, 60)
    for span_s, step_s in ((3600, 15), (24 * 3600, 300)):
        step, means = history.sum_over([key], span_s)
        assert step == step_s
        assert means[-5:] == pytest.approx([7.0] * 5, abs=0.01)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 1.5, math.nan])), max_size=40),
    st.integers(-3, 3),
    st.integers(1, 12),
)
def test_means_up_to_are_the_means_of_each_bucket(steps, newest, count):
    ring, bucket = _Buckets(1, 8, 2), 5
    stored: dict[int, float] = {}
    for step, value in steps:
        bucket += step
        ring.store(bucket, [value, 2 * value])
        stored[bucket] = value
    newest += bucket
    for column in range(2):
        means = [
            stored.get(b, math.nan) * (column + 1) if bucket - b < 8 else math.nan
            for b in range(newest - count + 1, newest + 1)
        ]
        assert repr(ring.means_up_to(column, newest, count)) == repr(means)


def spans(longest_s: float, count: int):
    """Return a strategy of consecutive spans: the unread time before each, its length, and its rate."""
    rates = st.just(math.nan) | st.floats(0, 1e12)
    return st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 0.7, 400.0]), st.floats(0.05, longest_s), rates),
        min_size=1,
        max_size=count,
    )


@given(
    st.sampled_from([(0, 1, 3, 12), (1, 15, 20, 12), (2, 300, 120, 12)]).flatmap(
        lambda case: st.tuples(st.just(case), spans(*case[2:]))
    ),
    st.floats(0, 1),
)
def test_a_bucket_shows_the_mean_of_the_time_that_was_read(case_and_spans, begun):
    (resolution, bucket_s, _, _), each = case_and_spans
    block, start = SeriesBlock(1), 1000.0 + begun
    read: dict[int, list[tuple[float, float]]] = {}
    for gap, length, value in each:
        start += gap
        block.add(start, start + length, [value])
        for bucket in range(int(start // bucket_s), math.ceil((start + length) / bucket_s)):
            part = min(start + length, (bucket + 1) * bucket_s) - max(start, bucket * bucket_s)
            if part > 0 and value == value:
                read.setdefault(bucket, []).append((part, value))
        start += length
    newest = math.ceil(start / bucket_s) - 1
    for back, mean in enumerate(reversed(block.means_up_to(resolution, 0, newest, 40))):
        known = read.get(newest - back)
        wanted = sum(s * v for s, v in known) / sum(s for s, _ in known) if known else math.nan
        assert mean == pytest.approx(wanted, rel=1e-6, nan_ok=True)
