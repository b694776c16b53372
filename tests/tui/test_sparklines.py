"""Sparklines show each reading in its own time, at a height by its share of the ceiling; unknown is blank."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain, combinations, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nvltop.analysis.rate_history import ALIGN_SLACK_S, RateHistory
from nvltop.formatting import spark
from nvltop.model import Gpu, GpuFrame, Link, LinkSpan, LinkState, Missing, Tick
from nvltop.tui.render import themes
from nvltop.tui.render.glyphs import ASCII, UNICODE
from nvltop.tui.render.row import Row, section
from nvltop.tui.render.row_changes import Compared, changes
from nvltop.tui.render.spark_cells import SparkShape, draw_cells, joined, looks_of
from nvltop.tui.render.spark_pairs import SparkPairs
from nvltop.tui.render.spark_style import ASCII_LEVELS, BLOCKS, BRAILLE
from nvltop.tui.render.sparklines import MOVES_PER_LINE, Sparklines
from nvltop.tui.render.view_state import EMPTY_FRAME, SPARK_ROLES, ViewState
from nvltop.tui.tabs.main import gpus

FULL = 100.0
STYLES = (BRAILLE, BLOCKS, ASCII_LEVELS)
ROLES = ("low", "half", "full")
KEY = ("GPU-0", None, "tx")
rates = st.just(math.nan) | st.floats(0, 2 * FULL)
cells_of_rates = st.lists(st.tuples(rates, rates), max_size=6).map(lambda cells: [*chain(*cells)])


def history_of(*spans: tuple[float, float, float]) -> RateHistory:
    history = RateHistory()
    for start_s, end_s, rate in spans:
        add(history, end_s, start_s, end_s, rate)
    return history


def add(
    history: RateHistory, now_s: float, start_s: float, end_s: float, rate: float, uuid: str = "GPU-0"
) -> None:
    """Add a frame of one GPU at `now_s`, with a span of TX and half of its rate as RX."""
    value = Missing("not read") if math.isnan(rate) else rate
    half = value if isinstance(value, Missing) else value / 2
    gpu = GpuFrame(Gpu(0, uuid), spans=(LinkSpan(start_s, end_s, value, half, ()),))
    history.add(replace(EMPTY_FRAME, tick=Tick(now_s, 0.0, 0.25), gpus=(gpu,)))


def text(runs) -> str:
    return "".join(text for text, _ in runs)


def dots(character: str) -> tuple[int, int]:
    """Return the dots of the left and the right column of a braille character."""
    bits = ord(character) - 0x2800 if character != " " else 0
    return (bits & 0x47).bit_count(), (bits & 0xB8).bit_count()


def drawn(values, style=BRAILLE, rows=1, down=False, full=FULL) -> tuple[list[str], str]:
    """Return the lines from the axis outwards, and the class of each cell, for two values a cell."""
    columns, roles = draw_cells(values, SparkShape(len(values) // 2, 0.25, full, style, rows, down), "012")
    return list(joined(columns, rows)), "".join(roles)


@given(
    st.lists(st.tuples(st.floats(0.1, 5.0), st.sampled_from([0.25, 1.0, 3.0]), rates), max_size=30)
    | st.lists(
        st.tuples(st.just(0.25), st.just(0.25), st.sampled_from([0.0, 0.0, 0.0, 1.0, 99.0])), max_size=60
    ),
    st.sampled_from(STYLES),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.integers(0, 12),
)
@example([(0.5, 1.0, 50.0), (1.0, 3.0, 0.0), (1.0, 0.25, 0.0)], BRAILLE, 0.25, 8)
@example([(0.5, 0.5, 50.0)], BRAILLE, 0.25, 0)
def test_what_is_extended_is_what_is_drawn_again(steps, style, half_s, cells):
    """Late spans, gaps and jumps in time: what was drawn before is never wrong."""
    history, kept, now_s = RateHistory(), Sparklines(), 1e6
    shapes = [SparkShape(cells, half_s, FULL, style, rows, down) for rows, down in ((1, False), (2, True))]
    for step_s, span_s, rate in steps:
        now_s += step_s
        add(history, now_s, now_s - span_s - 0.1, now_s - 0.1, rate)
        for shape in shapes:
            again = Sparklines().draw(history, (KEY,), shape, ROLES)
            assert kept.draw(history, (KEY,), shape, ROLES) == again
            assert kept.draw(history, (KEY,), shape, ROLES) == again
            assert {len(text(line)) for line in again} == {cells}
            assert len(again) == shape.rows


@given(cells_of_rates, st.sampled_from(STYLES), st.integers(1, 3), st.booleans())
def test_unknown_never_draws_a_dot_and_known_always_does(values, style, rows, down):
    lines, _ = drawn(values, style, rows, down)
    for i, cell in enumerate(zip(*lines, strict=True)):
        pair = values[2 * i : 2 * i + 2]
        assert any(v == v for v in pair) == any(c != " " for c in cell)
        if style is BRAILLE:
            left, right = (sum(side) for side in zip(*map(dots, cell), strict=True))
            assert bool(left) == (pair[0] == pair[0])
            assert bool(right) == (pair[1] == pair[1])


halves = rates | st.sampled_from([0.0, 50.0, 51.0, 89.0, 90.0, FULL, math.nan])


@given(
    st.integers(0, 2).flatmap(lambda cells: st.lists(st.tuples(*[halves] * (2 * cells)), min_size=2)),
    st.sampled_from(STYLES),
    st.sampled_from([FULL, 0.0, Missing("not read")]),
)
def test_what_is_said_to_look_alike_is_drawn_alike(lines, style, full):
    shape = SparkShape(8, 0.25, full, style)
    looks = looks_of(lines, shape)
    assert len(looks) == len(lines)
    for (look, values), (other, others) in combinations(zip(looks, lines, strict=True), 2):
        assert look != other or draw_cells(values, shape, ROLES) == draw_cells(others, shape, ROLES)
        assert look == other or values != others


@given(st.floats(0, 2 * FULL), st.floats(0, 2 * FULL), st.integers(1, 3), st.booleans())
def test_heights_are_monotone_in_the_value(a, b, rows, down):
    low, high = sorted((a, b))
    for style in STYLES:
        heights = []
        for value in (0.0, low, high, FULL):
            lines, _ = drawn([value, value], style, rows, down)
            if style is BRAILLE:
                heights.append(sum(dots(line)[0] for line in lines))
            else:
                levels = [style.column(h, 0, 1, down)[0] for h in range(style.steps + 1)]
                heights.append(sum(levels.index(line) for line in lines))
        assert heights[0] == 1
        assert heights == sorted(heights)
        assert style is not BRAILLE or heights[-1] == 4 * rows


def test_the_characters():
    shares = [0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 90.0, 100.0]
    assert drawn(shares) == (["⣀⣤⣶⣿"], "0012")
    assert drawn(shares, down=True)[0] == ["⠉⠛⠿⣿"]
    assert drawn([math.nan, 0.0, 100.0, math.nan, math.nan, math.nan]) == (["⢀⡇ "], "020")
    each = [v for v in shares for _ in range(2)]
    assert drawn(each, BLOCKS)[0] == ["▁▂▂▄▅▇▇█"]
    assert drawn(each, ASCII_LEVELS)[0] == ["_..-+**#"]
    assert drawn([45.0, 45.0], rows=2)[0] == ["⣿", " "]
    # Without a scale only zero can be drawn.
    assert drawn([0.0, 5.0], full=Missing("not supported"))[0] == ["⡀"]
    assert drawn([0.0, 0.0], ASCII_LEVELS, full=Missing("not supported"))[0] == ["_"]


@pytest.mark.parametrize("interval_s", [0.1, 0.25, 0.5, 1.0, 2.0])
def test_each_half_of_a_cell_is_one_reading_at_any_interval(interval_s):
    """Bursts of one reading are as high and as long as they are; nothing beats with the readings."""
    ends_s = [100 + i * interval_s + min(0.004, interval_s / 100) * (-1) ** i for i in range(101)]
    spans = [(ends_s[i], ends_s[i + 1], 100.0 * (i % 5 == 2)) for i in range(100)]
    shape = SparkShape(20, interval_s, FULL, BRAILLE)
    (line,) = Sparklines().draw(history_of(*spans), (KEY,), shape, ROLES)
    halves = [h for character in text(line).rstrip() for h in dots(character)]
    halves = halves[: len(halves) - (not halves[-1])]  # the last cell may be half full
    assert len(halves) >= 30
    place = halves.index(4)
    assert halves == [4 if (i - place) % 5 == 0 else 1 for i in range(len(halves))]


def test_a_part_of_the_first_cell_is_not_a_spike():
    """A burst that fills a fifth of a cell, after which nothing was read."""
    history = history_of((99.75, 100.0, 0.0), (100.9 - ALIGN_SLACK_S, 101.0 - ALIGN_SLACK_S, 100.0))
    add(history, 102.0, 101.0 - ALIGN_SLACK_S, 102.0, 0.0)
    (line,) = Sparklines().draw(history, (KEY,), SparkShape(8, 0.5, FULL, BRAILLE), ROLES)
    assert "2" not in text(line)
    assert max(max(dots(c)) for c in text(line)) == 1


def test_the_picture_moves_several_cells_at_a_time():
    """Between two moves only the newest cell changes."""
    history, kept, shape = RateHistory(), Sparklines(), SparkShape(24, 0.25, FULL, BRAILLE)
    moves = 0
    before = " " * 24
    for i in range(1, 200):
        add(history, 100 + i / 4, 100 + (i - 1) / 4, 100 + i / 4, 10.0 * (i % 7))
        (line,) = kept.draw(history, (KEY,), shape, ROLES)
        now = text(line)
        changed = [x for x in range(24) if now[x] != before[x]]
        if len(changed) > 1:
            moves += 1
            step = 24 // MOVES_PER_LINE
            assert now[: 24 - step - 1] == before[step:-1]
        before = now
    assert moves == pytest.approx(200 / 2 / (24 // MOVES_PER_LINE), abs=2)


@pytest.mark.parametrize("style", STYLES)
def test_a_flat_line_is_full_and_stays_as_it_is(style):
    """An idle node sends nothing; a gap at the end and the first traffic are shown as before."""
    history, kept, shape = RateHistory(), Sparklines(), SparkShape(24, 0.25, FULL, style)
    pictures = set()
    for i in range(1, 200):
        add(history, 100 + i / 4, 100 + (i - 1) / 4, 100 + i / 4, 0.0)
        (line,) = kept.draw(history, (KEY,), shape, ROLES)
        if i > 50:
            pictures.add(text(line))
    zero = style.column(1, 1 if style.halves else 0, 1, False)[0]
    assert pictures == {zero * 24}
    add(history, 150.0, 149.75, 150.0, 100.0)
    add(history, 150.25, 150.0, 150.25, 100.0)
    (line,) = kept.draw(history, (KEY,), shape, ROLES)
    assert text(line).startswith(zero * 10)
    assert text(line) != zero * 24
    for i in range(1, 9):
        add(history, 150.25 + i, 150.0, 150.25, 100.0)
    assert text(kept.draw(history, (KEY,), shape, ROLES)[0]).endswith("    "), "nothing was read for 8 s"


def test_colours_are_runs():
    values = [
        (100 + i / 4, 100 + (i + 1) / 4, rate)
        for i, rate in enumerate([10.0, 10.0, 10.0, 60.0, 60.0, 60.0] * 6)
    ]
    shape = SparkShape(12, 0.25, FULL, BRAILLE)
    (line,) = Sparklines().draw(history_of(*values), (KEY,), shape, ROLES)
    runs = section(line, 0, shape.cells)
    assert {role for part, role in runs if part.strip()} == {"low", "half"}
    assert all(a[1] != b[1] for a, b in pairwise(runs))


def test_a_view_chooses_characters_and_time():
    history = history_of(*((100 + i / 4, 100 + (i + 1) / 4, 100.0) for i in range(40)))
    view = ViewState(history=history)
    assert "⣿" in text(view.sparklines([KEY], 8, [FULL], "tx")[0])
    runs = section(view.sparklines([KEY], 8, [FULL], "tx")[0], 0, 8)
    assert {role for part, role in runs if part.strip()} == {"spark-full"}
    assert view.spark_shape(8, FULL).seconds() == 4.0
    view.spark_cell_s = 2.0
    assert view.spark_shape(8, FULL).seconds() == 16.0
    view.spark_style = BLOCKS
    assert "█" in text(view.sparklines([KEY], 8, [FULL], "tx")[0])
    view.glyphs = ASCII
    assert "#" in text(view.sparklines([KEY], 8, [FULL], "tx")[0])
    up, down = view.mirrored((KEY,), (("GPU-0", None, "rx"),), 8, FULL)
    assert "#" in text(up)
    assert set(text(down).replace(" ", "")) == {"="}


def test_together_they_are_what_each_is():
    """GPUs that are read at different times, another scale, and a series that does not exist."""
    history, kept, each = RateHistory(), Sparklines(), Sparklines()
    shape, higher = SparkShape(8, 0.25, FULL, BRAILLE), SparkShape(8, 0.25, FULL / 2, BRAILLE)
    keys = [((uuid, None, way),) for uuid in ("GPU-0", "GPU-1", "none") for way in ("tx", "rx")]
    series = list(zip(keys, (shape, shape, shape, higher, shape, shape), strict=True))
    for i in range(1, 60):
        now_s, rate = 100 + i / 4, 10.0 * (i % 7) if i < 30 else 50.0
        add(history, now_s, now_s - 0.25, now_s, rate)
        if i % 3:
            add(history, now_s, now_s - 0.6, now_s - 0.1, rate, "GPU-1")
        together = kept.draw_each(history, series, ROLES)
        assert together == [each.draw(history, its, shape, ROLES) for its, shape in series]


steady = st.sampled_from([50.0] * 12 + [51.0, 60.0, 0.0, math.nan])


@given(
    st.lists(st.tuples(st.sampled_from([0.25, 1.0]), rates, rates, st.integers(0, 9)), max_size=40)
    | st.lists(
        st.tuples(st.sampled_from([0.25] * 9 + [1.0, 6.0]), steady, steady, st.integers(0, 9)), max_size=70
    ),
    st.sampled_from([0.25, 0.5]),
)
def test_the_sparklines_of_a_table_are_what_each_is(steps, half_s):
    """GPUs that are read at different times, one that is added later, and a part that shows the same."""
    history, kept, now_s = RateHistory(), Sparklines(), 1e3
    shapes = [SparkShape(8, half_s, full, BRAILLE) for full in (FULL, FULL / 2, FULL)]
    uuids = "GPU-0", "GPU-1", "GPU-2"
    series = {
        way: [(((uuid, None, way),), shape) for uuid, shape in zip(uuids, shapes, strict=True)]
        for way in ("tx", "rx")
    }
    roles = {"tx": ROLES, "rx": ("l", "h", "f")}
    table = SparkPairs(kept, series, roles)
    for step_s, rate, other, chance in steps:
        now_s += step_s
        add(history, now_s, now_s - step_s, now_s, rate)
        if chance % 3:
            add(history, now_s, now_s - 0.6, now_s - 0.1, other, "GPU-1")
        if chance == 9:
            add(history, now_s, now_s - 0.6, now_s - 0.1, other, "GPU-2")
        if chance == 8:
            kept.draw_each(history, series["rx"], roles["rx"])
        rows = table.rows(history)
        tx, rx = (Sparklines().draw_each(history, series[way], roles[way]) for way in ("tx", "rx"))
        assert rows == [(*up, (" ", ""), *down) for (up,), (down,) in zip(tx, rx, strict=True)]
        assert table.rows(history) is rows


alike = st.lists(st.sampled_from([0.0, 30.0, 31.0, 60.0, 100.0, math.nan]), min_size=4, max_size=4)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.25] * 9 + [1.0]), alike | st.floats(0, FULL).map(lambda rate: [rate] * 4)
        ),
        max_size=50,
    ),
    st.sampled_from(STYLES),
    st.integers(4, 30),
)
def test_links_that_look_alike_share_their_sparklines_while_they_do(steps, style, cells):
    history, kept, now_s = RateHistory(), Sparklines(), 1e3
    shapes = [SparkShape(cells, 0.25, full, style) for full in (FULL, FULL, FULL, FULL / 2)]
    series = {way: [((("GPU-0", i, way),), shape) for i, shape in enumerate(shapes)] for way in ("tx", "rx")}
    roles = {"tx": ROLES, "rx": ("l", "h", "f")}
    table = SparkPairs(kept, series, roles)
    shown: list[Row] = []
    links = tuple(Link(i, LinkState.UP) for i in range(4))
    for step_s, of_links in steps:
        now_s += step_s
        values = tuple(
            Missing("not read") if math.isnan(rate) else rate for rate in (*of_links, *of_links[::-1])
        )
        span = LinkSpan(now_s - step_s, now_s, 1.0, 1.0, values)
        gpu = GpuFrame(Gpu(0, "GPU-0"), links=links, spans=(span,))
        history.add(replace(EMPTY_FRAME, tick=Tick(now_s, 0.0, 0.25), gpus=(gpu,)))
        before, shown = shown, list(table.rows(history))
        tx, rx = (Sparklines().draw_each(history, series[way], roles[way]) for way in ("tx", "rx"))
        assert shown == [(*up, (" ", ""), *down) for (up,), (down,) in zip(tx, rx, strict=True)]
        compared: Compared = {}
        for old, new in zip(before, shown, strict=bool(before)):
            assert changes(old, new, compared) == changes(old, new)


def test_sums_of_series_are_drawn_and_unknown_if_one_is():
    history = history_of(*((100 + i / 4, 100 + (i + 1) / 4, 40.0) for i in range(20)))
    rx = "GPU-0", None, "rx"
    shape = SparkShape(8, 0.25, FULL, BRAILLE)
    assert "⣶" in text(Sparklines().draw(history, (KEY, rx), shape, ROLES)[0])
    assert not text(Sparklines().draw(history, (KEY, ("GPU-1", None, "tx")), shape, ROLES)[0]).strip()


def test_sparklines_of_widths_that_the_screen_no_longer_has_are_not_kept(view):
    resized = view("hgx-h100-4")
    for width in range(110, 200):
        gpus.table(resized, width, 10, 0)
    assert 0 < len(resized.cache.sparklines._lines) <= 2 * len(resized.gpus)


def test_a_report_distinguishes_gap_zero_little_and_full():
    assert spark([math.nan, 0.0, 1.0, 50.0, 100.0, 200.0], 100.0, UNICODE.levels, " ") == " ▁▂▅██"
    assert spark([0.0, 5.0, math.nan], Missing("not supported"), UNICODE.levels, " ") == "▁  "


@pytest.mark.parametrize("theme", themes.THEMES.values(), ids=list(themes.THEMES))
@pytest.mark.parametrize("colours", ["standard", "256"])
def test_a_blank_cell_looks_the_same_with_and_without_the_role_of_a_low_one(theme, colours):
    styles = theme.styles(colours)
    for low, *_ in SPARK_ROLES.values():
        style = styles[low]
        assert style.bgcolor is None
        assert not any((style.reverse, style.underline, style.strike))
