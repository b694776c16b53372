"""How the lines of the screen are shared out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui.render.scroll import first_shown
from nvltop.tui.tabs.main.layout import layout


def test_24_lines_hold_eight_gpus_and_their_matrix():
    parts = layout(80, 18, gpus=8, matrix_columns=44, show_links=False)
    assert (parts.gpu_lines, parts.both, parts.matrix, parts.links) == (9, False, True, False)
    assert 18 - parts.gpu_lines == 9


def test_more_gpus_than_lines_scroll():
    assert layout(80, 18, gpus=16, matrix_columns=84, show_links=True).gpu_lines == 9


def test_wide_screens_show_matrix_and_links():
    parts = layout(120, 34, gpus=8, matrix_columns=44, show_links=False)
    assert (parts.both, parts.matrix, parts.links, parts.matrix_columns) == (True, True, True, 45)


@given(
    st.integers(0, 400),
    st.integers(0, 200),
    st.integers(0, 64),
    st.booleans(),
    st.integers(0, 44),
    st.booleans(),
)
def test_no_size_is_too_small(width, height, gpus, show_links, nics, show_nics):
    parts = layout(width, height, gpus, 4 + 5 * gpus, show_links, nics, show_nics)
    assert 1 <= parts.gpu_lines <= max(1, height)
    assert parts.matrix or parts.links or parts.nics_below
    assert parts.nic_lines == 0 or parts.gpu_lines + parts.nic_lines <= height - 9
    assert nics or not (parts.nic_lines or parts.nics_below)


def test_nics_stand_below_the_gpus_or_where_the_matrix_was():
    roomy = layout(120, 34, gpus=8, matrix_columns=44, show_links=False, nics=12)
    assert (roomy.nic_lines, roomy.matrix, roomy.nics_below) == (13, True, False)
    low = layout(80, 18, gpus=8, matrix_columns=44, show_links=False, nics=12)
    assert (low.nic_lines, low.matrix) == (0, True), "eight GPUs and their matrix go first"
    asked = layout(80, 18, gpus=8, matrix_columns=44, show_links=False, nics=12, show_nics=True)
    assert (asked.matrix, asked.links, asked.nics_below) == (False, False, True)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(1, 20))
def test_the_selected_row_is_always_seen(before, selected, count, height):
    selected = min(selected, count - 1)
    top = first_shown(before, selected, count, height)
    assert top <= selected < top + height
    assert 0 <= top <= max(0, count - height)
