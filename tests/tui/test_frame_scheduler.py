"""When pictures are drawn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.tui.shell.frame_scheduler import START_S, FrameScheduler, FrameTimes, live_times, replay_times

FD = 7


class Loop:
    """An event loop whose time the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.readers: dict[int, Callable[[], None]] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()

    def time(self) -> float:
        return self.now

    def add_reader(self, fd, call) -> None:
        self.readers[fd] = call

    def remove_reader(self, fd) -> None:
        del self.readers[fd]

    def call_at(self, when, call):
        timer = (when, next(self.count), call)
        self.timers.append(timer)

        def cancel() -> None:
            if timer in self.timers:
                self.timers.remove(timer)

        return SimpleNamespace(cancel=cancel)

    def until(self, moment) -> None:
        """Let time pass, with all that is due in it."""
        while self.timers and min(self.timers)[0] <= moment:
            self.now, _, call = timer = min(self.timers)
            self.timers.remove(timer)
            call()
        self.now = moment


class Screen:
    """Draws in turn, and folds what has arrived."""

    def __init__(self, interval_s: float, running_s: float = START_S) -> None:
        self.loop = Loop()
        self.waiting = 0
        self.drawn: list[float] = []
        self.times = live_times(interval_s, running_s)
        self.frames = FrameScheduler(self.draw, lambda _: self.times)

    def draw(self) -> None:
        self.frames.frame_started()
        self.waiting = 0
        self.frames.listen(FD)
        self.drawn.append(self.loop.now)

    def due_s(self) -> float:
        """When what waits is drawn."""
        return min(self.loop.timers)[0]

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
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: screen.loop)
        screen.draw()
        return screen

    return make


@given(
    st.lists(st.floats(0.0, 2.0), max_size=30),
    st.sampled_from([0.1, 0.25, 1.0, 5.0]),
    st.sampled_from([0.0, START_S]),
)
def test_all_that_arrives_is_drawn_in_time_and_not_too_often(gaps, interval_s, running_s):
    with pytest.MonkeyPatch.context() as patch:
        screen = Screen(interval_s, running_s)
        patch.setattr(asyncio, "get_running_loop", lambda: screen.loop)
        screen.draw()
        apart_s = screen.times.earliest_s
        for gap in gaps:
            screen.arrive(screen.loop.now + gap)
            assert not screen.waiting or screen.due_s() <= screen.drawn[-1] + apart_s, "what waits is drawn"
        between = zip(screen.drawn, screen.drawn[1:], strict=False)
        assert all(after - before >= apart_s - 1e-9 for before, after in between)


@given(st.lists(st.floats(0.0, 10.0), max_size=10), st.sampled_from([0.1, 0.25, 1.0, 5.0]))
def test_a_picture_is_never_older_than_two_intervals_or_one_and_a_half_seconds(gaps, interval_s):
    with pytest.MonkeyPatch.context() as patch:
        screen = Screen(interval_s)
        patch.setattr(asyncio, "get_running_loop", lambda: screen.loop)
        screen.frames.start(FD)
        screen.drawn.append(screen.loop.now)
        for gap in gaps:
            screen.arrive(screen.loop.now + gap)
            between = zip(screen.drawn, [*screen.drawn[1:], screen.loop.now], strict=True)
            assert max(after - before for before, after in between) <= max(1.5, 2 * interval_s) + 1e-6


def test_what_comes_after_a_rest_is_drawn_at_once(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 1.0)
    assert screen.drawn[-1] == screen.loop.now


def test_the_source_wakes_nobody_while_a_picture_is_due(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 0.01)
    assert not screen.loop.readers
    screen.loop.until(screen.loop.now + 0.9)
    assert list(screen.loop.readers) == [FD]


def test_another_descriptor_takes_the_place_of_the_one_before(on):
    screen = on(0.25)
    screen.frames.listen(FD + 1)
    assert list(screen.loop.readers) == [FD + 1]
    screen.frames.listen(-1)
    assert not screen.loop.readers


def test_a_picture_drawn_for_another_reason_takes_the_place_of_the_one_that_was_due(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 0.01)
    due_s = screen.due_s()
    screen.draw()
    assert screen.due_s() > due_s
    assert len(screen.loop.timers) == 1


def test_nothing_is_drawn_after_the_end(on):
    screen = on(0.25)
    screen.arrive(screen.loop.now + 0.01)
    screen.frames.stop()
    # What ends it may be a part of drawing, which goes on listening; a key may come after it.
    screen.frames.listen(FD)
    screen.frames.frame_started()
    assert not screen.loop.timers
    assert not screen.loop.readers


@pytest.mark.parametrize(
    ("interval_s", "running_s", "earliest_s", "latest_s"),
    [
        (0.1, 0.0, 0.09, 0.2),
        (0.25, 4.9, 0.225, 0.5),
        (0.25, 5.0, 0.9, 1.5),
        (1.0, 0.0, 0.9, 2.0),
        (1.0, 60.0, 0.9, 2.0),
        (5.0, 60.0, 4.5, 10.0),
    ],
)
def test_a_live_screen_is_drawn_once_a_second_or_interval_after_the_first_seconds(
    interval_s, running_s, earliest_s, latest_s
):
    assert live_times(interval_s, running_s) == pytest.approx((earliest_s, latest_s))


@pytest.mark.parametrize(
    ("interval_s", "speed", "latest_s"),
    [(0.25, 1.0, 1.0), (0.25, 0.25, 1.0), (0.25, 2.0, 0.5), (0.25, 64.0, 0.25), (2.0, 1.0, 2.0)],
)
def test_a_replay_is_drawn_as_often_as_a_live_screen_and_a_faster_one_more_often(interval_s, speed, latest_s):
    assert replay_times(interval_s, speed) == pytest.approx((0.9 * interval_s, latest_s))


def test_the_time_since_the_start_decides(on):
    screen = on(0.25)
    asked: list[float] = []

    def times(running_s: float) -> FrameTimes:
        asked.append(running_s)
        return live_times(0.25, running_s)

    screen.frames._times = times
    screen.frames.start(FD)
    screen.loop.now += 3.0
    screen.draw()
    assert asked == [0.0, 3.0]
