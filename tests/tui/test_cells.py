"""Text of any script in columns: what is cut, padded and sent stays as wide as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.text import char_width, clean, normalize, width
from nvltop.tui.render.cells import to_cells, to_text
from nvltop.tui.render.glyphs import ASCII, UNICODE
from nvltop.tui.render.row import Column, displayable, fit, fit_text, text_of
from nvltop.tui.render.row_changes import cells_between
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.style_table import StyleTable

SCRIPTS = {
    "jürgen": 6, "тренер": 6, "世蓮": 4, "训练模型": 8, "é-müller": 8, "🚀train": 7, "ที่": 1, "हिन्दी": 5,
    "학습": 4, "e\u0301": 1, "❤\ufe0f": 1,
}  # fmt: skip
texts = st.text(st.sampled_from("ab ·×世蓮学🚀éüЖ\u0301\u0e35\u0e17▇…") | st.characters(), max_size=12).map(
    clean
)


@pytest.mark.parametrize(("text", "wide"), SCRIPTS.items())
def test_letters_of_any_script_are_shown_as_they_are(text, wide):
    assert width(text) == wide
    assert len(to_cells(text)) == wide
    assert to_text(to_cells(text)) == normalize(text)
    assert "?" not in to_text(displayable(text, UNICODE))
    assert displayable(text, ASCII).isascii()
    assert "?" not in displayable(text, ASCII)


@given(texts, st.integers(0, 30), st.integers(0, 30))
def test_cells_are_columns_wherever_they_are_cut(text, start, end):
    made = to_cells(text)
    assert to_cells(made) == made
    assert len(made) == width(normalize(text))
    cut = made[start:end]
    assert width(to_text(cut)) == len(cut)


@given(st.lists(st.tuples(texts, st.sampled_from("ab")), max_size=4), st.integers(0, 40))
def test_a_row_is_as_wide_as_the_screen(spans, columns):
    for role in (None, "selected"):
        assert width(text_of(fit(spans, columns, role))) == columns


@given(texts, st.integers(1, 20), st.sampled_from([UNICODE, ASCII]), st.booleans())
def test_words_are_cut_to_columns(text, room, glyphs, left):
    assert width(to_text(fit_text(text, room, glyphs))) <= room
    placed = Column("x", "X", room, 0, left).pad(displayable(text, glyphs))
    assert width(to_text(placed)) == room


def put(row, start, end) -> str:
    output = DirectOutput(StyleTable())
    output._texts = {}
    output._sequences = {"": ("", "")}
    output.write_cells(0, 0, row, cells_between(row, start, end), 5)
    return "".join(text for texts in output._texts.values() for text in texts)


def test_half_of_a_wide_character_is_never_sent():
    row = fit([("a世b", "")], 5)
    for start, end, sent in (
        (2, 3, "\x1b[1;2H世"),
        (1, 2, "\x1b[1;2H世"),
        (2, 4, "\x1b[1;2H世b"),
        (3, 4, "\x1b[1;4Hb"),
    ):
        assert put(row, start, end) == sent


def test_a_wide_character_that_has_no_room_leaves_a_blank():
    assert text_of(fit([("ab世", "")], 3)) == "ab "
    assert char_width("世") == 2
