"""Only what changed of a row is sent, and the terminal then shows the new rows, styles and all."""

from __future__ import annotations

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nvltop.tui.render import themes
from nvltop.tui.render.row import fill, fit, section
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import changes
from nvltop.tui.widgets.style_table import StyleTable

WIDTH = 40
rows = st.lists(st.tuples(st.text("ab ▁", max_size=20), st.sampled_from(["", "tx", "selected"])), max_size=5)


sparklines = st.lists(st.tuples(st.sampled_from("ab ▁"), st.sampled_from(["", "tx", "rx"])), max_size=WIDTH)


def cells(row) -> list[tuple[str, str]]:
    return [(character, role) for text, role in section(row, 0, WIDTH) for character in text]


def with_sparkline(row, sparkline, start):
    """Return a row that has a sparkline, a run with a role for each cell, from a column on."""
    padded = [*sparkline, *[(" ", "")] * WIDTH][: WIDTH - start]
    run = "".join(text for text, _ in padded), tuple(role for _, role in padded)
    return fill((*section(row, 0, start), run), WIDTH, WIDTH) if padded else row


@given(rows, rows, sparklines, sparklines, st.integers(0, WIDTH), st.integers(0, 3), st.booleans())
def test_a_sparkline_differs_only_in_what_changed(before, after, first, second, start, moved, extended):
    second = first + second if extended else second
    old = with_sparkline(fit(before, WIDTH), first, start)
    new = with_sparkline(fit(after, WIDTH), second, max(0, start - moved))
    left = list(range(WIDTH))
    for begin, end in reversed(changes(old, new)):
        assert 0 <= begin < end <= WIDTH
        del left[begin:end]
    assert [cells(old)[x] for x in left] == [cells(new)[x] for x in left]
    assert terminal_rows(old, new) == terminal_rows(new)


def test_of_an_extended_sparkline_only_the_end_is_sent():
    old = with_sparkline((), [("▁", "tx")] * 5, 0)
    new = with_sparkline((), [("▁", "tx")] * 4 + [("a", "rx")] * 3, 0)
    assert changes(old, new) == [(4, 7)]


@given(rows, rows, st.integers(1, 30))
def test_outside_what_changed_nothing_differs(before, after, width):
    old, new = fit(before, width), fit(after, width)
    left = list(range(width))
    for start, end in reversed(changes(old, new)):
        assert 0 <= start < end <= width
        del left[start:end]
    assert [cells(old)[x] for x in left] == [cells(new)[x] for x in left]


def test_only_what_differs():
    old = fit([("12.3", ""), (" ", ""), ("###", "tx")], 12)
    assert changes(old, fit([("12.4", ""), (" ", ""), ("###", "tx")], 12)) == [(3, 4)]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("##.", "tx")], 12)) == [(7, 8)]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("###", "rx")], 12)) == [(5, 8)]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("####", "tx")], 12)) == [(8, 9)]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("#", "rx"), ("##", "tx")], 12)) == [(5, 6)]
    assert changes(old, old) == []


def test_what_lies_far_apart_is_sent_apart():
    old, new = (fit([(n, ""), ("#" * 20, "tx"), (n, "")], 22) for n in "12")
    assert changes(old, new) == [(0, 1), (21, 22)]
    near, by = (fit([(n, ""), ("#" * 5, "tx"), (n, "")], 7) for n in "12")
    assert changes(near, by) == [(0, 7)]


def test_rows_of_other_widths_are_sent_whole():
    assert changes(fit([("a", "")], 5), fit([("a", "")], 6)) == [(0, 0)]


def terminal(*pictures) -> list[tuple[str, str, str, bool]]:
    """Return what a terminal shows at last: the first picture whole, of the others what changed."""
    return terminal_rows(*(fit(picture, WIDTH) for picture in pictures))


def terminal_rows(*rows) -> list[tuple[str, str, str, bool]]:
    styles, screen = StyleTable(), pyte.Screen(WIDTH + 3, 2)
    styles.use(themes.DEFAULT.indexed)
    output = DirectOutput(styles)
    stream = pyte.Stream(screen)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    shown = fit([], WIDTH)
    for row in rows:
        with output.frame(console, stream.feed):
            parts = [(0, 0)] if row is rows[0] else changes(shown, row)
            output.write_cells(2, 1, row, [(start, end or WIDTH) for start, end in parts])
        shown = row
    return [(c.data, c.fg, c.bg, c.bold) for c in (screen.buffer[1][x] for x in range(screen.columns))]


@given(rows, rows, rows)
def test_a_terminal_that_gets_the_changes_shows_the_last_picture(first, second, third):
    assert terminal(first, second, third) == terminal(third)
