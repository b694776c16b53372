"""A replay is a source like the worker, with a clock that can be stopped, moved and hurried."""

from __future__ import annotations

from itertools import takewhile

import pytest

from nvltop.analysis.monitor import Monitor
from nvltop.model import Event, Finding, Inventory, LinkErrors, Reading, Severity, Tick, time_of
from nvltop.record.format import Mark, RecordingError
from nvltop.record.marks import FindingMarker
from nvltop.record.reader import open_recording
from nvltop.record.replay import BATCH, ReplaySource
from nvltop.record.timeline import scan
from nvltop.record.writer import RecordingWriter


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path, simulate):
    items = simulate("hgx-a100-4", "errors", 40.0)
    recorder = RecordingWriter(tmp_path / "run")
    for item in items:
        recorder.write(item)
    recorder.close()
    return tmp_path / "run"


@pytest.fixture
def items(path):
    with open_recording(path) as recording:
        return list(recording)


def drain(replay):
    items = replay.drain()
    while replay.behind:
        items += replay.drain()
    return items


def test_it_is_a_source(path, clock, items):
    replay = ReplaySource(path, clock=clock)
    assert replay.fileno() == -1
    first = drain(replay)
    assert first == items[: len(first)]
    assert max(map(time_of, first)) <= replay.timeline.start_s
    clock.now += 5
    more = drain(replay)
    assert first + more == items[: len(first) + len(more)]
    assert replay.tick().mono_s == replay.position_s == replay.timeline.start_s + 5
    assert replay.tick().wall_s == pytest.approx(replay.timeline.start_wall_s + 5, abs=1e-3)
    clock.now += 100
    assert first + more + drain(replay) == items
    assert replay.ended
    assert replay.tick() == items[-1]
    clock.now += 100
    assert replay.tick() == items[-1]
    replay.close()


def test_the_state_of_the_worker_is_the_one_of_then(tmp_path, clock):
    recorder = RecordingWriter(tmp_path / "run")
    recorder.write(Inventory(1.0, 2.0))
    recorder.write(Tick(1.5, 2.5, 0.25, "starting"))
    recorder.write(Tick(1.75, 2.75, 0.25, "stuck", (), "nvmlInit hangs"))
    recorder.write(Event(9.0, 10.0, None, "xid", 74))
    recorder.close()
    replay = ReplaySource(tmp_path / "run", clock=clock)
    assert replay.tick() == Tick(1.5, 2.5, 1.0, "replay")
    drain(replay)
    assert replay.tick() == Tick(1.5, 2.5, 0.25, "starting")
    clock.now += 2
    drain(replay)
    assert replay.tick() == Tick(3.5, 4.5, 0.25, "stuck", (), "nvmlInit hangs")


def test_pause_and_step(path, clock, items):
    replay = ReplaySource(path, clock=clock)
    clock.now += 1
    seen = drain(replay)
    replay.pause()
    clock.now += 10
    assert drain(replay) == []
    assert replay.paused
    for _ in range(3):
        replay.step()
        stepped = drain(replay)
        seen += stepped
        assert isinstance(stepped[-1], Tick)
        assert sum(isinstance(i, Tick) for i in stepped) == 1
        assert replay.tick() == stepped[-1]
        assert replay.position_s == stepped[-1].mono_s
    assert seen == items[: len(seen)]
    replay.pause(False)
    clock.now += 1
    assert drain(replay)


@pytest.mark.parametrize(("asked", "speed"), [(0.1, 0.25), (0.5, 0.5), (4, 4), (1000, 64)])
def test_speed(path, clock, asked, speed):
    replay = ReplaySource(path, clock=clock)
    clock.now += 0.25
    replay.speed = asked
    assert replay.speed == speed
    clock.now += 0.5
    assert replay.position_s == pytest.approx(replay.timeline.start_s + 0.25 + 0.5 * speed)


def test_jumps(path, clock, items):
    replay = ReplaySource(path, clock=clock)
    replay.pause()
    replay.jump(replay.timeline.start_s + 20)
    assert replay.generation == 0
    forward = drain(replay)
    assert forward == items[: len(forward)]
    assert replay.tick().mono_s == replay.timeline.start_s + 20
    replay.jump(replay.timeline.start_s + 10)
    assert replay.generation == 1
    back = drain(replay)
    assert back == items[: len(back)]
    assert len(back) < len(forward)
    replay.jump(-5)
    assert replay.position_s == replay.timeline.start_s
    replay.jump(1e12)
    assert replay.position_s == replay.timeline.end_s
    replay.jump(replay.timeline.at_wall(replay.timeline.start_wall_s + 3))
    assert replay.position_s == pytest.approx(replay.timeline.start_s + 3, abs=1e-6)


