"""When pictures are drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui import turns
from nvltop.tui.turns import AWAY_S, EARLY, SILENT_S, Turns

FD = 7


class Loop:
    """An event loop whose time the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.readers = {}
        self.timers = []

    def time(self) -> float:
        return self.now

    def add_reader(self, fd, call) -> None:
        self.readers[fd] = call

    def remove_reader(self, fd) -> None:
        del self.readers[fd]

    def call_at(self, when, call):
        self.timers.append((when, call))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def until(self, moment) -> None:
        for when, call in sorted(self.timers):
            if when <= moment:
                self.timers.clear()
                self.now = when
                call()
        self.now = moment


class Screen:
    """Draws in turn, and folds what has arrived."""

    def __init__(self, interval_s: float, focused: bool = True) -> None:
        self.loop = Loop()
        self.waiting = 0
        self.drawn = []
        self.turns = Turns(self.draw, lambda: interval_s, lambda: focused)

    def draw(self) -> None:
        self.turns.begin()
        self.waiting = 0
        self.turns.listen(FD)
        self.drawn.append(self.loop.now)

    def arrive(self, moment: float) -> None:
        self.loop.until(moment)
        self.waiting += 1
        for call in tuple(self.loop.readers.values()):
            call()


@pytest.fixture
def on(monkeypatch):
    """Make a screen on a loop of its own."""

    def make(*how) -> Screen:
        screen = Screen(*how)
        monkeypatch.setattr(turns.asyncio, "get_running_loop", lambda: screen.loop)
        screen.draw()
        return screen

    return make


@given(
    st.lists(st.floats(0.0, 2.0), max_size=30),
    st.sampled_from([0.1, 0.25, 1.0, 5.0]),
    st.booleans(),
)
def test_all_that_arrives_is_drawn_in_time_and_not_too_often(gaps, interval_s, focused):
    with pytest.MonkeyPatch.context() as patch:
        screen = Screen(interval_s, focused)
        patch.setattr(turns.asyncio, "get_running_loop", lambda: screen.loop)
        screen.draw()
        apart_s = EARLY * max(interval_s, 0.0 if focused else AWAY_S)
        for gap in gaps:
            screen.arrive(screen.loop.now + gap)
            assert not screen.waiting or screen.loop.timers, "what waits will be drawn"
            assert all(when - screen.drawn[-1] <= apart_s + 1e-9 for when, _ in screen.loop.timers)
        between = zip(screen.drawn, screen.drawn[1:], strict=False)
        assert all(after - before >= apart_s - 1e-9 for before, after in between)


def test_what_comes_after_a_rest_is_drawn_at_once(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 0.3)
    assert screen.drawn[-1] == screen.loop.now
    assert not screen.loop.timers


def test_the_source_wakes_nobody_while_a_picture_is_due(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 0.01)
    assert not screen.loop.readers
    screen.loop.until(screen.loop.now + 0.25)
    assert list(screen.loop.readers) == [FD]


def test_another_descriptor_takes_the_place_of_the_one_before(on):
    screen = on(0.25)
    screen.turns.listen(FD + 1)
    assert list(screen.loop.readers) == [FD + 1]
    screen.turns.listen(-1)
    assert not screen.loop.readers


@pytest.mark.parametrize(("interval_s", "rest_s"), [(0.1, SILENT_S), (2.0, 4.0)])
def test_silence_is_drawn_now_and_then(on, interval_s, rest_s):
    screen = on(interval_s)
    begun = screen.loop.now
    screen.loop.until(begun + 0.8 * rest_s)
    screen.turns.look()
    assert screen.drawn == [begun]
    screen.loop.until(begun + rest_s)
    screen.turns.look()
    assert screen.drawn == [begun, begun + rest_s]


def test_a_picture_drawn_for_another_reason_takes_the_place_of_the_one_that_was_due(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 0.01)
    screen.draw()
    assert not screen.loop.timers
