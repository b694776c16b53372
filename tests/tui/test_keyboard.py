"""What becomes of the bytes that a terminal sends."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events

from nvltop.tui.shell import keyboard
from nvltop.tui.shell.keyboard import MAX_PASTE_CHARS, PASTE_TIMEOUT_S, KeyboardInput

PASTE, END = b"\x1b[200~", b"\x1b[201~"


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(keyboard, "time", clock)
    return clock


def events_of(messages) -> list[str]:
    return [
        f"paste {m.text}" if isinstance(m, events.Paste) else m.key if isinstance(m, events.Key) else repr(m)
        for m in messages
    ]


def fed(*pieces: bytes) -> list[str]:
    keys = KeyboardInput()
    return events_of([m for piece in pieces for m in keys.feed(piece)])


def test_a_paste_is_one_message_and_keys_go_on_after_it():
    assert fed(b"a" + PASTE + b"bc\x1b[2Jd" + END + b"e") == ["a", "paste bc\x1b[2Jd", "e"]


@given(st.lists(st.integers(0, 30), max_size=6))
def test_where_a_paste_is_cut_in_pieces_does_not_matter(cuts):
    whole = b"a" + PASTE + b"bc d" + END + b"e" + PASTE + END + b"f"
    at = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[i:j] for i, j in itertools.pairwise(at)]
    assert fed(*pieces) == ["a", "paste bc d", "e", "paste ", "f"]


def test_a_paste_without_an_end_ends_when_nothing_comes_and_is_bounded(clock):
    keys = KeyboardInput()
    assert keys.feed(PASTE + b"x" * 3 * MAX_PASTE_CHARS) == []
    for _ in range(100):
        keys.feed(b"y" * MAX_PASTE_CHARS)
    clock.now += PASTE_TIMEOUT_S / 2
    assert keys.tick() == []
    clock.now += PASTE_TIMEOUT_S
    assert events_of(keys.tick()) == [f"paste {'x' * MAX_PASTE_CHARS}"]
    assert events_of(keys.feed(b"q")) == ["q"]


def test_ctrl_c_alone_ends_a_paste_and_is_a_key():
    assert fed(PASTE + b"abc", b"\x03") == ["paste abc", "ctrl+c"]


def test_sizes_that_nobody_asked_for_are_ignored_and_the_mouse_goes_on():
    assert fed(b"\x1b[48;50000;50000;1;1t", b"\x1b[48;0;0;0;0t") == []
    keys = KeyboardInput()
    keys.feed(b"\x1b[48;10;20;0;0t")
    [down] = keys.feed(b"\x1b[<0;5;7M")
    assert isinstance(down, events.MouseDown)
    assert (down.x, down.y) == (4, 6)


def test_answers_are_counted_wherever_they_are_cut():
    answer = b"\x1b[?2026;2$y"
    for cut in range(1, len(answer)):
        keys = KeyboardInput()
        keys.feed(b"ab" + answer[:cut])
        assert keys.answers == 0
        keys.feed(answer[cut:] + b"c")
        assert keys.answers == 1
        keys.feed(b"d")
        assert keys.answers == 1


def test_the_function_keys_of_putty():
    assert fed(b"\x1bOT", b"\x1bOY", b"\x1bO[") == ["f5", "f10", "f12"]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_are_the_end_of_the_keyboard(pieces):
    keys = KeyboardInput()
    for piece in pieces:
        keys.feed(piece)
    keys.feed(END + b"\x1b\\\x1b\\" + b"\n" * 40)
    assert "f1" in events_of(keys.feed(b"\x1bOP")), "a key after them is one"