def test_a_long_jump_comes_in_batches(tmp_path, clock):
    recorder = RecordingWriter(tmp_path / "run")
    for turn in range(2 * BATCH + 1):
        recorder.write(Tick(turn / 4, 1.79e9 + turn / 4, 0.25))
    recorder.close()
    replay = ReplaySource(tmp_path / "run", clock=clock)
    replay.jump(1e12)
    assert len(replay.drain()) == BATCH
    assert replay.behind
    assert replay.tick().mono_s == (BATCH - 1) / 4
    assert len(replay.drain()) == BATCH
    assert len(replay.drain()) == 1
    assert not replay.behind
    assert replay.tick().mono_s == 2 * BATCH / 4


def test_marks(path, items):
    timeline = scan(path)
    first_tick = next(i for i in items if isinstance(i, Tick))
    assert (timeline.start_s, timeline.start_wall_s) == (first_tick.mono_s, first_tick.wall_s)
    assert timeline.end_s == items[-1].mono_s
    assert timeline.marks == sorted(timeline.marks)
    event = next(i for i in items if isinstance(i, Event))
    assert event.gpu
    assert Mark(event.mono_s, "event", event.gpu, "xid 74") in timeline.marks
    counts = [i for i in items if isinstance(i, Reading) and isinstance(i.data, LinkErrors)]
    rises = {
        b.end_s
        for a in counts
        for b in counts
        if a.gpu == b.gpu and a.end_s < b.end_s < a.end_s + 7 and a.data != b.data
    }
    assert rises
    assert {m.mono_s for m in timeline.marks if m.kind == "errors"} == rises
    assert [m.text for m in timeline.marks if m.kind == "gpu"] == ["GPU is lost"]


def test_jump_to_marks(path, clock):
    replay = ReplaySource(path, clock=clock)
    replay.pause()
    moments = sorted({m.mono_s for m in replay.timeline.marks})
    assert len(moments) > 2
    for moment in moments:
        found = replay.jump_to_mark()
        assert found
        assert found.mono_s == replay.position_s == moment
        drain(replay)
        assert replay.tick().mono_s == moment
    assert replay.jump_to_mark() is None
    for moment in reversed(moments[:-1]):
        found = replay.jump_to_mark(forward=False)
        assert found
        assert found.mono_s == moment
    assert replay.jump_to_mark(forward=False) is None


def test_findings_are_marked_where_they_begin(path, clock):
    marker = FindingMarker()
    finding = Finding(
        "link-down", Severity.CRITICAL, "GPU-a1", 7, "A sentence", headline="GPU 0 link 7 is down"
    )
    seen = ((1.0, ()), (2.0, (finding,)), (3.0, (finding,)), (4.0, ()), (5.0, (finding,)))
    marks = [mark for t, findings in seen for mark in marker.marks(findings, t)]
    assert marks == [Mark(t, "finding", "GPU-a1", "GPU 0 link 7 is down") for t in (2.0, 5.0)]
    timeline = ReplaySource(path, clock=clock).timeline
    before = len(timeline.marks)
    for mark in marks * 2:
        timeline.add(mark)
    assert timeline.marks[:2] == marks
    assert len(timeline.marks) == before + 2


def test_the_picture_after_a_jump_is_the_picture_of_then(path, clock, items):
    played = ReplaySource(path, clock=clock)
    played.pause()
    played.jump(played.timeline.start_s + 30)
    drain(played)
    played.jump(played.timeline.start_s + 12)
    monitor, straight = Monitor(), Monitor()
    for item in [*drain(played), played.tick()]:
        monitor.update(item)
    # As they came: what was sampled by the driver comes later than its own time.
    for item in takewhile(lambda item: time_of(item) <= played.position_s, items):
        straight.update(item)
    straight.update(played.tick())
    assert monitor.frame() == straight.frame()


def test_a_file_without_items_is_reported(tmp_path):
    (tmp_path / "run").write_text('{"schema":"nvltop-recording/1","version":"0.1.0","removed":[]}\n')
    with pytest.raises(RecordingError, match=r"run: holds nothing to replay$"):
        ReplaySource(tmp_path / "run")


def test_a_file_that_breaks_after_it_was_opened_ends_there(path, clock):
    replay = ReplaySource(path, clock=clock)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00" * 100)
    replay.jump(1e12)
    drain(replay)
    replay.jump(0)
    replay.jump(1e12)
    assert drain(replay)
    assert replay.ended
    assert replay.error is None, "damage costs only itself"
    path.write_text("gone")
    replay.jump(0)
    assert drain(replay) == []
    assert replay.ended
    assert str(replay.error).endswith("cut off before the first line was complete")
