"""The charts of the tab History: what each column shows, and where it is drawn."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.rate_history import LINKS, RateHistory
from nvltop.memo import MemoTable
from nvltop.model import Severity, TimelineEvent
from nvltop.tui.render.glyphs import ASCII, UNICODE
from nvltop.tui.render.row import section, text_of
from nvltop.tui.render.spark_style import BLOCKS, BRAILLE
from nvltop.tui.tabs.history import chart, plot
from nvltop.tui.tabs.history.series import (
    SHORTER_SPANS_S,
    TIME_SPANS,
    Column,
    SeriesCache,
    shown_span,
    window,
)
from nvltop.tui.tabs.history.subjects import ALL_NICS, Subject, limit, name, parts, series_keys, subjects

UNKNOWN = Column()


def drawn(view, width=100, height=30, **wanted) -> list[str]:
    rows = chart.rows(view, SeriesCache(), MemoTable(), chart.ChartRequest(**wanted), width, height)
    assert len(rows) == height
    assert {sum(len(text) for text, _ in row) for row in rows} == {width}
    return [text_of(row) for row in rows]


@pytest.mark.parametrize("size", [(30, 7), (80, 18), (120, 33), (200, 53), (274, 63)])
@pytest.mark.parametrize("look", [(UNICODE, BRAILLE), (UNICODE, BLOCKS), (ASCII, BRAILLE)])
def test_every_row_is_as_wide_as_the_tab(view, size, look):
    v = view("dgx-h100", seconds=8.0, glyphs=look[0], spark_style=look[1])
    for subject in (Subject(), Subject(v.gpus[3].gpu.uuid), Subject(nic=ALL_NICS), Subject(pcie=True)):
        text = "\n".join(drawn(v, *size, subject=subject, lines=subject.pcie))
        assert look[0] is UNICODE or text.isascii()


def test_the_values_are_those_that_were_read(view):
    v = view("dgx-h100", "saturated", seconds=20.0)
    shown = window(v.history, 60, 100, 0.25)
    keys = series_keys(v, Subject(), "tx")
    columns = SeriesCache().columns(v.history, keys, shown)
    assert len(keys) == 8
    known = [column for column in columns if column.mean == column.mean]
    assert len(known) >= 60
    assert all(column.low <= column.mean <= column.high for column in known)
    sums = [
        sum(values) for values in zip(*(v.history.readings(key).bytes_per_s for key in keys), strict=True)
    ]
    assert max(column.high for column in known) == pytest.approx(max(sums), rel=0.02)
    assert sum(c.mean for c in known) / len(known) == pytest.approx(sum(sums) / len(sums), rel=0.02)


def test_what_is_cached_is_what_is_computed_afresh(view):
    v, cache = view("dgx-h100", seconds=20.0), SeriesCache()
    for columns in (40, 100, 40):
        shown = window(v.history, 60, columns, 0.25)
        keys = series_keys(v, Subject(), "rx")
        found = [cache.columns(v.history, keys, shown) for _ in range(2)]
        assert [*map(repr, found[0])] == [*map(repr, found[1])]
        assert [*map(repr, found[0])] == [*map(repr, SeriesCache().columns(v.history, keys, shown))]


@given(st.sampled_from([s for s, _ in TIME_SPANS]), st.floats(0, 1e5))
def test_at_least_half_of_a_window_is_known_unless_it_is_short(wanted_s, known_s):
    span_s = shown_span(wanted_s, known_s)
    assert span_s <= wanted_s
    assert span_s >= min(known_s, wanted_s)
    assert known_s >= span_s / 2 or span_s == SHORTER_SPANS_S[0]


@given(st.floats(1.0, 1e15))
def test_the_scale_ends_at_a_round_number_just_above_the_data(highest):
    end = chart.scale_end(highest)
    assert highest * 0.998 <= end <= highest * 1.51
    assert float(f"{end:.2g}") == pytest.approx(end)


def test_the_scale_is_that_of_the_data_and_the_limit_is_drawn_where_it_matters(view):
    busy = "\n".join(drawn(view("dgx-h100", "saturated", seconds=10.0)))
    assert re.search(r"NCCL max 2\.9\d+ TB/s", busy), re.findall("NCCL.*", busy)
    assert re.search(r"^ +3 TB/s┤", busy, re.MULTILINE)
    quiet = "\n".join(drawn(view("dgx-h100", "idle", seconds=10.0)))
    assert "NCCL max" not in quiet
    assert re.search(r"^ *[\d.]+ [kMG]B/s┤", quiet, re.MULTILINE)


def test_unknown_is_a_gap_in_area_and_axis():
    known = [Column(5e9, 5e9, 5e9)] * 20
    columns = [*known, *[UNKNOWN] * 20, *known]
    its = plot.Chart(columns, columns, 1e10, 0.0, "", ("5", "10"), [], [], None, lines=False)
    rows = [text_of(row) for row in plot.rows(its, BRAILLE, False, 34, 12)]
    axis = next(row for row in rows if row.strip().startswith("0"))
    assert axis[3:].strip("│┤ ") == "─" * 10 + " " * 10 + "─" * 10
    assert all(row[13:23].strip() == "" for row in rows[1:-3])
    zero = [Column(0.0, 0.0, 0.0)] * 60
    its = plot.Chart(zero, zero, 1e10, 0.0, "", ("5", "10"), [], [], None, lines=False)
    rows = [text_of(row) for row in plot.rows(its, BRAILLE, False, 34, 12)]
    assert next(row for row in rows if row.strip().startswith("0")).count("─") == 30


def test_mean_minimum_and_maximum_differ():
    columns = [Column(5e9, 2e9, 1e10)] * 40
    its = plot.Chart(columns, columns, 1e10, 0.0, "", ("5", "10"), [], [], None, lines=False)
    rows = plot.rows(its, BRAILLE, False, 24, 12)
    runs = [section(row, 0, 24) for row in rows]
    upper = [next(role for text, role in row if any(c >= "\u2801" for c in text)) for row in runs[1:5]]
    assert upper == ["dim", "dim", "tx", "tx"], "dotted above the mean, filled below"
    lower = [next(role for text, role in row if any(c >= "\u2801" for c in text)) for row in runs[6:10]]
    assert lower == ["rx", "rx", "dim", "dim"]


def test_events_are_marked_where_they_happened(view, bench):
    v = view("dgx-h100", seconds=30.0)
    wall_s = v.frame.tick.wall_s
    event = TimelineEvent("gpu-state", wall_s - 10.0, Severity.CRITICAL, "lost", gpu=v.gpus[3].gpu.uuid)
    from dataclasses import replace

    v.frame = replace(v.frame, timeline=(event,))
    at_s = v.frame.tick.mono_s - 10.0
    text = drawn(v, cursor_s=at_s)
    axis = next(row for row in text if row.lstrip().startswith("0┤"))
    shown = chart.main_window(v, chart.ChartRequest(), 100)
    assert axis.count("!") + (axis[chart.LABEL_WIDTH + 1 + shown.column_at(at_s) // 2] == "│") == 1
    assert "GPU 3" in text[1]
    other = drawn(v, subject=Subject(v.gpus[0].gpu.uuid))
    assert "!" not in next(row for row in other if row.lstrip().startswith("0┤"))


def test_the_charts_of_the_node_go_on_without_a_lost_gpu(view):
    v = view("dgx-h100")
    whole = limit(v, Subject())[0]
    lost = v.gpus[3].gpu.uuid
    v.gpus = tuple(replace(g, state="lost") if g.gpu.uuid == lost else g for g in v.gpus)
    assert name(v, Subject()) == "NVLink of all GPUs except GPU 3"
    keys = series_keys(v, Subject(), "tx")
    assert lost not in {key[0] for key in keys}
    assert len(keys) == 7
    assert limit(v, Subject())[0] == pytest.approx(whole * 7 / 8)
    assert series_keys(v, Subject(lost), "tx"), "its own chart keeps its past"


def test_subjects_and_their_smaller_charts(view):
    v = view("dgx-h100")
    found = subjects(v)
    assert [name(v, s) for s in found[:2]] == ["NVLink of all GPUs", "NVLink of GPU 0"]
    assert name(v, found[-1]) == "NIC mlx5_11"
    assert [name(v, s) for s in parts(v, Subject())][:3] == [
        "PCIe of all GPUs", "all NICs", "NVLink of GPU 0",
    ]  # fmt: skip
    assert len(parts(v, Subject(v.gpus[0].gpu.uuid))) == 1 + 18
    assert limit(v, Subject(v.gpus[0].gpu.uuid))[1] == "NCCL max"
    assert limit(view("rtx4090-pair"), Subject(pcie=True))[1] == "PCIe speed"


@pytest.mark.parametrize(("span_s", "bucket_s"), [(60, 1), (300, 1), (900, 15), (3600, 15), (6 * 3600, 300)])
def test_each_span_has_the_finest_values_that_reach_back_far_enough(span_s, bucket_s):
    history, keys = RateHistory(), (("GPU-0", None, "tx"),)
    first_s, now_s = 1000, 1000 + min(span_s, 2 * 3600)
    for second in range(first_s, now_s):
        history._add(("GPU-0", "links"), LINKS, (float(second), second + 1.0), [second, 0.0])
    history.now_s, history.origin_s = float(now_s), float(first_s)
    shown = window(history, span_s, 200, 1.0)
    columns = SeriesCache().columns(history, keys, shown)
    known = [i for i, column in enumerate(columns) if column.mean == column.mean]
    assert len(known) >= 0.8 * len(columns)
    for i in known:
        middle_s = shown.start_s + (i + 0.5) * shown.column_s
        assert columns[i].mean == pytest.approx(middle_s, abs=bucket_s + shown.column_s)


def test_before_the_first_reading_nothing_is_known():
    cache, history = SeriesCache(), RateHistory()
    shown = window(history, 300, 40, 0.25)
    for span in (shown, window(history, 86400, 40, 0.25)):
        columns = cache.columns(history, (("GPU-0", None, "tx"),), span)
        assert all(math.isnan(column.mean) for column in columns)


def test_a_smaller_chart_is_drawn_again_once_for_each_of_its_columns(view, monkeypatch):
    v = view("rtx3090-pair", seconds=65.0)
    widths, plot_rows = [], plot.rows

    def counted(drawn, style, is_ascii, width, height):
        widths.append(width)
        return plot_rows(drawn, style, is_ascii, width, height)

    monkeypatch.setattr(plot, "rows", counted)
    wanted, memo, now_s = chart.ChartRequest(span=0), MemoTable(), v.history.now_s
    assert chart.redraw_seconds(v, wanted, 49) == 2
    for second in range(8):
        monkeypatch.setattr(v.history, "now_s", now_s + second)
        chart.rows(v, SeriesCache(), memo, wanted, 99, 53)
    assert widths.count(99) == 8
    assert widths.count(49) == len(parts(v, Subject())) * len(
        {int(now_s + second) // 2 for second in range(8)}
    )
    for change in ({"lines": True}, {"span": 2}, {"cursor_s": now_s - 30}):
        widths.clear()
        chart.rows(v, SeriesCache(), memo, replace(wanted, **change), 99, 53)
        assert widths == [99, 49, 49, 49]
