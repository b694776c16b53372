"""At the start, what the terminal shows already is not sent again, and nothing else is left out."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui.shell import first_picture
from nvltop.tui.shell.first_picture import FirstPicture

COLUMNS, ROWS = 12, 3
STYLES = ("", "\x1b[31m", "\x1b[1;42m")


def text_of(row: int, column: int, text: str, style: str) -> str:
    return f"\x1b[{row + 1};{column + 1}H{style}{text}" + ("\x1b[0m" if style else "")


@st.composite
def pictures(draw):
    """Draw the text of a picture: rows in order, each whole or in two pieces that do not overlap."""
    rows = []
    for row in draw(st.lists(st.integers(0, ROWS - 1), unique=True).map(sorted)):
        letter, style = draw(st.sampled_from("ab")), draw(st.sampled_from(STYLES))
        cut = draw(st.sampled_from((0, 4, 7)))
        line = text_of(row, 0, letter * cut, style) if cut else ""
        if not cut or draw(st.booleans()):
            line += text_of(row, cut, letter * (COLUMNS - cut), style)
        rows.append(line)
    return "\n".join(rows)


class Terminal:
    """A terminal and the number of bytes that it has accepted."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self.screen)
        self.bytes_sent = 0

    def write(self, text: str) -> None:
        self.bytes_sent += len(text)
        self._stream.feed(text)


@given(
    st.lists(
        st.tuples(st.sampled_from(("picture", "picture", "picture", "other", "dropped")), pictures()),
        max_size=8,
    )
)
def test_the_terminal_shows_what_it_would_show_if_all_were_sent(outputs):
    whole, terminal = Terminal(), Terminal()
    first = FirstPicture(lambda: terminal.bytes_sent)
    for kind, text in outputs:
        if kind == "other":
            terminal.write(text)
        else:
            first.begin()
            part = first.new(text)
            if kind == "picture":
                terminal.write(part)
            first.end()
        if kind != "dropped":
            whole.write(text)
        assert terminal.screen.buffer == whole.screen.buffer


def test_the_same_picture_is_sent_once_and_again_after_the_start(monkeypatch):
    terminal = Terminal()
    first = FirstPicture(lambda: terminal.bytes_sent)
    text = text_of(0, 0, "a" * COLUMNS, "") + "\n" + text_of(1, 0, "b" * COLUMNS, STYLES[1])

    def sent() -> str:
        first.begin()
        part = first.new(text)
        terminal.write(part)
        first.end()
        return part

    assert [sent(), sent()] == [text, ""]
    terminal.write("\x1b[2J")
    assert sent() == text
    monkeypatch.setattr(first_picture, "START_S", -1.0)
    assert sent() == text


@pytest.mark.parametrize("other", ["\x1b[2J", "\x1b[?2026h", "\x1b[5C"])
def test_text_that_does_more_than_print_is_never_left_out(other):
    first = FirstPicture(lambda: 0)
    first.begin()
    text = text_of(0, 0, "a" * COLUMNS, "") + other
    first.new(text)
    assert other in first.new(text)
