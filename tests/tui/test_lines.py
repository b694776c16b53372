"""Only what changed of a row is sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui.lines import last_change
from nvltop.tui.paint.row import fit

rows = st.lists(st.tuples(st.text("ab ", max_size=4), st.sampled_from(["", "tx"])), max_size=5)


def cells(row) -> list[tuple[str, str]]:
    return [(character, role) for text, role in row for character in text]


@given(rows, rows, st.integers(1, 20))
def test_beyond_the_last_change_nothing_differs(before, after, width):
    old, new = fit(before, width), fit(after, width)
    at = last_change(old, new)
    assert cells(old)[at:] == cells(new)[at:]


def test_only_up_to_the_last_change():
    old = fit([("12.3", ""), (" ", ""), ("###", "tx")], 12)
    assert last_change(old, fit([("12.4", ""), (" ", ""), ("###", "tx")], 12)) == 4
    assert last_change(old, fit([("12.3", ""), (" ", ""), ("##.", "tx")], 12)) == 8
    assert last_change(old, old) == 0


def test_rows_of_other_widths_are_sent_whole():
    assert last_change(fit([("a", "")], 5), fit([("a", "")], 6)) == 0
