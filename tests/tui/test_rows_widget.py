"""Only what changed of a row is sent, and the terminal then shows the new rows, styles and all."""

from __future__ import annotations

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from textual.geometry import Region, Size

from nvltop.tui.render import themes
from nvltop.tui.render.row import Cells, fill, fit, section
from nvltop.tui.render.row_changes import MAX_GAP, ChangedCells, changes, with_cells
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.style_table import StyleTable

WIDTH = 40
rows = st.lists(st.tuples(st.text("ab ▁", max_size=20), st.sampled_from(["", "tx", "selected"])), max_size=5)


sparklines = st.lists(st.tuples(st.sampled_from("ab ▁"), st.sampled_from(["", "tx", "rx"])), max_size=WIDTH)


def cells(row) -> list[tuple[str, str]]:
    return [(character, role) for text, role in section(row, 0, WIDTH) for character in text]


def with_changes(old, new) -> list[tuple[str, str]]:
    """Return the cells of a row after the changes, which are in order and do not overlap."""
    shown = cells(old)
    place = 0
    for column, text, role in changes(old, new):
        assert place <= column < column + len(text) <= len(shown)
        place = column + len(text)
        shown[column:place] = [(character, role) for character in text]
    return shown


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
    assert with_changes(old, new) == cells(new)
    assert terminal_rows(old, new) == terminal_rows(new)


changed = st.lists(
    st.tuples(
        st.integers(0, WIDTH - MAX_GAP),
        st.lists(
            st.tuples(st.sampled_from("ab"), st.sampled_from(["tx", "rx"])), min_size=1, max_size=MAX_GAP
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(changed)
def test_cells_that_know_what_differs_are_sent_as_if_they_were_compared(steps):
    shown = plain = "a" * WIDTH, ("tx",) * WIDTH
    for start, others in steps:
        text, roles = ("".join(c for c, _ in others), tuple(role for _, role in others))
        before, end = plain, start + len(text)
        plain = plain[0][:start] + text + plain[0][end:], plain[1][:start] + roles + plain[1][end:]
        made = with_cells(shown, start, text, roles)
        assert made == plain
        assert changes((shown,), (made,)) == changes((before,), (plain,))
        shown = made


def test_cells_keep_nothing_but_the_cells_before_them():
    first: Cells = "aa", ("tx", "tx")
    second = with_cells(first, 1, "b", ("tx",))
    third = with_cells(second, 1, "d", ("tx",))
    assert isinstance(second, ChangedCells)
    assert isinstance(third, ChangedCells)
    assert (second.base, third.base) == (None, second)
    assert changes((first,), (third,)) == [(1, "d", "tx")], "cells that others were made from are compared"


def test_of_an_extended_sparkline_only_the_end_is_sent():
    old = with_sparkline((), [("▁", "tx")] * 5, 0)
    new = with_sparkline((), [("▁", "tx")] * 4 + [("a", "rx")] * 3, 0)
    assert changes(old, new) == [(4, "aaa", "rx")]


@given(rows, rows, st.integers(1, 30))
def test_outside_what_changed_nothing_differs(before, after, width):
    old, new = fit(before, width), fit(after, width)
    assert with_changes(old, new) == cells(new)


def test_only_what_differs():
    old = fit([("12.3", ""), (" ", ""), ("###", "tx")], 12)
    assert changes(old, fit([("12.4", ""), (" ", ""), ("###", "tx")], 12)) == [(3, "4", "")]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("##.", "tx")], 12)) == [(7, ".", "tx")]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("###", "rx")], 12)) == [(5, "###", "rx")]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("####", "tx")], 12)) == [(8, "#", "tx")]
    assert changes(old, fit([("12.3", ""), (" ", ""), ("#", "rx"), ("##", "tx")], 12)) == [(5, "#", "rx")]
    assert changes(old, old) == []


def test_what_lies_far_apart_in_a_sparkline_is_sent_apart():
    for gap, sent in ((6, [(0, "b", "tx"), (7, "b", "tx")]), (5, [(0, "b▁▁▁▁▁b", "tx")])):
        old, new = (with_sparkline((), [(c, "tx"), *[("▁", "tx")] * gap, (c, "tx")], 0) for c in "ab")
        assert changes(old, new) == sent


def test_rows_of_other_widths_are_sent_whole():
    assert changes(fit([("a", "")], 5), fit([("a", ""), ("b", "tx")], 6)) == [
        (0, "a", ""), (1, "b", "tx"), (2, "    ", ""),
    ]  # fmt: skip
    assert changes(fit([("a", "tx")], 5), ()) == [(0, "     ", "")]


def test_a_row_that_textual_rendered_before_the_layout_is_whole_after_it():
    """After a resize the right part of each row stayed blank until the row changed."""
    styles = StyleTable()
    styles.use(themes.DEFAULT.indexed)
    widget = RowsWidget(DirectOutput(styles), "rows")
    widget.expected_size = Size(4, 1)
    widget.show([fit([("abcdefgh", "")], 8)])
    assert widget.render_lines(Region(0, 0, 4, 1))[0].text == "abcd"
    widget.expected_size = Size(8, 1)
    assert widget.render_lines(Region(0, 0, 8, 1))[0].text == "abcdefgh"


def terminal(*pictures) -> list[tuple[str, str, str, bool]]:
    """Return what a terminal shows at last: the first picture whole, of the others what changed."""
    return terminal_rows(*(fit(picture, WIDTH) for picture in pictures))


def terminal_rows(*rows) -> list[tuple[str, str, str, bool]]:
    styles, screen = StyleTable(), pyte.Screen(WIDTH + 3, 2)
    styles.use(themes.DEFAULT.indexed)
    output = DirectOutput(styles)
    stream = pyte.Stream(screen)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    shown = ()
    for row in rows:
        with output.frame(console, stream.feed):
            if pieces := changes(shown, row):
                output.write_cells(2, 1, row, pieces, WIDTH)
        shown = row
    return [(c.data, c.fg, c.bg, c.bold) for c in (screen.buffer[1][x] for x in range(screen.columns))]


@given(rows, rows, rows)
def test_a_terminal_that_gets_the_changes_shows_the_last_picture(first, second, third):
    assert terminal(first, second, third) == terminal(third)
