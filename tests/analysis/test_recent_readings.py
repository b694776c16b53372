"""Readings are kept as they were read for five minutes, and cells of any length are true means of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.rate_history import RateHistory
from nvltop.analysis.recent_readings import MIN_READ_SHARE, RECENT_S, TRIM_ROWS, RecentReadings

rows = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.01, 3), st.just(math.nan) | st.floats(0, 2**40, width=32)),
    max_size=30,
)


@given(rows, st.floats(0.05, 3), st.integers(-3, 40), st.integers(0, 40))
def test_a_cell_is_the_mean_of_the_time_that_was_read(gaps_and_rows, cell_s, first, count):
    store, now, spans = RecentReadings(2, 10_000), 1000.0, []
    for gap, length, value in gaps_and_rows:
        spans.append((now + gap, now + gap + length, value))
        store.add(*spans[-1][:2], [math.nan, value])
        now += gap + length
    means = store.cell_means((1,), 1000.0, cell_s, first, count)[0]
    assert len(means) == count
    for cell, mean in enumerate(means, first):
        begin, end = 1000.0 + cell * cell_s, 1000.0 + (cell + 1) * cell_s
        parts = [(min(e, end) - max(s, begin), v) for s, e, v in spans if v == v]
        read_s = sum(p for p, _ in parts if p > 0)
        if abs(read_s - MIN_READ_SHARE * cell_s) < 1e-6:
            continue  # rounding decides
        wanted = sum(p * v for p, v in parts if p > 0) / read_s if read_s > cell_s / 2 else math.nan
        assert mean == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    assert all(v != v for v in store.cell_means((0,), 1000.0, cell_s, first, count)[0])
    # The same cells, whichever window they are drawn in.
    one_by_one = [store.cell_means((1,), 1000.0, cell_s, first + i, 1)[0][0] for i in range(count)]
    assert repr(one_by_one) == repr(means)


@given(rows, st.floats(0.05, 3), st.integers(-3, 40), st.integers(1, 4))
def test_the_means_of_many_columns_are_those_of_each(gaps_and_rows, cell_s, first, count):
    together, alone, now = RecentReadings(6, 10_000), RecentReadings(6, 10_000), 1000.0
    for gap, length, value in gaps_and_rows:
        for store in (together, alone):
            store.add(now + gap, now + gap + length, [value, 1.0, -value, math.nan, 0.1, value / 3])
        now += gap + length
    columns = (0, 1, 2, 4, 5, 3)
    for some in (columns[:5], columns):
        means = together.cell_means(some, 1000.0, cell_s, first, count)
        assert repr(means) == repr([alone.cell_means((c,), 1000.0, cell_s, first, count)[0] for c in some])
        together.cell_means((0,), 1000.0, cell_s, first - 1, 1)  # so that all are computed again


@given(rows, st.floats(-1, 40), st.floats(0.05, 20))
def test_the_bytes_of_all_columns_are_those_of_each(gaps_and_rows, begin, length_s):
    store, now, spans = RecentReadings(3, 10_000), 1000.0, []
    for gap, length, value in gaps_and_rows:
        spans.append((now + gap, now + gap + length, value))
        store.add(*spans[-1][:2], [math.nan, value, 2.0])
        now += gap + length
    begin_s, end_s = 1000.0 + begin, 1000.0 + begin + length_s
    moved, read_s = store.sums(range(3), begin_s, end_s)
    for column, of in enumerate((lambda _: math.nan, lambda value: value, lambda _: 2.0)):
        parts = [(max(0.0, min(e, end_s) - max(s, begin_s)), of(v)) for s, e, v in spans if of(v) == of(v)]
        assert moved[column] == pytest.approx(sum(s * v for s, v in parts), rel=1e-5, abs=10)
        assert read_s[column] == pytest.approx(sum(s for s, _ in parts), abs=1e-6)
        assert store.sums((column,), begin_s, end_s) == ([moved[column]], [read_s[column]])


@pytest.mark.parametrize(("interval", "kept"), [(0.25, 1200), (1.0, 300), (0.1, 2000)])
def test_readings_of_five_minutes_are_kept_in_bounded_memory(interval, kept):
    store = RecentReadings(3, 2000)
    for i in range(5000):
        store.add(i * interval, (i + 1) * interval, [i, math.nan, -i])
        assert store.rows < kept + 2 * TRIM_ROWS
    starts, ends, values = store.since(2, 5000 * interval - RECENT_S)
    assert len(starts) == len(ends) == len(values)
    assert list(values[-3:]) == [-4997, -4998, -4999]
    assert len(values) >= kept - 1
    assert ends[0] - starts[0] == pytest.approx(interval)


def test_a_history_keeps_every_reading_of_the_frames(bench):
    b = bench("dgx-h100")
    b.history = history = RateHistory()
    frame = b.run(6)
    gpu = frame.gpus[0]
    readings = history.readings((gpu.gpu.uuid, None, "tx"))
    seen = {span.end_s: span.tx_bytes_per_s for span in gpu.spans if span.end_s > span.start_s}
    last = list(zip(readings.ends_s, readings.bytes_per_s, strict=True))[-5:]
    assert [(at, pytest.approx(rate)) for at, rate in last] == list(seen.items())[-5:]
    assert len(readings.ends_s) > 20
    link = history.readings((gpu.gpu.uuid, 3, "rx"), 2.0)
    assert link.bytes_per_s[-1] == pytest.approx(gpu.links[3].rx_bytes_per_s)
    assert 6 <= len(link.ends_s) <= 9
    assert not history.readings(("no such GPU", None, "tx")).ends_s

    # Sums of several GPUs on one grid; unknown where one is unknown.
    keys = [(g.gpu.uuid, None, "tx") for g in frame.gpus]
    newest = history.cell_at(history.read_until_s(keys), 0.5) - 1
    sums = history.cell_means(keys, 0.5, newest, 4)
    each = [history.cell_means([key], 0.5, newest, 4) for key in keys]
    assert sums == pytest.approx([sum(column) for column in zip(*each, strict=True)])
    assert all(v != v for v in history.cell_means([*keys, ("no such GPU", None, "tx")], 0.5, newest, 4))
    assert all(v != v for v in history.cell_means([], 0.5, newest, 4))
