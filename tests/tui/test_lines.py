"""Only what changed of a row is sent, and the terminal then shows the new rows, styles and all."""

from __future__ import annotations

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nvltop.tui import palette
from nvltop.tui.ink import Ink
from nvltop.tui.lines import changed
from nvltop.tui.paint.row import fit

WIDTH = 14
rows = st.lists(st.tuples(st.text("ab ▁", max_size=4), st.sampled_from(["", "tx", "selected"])), max_size=5)


def cells(row) -> list[tuple[str, str]]:
    return [(character, role) for text, role in row for character in text]


@given(rows, rows, st.integers(1, 20))
def test_outside_what_changed_nothing_differs(before, after, width):
    old, new = fit(before, width), fit(after, width)
    start, end = changed(old, new)
    assert cells(old)[:start] + cells(old)[end:] == cells(new)[:start] + cells(new)[end:]
    assert start < end or old == new


def test_only_from_the_first_change_to_the_last():
    old = fit([("12.3", ""), (" ", ""), ("###", "tx")], 12)
    assert changed(old, fit([("12.4", ""), (" ", ""), ("###", "tx")], 12)) == (3, 4)
    assert changed(old, fit([("12.3", ""), (" ", ""), ("##.", "tx")], 12)) == (7, 8)
    assert changed(old, fit([("12.3", ""), (" ", ""), ("###", "rx")], 12)) == (5, 8)
    assert changed(old, old) == (12, 12)


def test_rows_of_other_widths_are_sent_whole():
    assert changed(fit([("a", "")], 5), fit([("a", "")], 6)) == (0, 0)


def terminal(*pictures) -> list[tuple[str, str, str, bool]]:
    """Return what a terminal shows at last: the first picture whole, of the others what changed."""
    ink, screen = Ink(), pyte.Screen(WIDTH + 3, 2)
    ink.use(palette.DEFAULT)
    stream = pyte.Stream(screen)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    shown = fit([], WIDTH)
    for picture in pictures:
        row = fit(picture, WIDTH)
        with ink.straight(console, stream.feed):
            ink.put(2, 1, row, *((0, WIDTH) if picture is pictures[0] else changed(shown, row)))
        shown = row
    return [(c.data, c.fg, c.bg, c.bold) for c in (screen.buffer[1][x] for x in range(screen.columns))]


@given(rows, rows, rows)
def test_a_terminal_that_gets_the_changes_shows_the_last_picture(first, second, third):
    assert terminal(first, second, third) == terminal(third)
