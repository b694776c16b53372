"""A recording under the user's hands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest

from nvltop.config.settings import Settings
from nvltop.model import Tick
from nvltop.record.replay import ReplaySource
from nvltop.record.writer import RecordingWriter
from nvltop.tui.render.replay_bar import ReplayState, timeline
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.tabs.history.widget import HistoryTab
from nvltop.tui.widgets.rows_widget import RowsWidget
from tests.realterminal import PATIENCE_S


@pytest.fixture
def recording(bench, tmp_path):
    """Record forty seconds in which a link fails."""
    b = bench("hgx-h100-4", "link-down")
    path = tmp_path / "run.gz"
    recorder = RecordingWriter(path)
    recorder.write(b.inventory)
    for _ in range(80):
        b.clock.now += 0.5
        for reader in b.readers:
            for reading in reader.read_counters() + reader.read_states():
                recorder.write(reading)
        recorder.write(Tick(b.clock.now, 1_790_000_000.0 + b.clock.now, 0.5))
    recorder.close()
    return path


async def until(pilot, holds: Callable[[], bool]) -> None:
    """Wait until a condition holds: on a busy machine a dialog closes some time after its key."""
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        await pilot.pause()
        pilot.app.step()


async def test_keys_move_in_the_recording(recording):
    clock = [100.0]
    replay = ReplaySource(recording, clock=lambda: clock[0])
    app = Nvltop(replay, Settings())
    async with app.run_test(size=(120, 40)) as pilot:

        async def press(key: str) -> ReplayState:
            await pilot.press(key)
            await pilot.pause()
            assert app.view.replay
            return app.view.replay

        assert (await press("space")).paused
        assert (await press("right")).position_s == pytest.approx(10.0)
        assert (await press("right")).position_s == pytest.approx(20.0)
        up = {g.gpu.index: g.nvlink.links_up for g in app.view.gpus}
        assert up[3] == 17
        assert (await press("left")).position_s == pytest.approx(10.0)
        before = (await press("left")).position_s
        assert before == pytest.approx(0.0)
        stepped = await press("full_stop")
        assert stepped.position_s == pytest.approx(0.5, abs=0.51)
        found = await press("n")
        assert "link 13" in found.message, "the other end of link 7 of GPU 3"
        assert 9.0 < found.position_s < 11.0
        assert (await press("greater_than_sign")).speed == 2.0
        assert (await press("less_than_sign")).speed == 1.0
        assert not (await press("space")).paused
        await press("right")
        line = app.main.query_one("#replay", RowsWidget).text()
        assert "REPLAY" in line
        assert "!" in line
        assert " History " in app.main.query_one("#tabs", RowsWidget).text()
        assert "gGoTo" in app.main.query_one("#keys", RowsWidget).text()
        await pilot.click(offset=((line.index("[") + line.index("]")) // 2, 5))
        assert app.view.replay.position_s == pytest.approx(app.view.replay.length_s / 2, rel=0.05)


@pytest.mark.parametrize("passed_s", [0.5, 1.0, 1.5, 2.5, 3.0])
async def test_the_history_of_a_paused_replay_is_that_after_a_resize(recording, passed_s):
    """It is drawn once a column, but no later column follows in a pause."""
    clock = [100.0]
    replay = ReplaySource(recording, clock=lambda: clock[0])
    app = Nvltop(replay, Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("right", "7")
        await pilot.pause()
        for _ in range(round(passed_s / 0.5)):
            clock[0] += 0.5
            app.step()
            await pilot.pause()
        await pilot.press("space")
        await pilot.pause()
        tab = app.main.tab
        assert isinstance(tab, HistoryTab)
        shown = tab._chart.text()
        tab.invalidate()
        tab.draw()
        assert tab._chart.text() == shown


async def test_text_of_a_prompt_does_not_control_the_replay(recording):
    app = Nvltop(ReplaySource(recording, clock=lambda: 100.0), Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("space", "slash", "g", "n", "space", "full_stop", "N", "left", "x")
        assert app.main._prompt._input.value == "gn .xN"
        assert app.view.replay.paused
        assert app.view.replay.position_s == pytest.approx(0.0)
        assert app.screen is app.main


async def test_a_recording_is_shown_as_soon_as_the_screen_is(recording):
    app = Nvltop(ReplaySource(recording, clock=lambda: 100.0), Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert len(app.view.gpus) == 4


async def test_g_goes_to_a_time(recording):
    replay = ReplaySource(recording, clock=lambda: 100.0)
    app = Nvltop(replay, Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("g", "0", ":", "2", "5", "enter")
        await until(pilot, lambda: app.view.replay.position_s == pytest.approx(25.0))
        begin = datetime.fromtimestamp(replay.timeline.start_wall_s + 12)
        await pilot.press("g", *f"{begin:%H:%M:%S}", "enter")
        await until(pilot, lambda: app.view.replay.position_s == pytest.approx(12.0, abs=1.0))
        await pilot.press("g", *"soon", "enter")
        await until(pilot, lambda: "not a time" in app.view.replay.message)
        await pilot.press("g", *"999:00", "enter")
        await until(pilot, lambda: "it ends at" in app.view.replay.message)
        await pilot.press("g", *"0:99", "enter")
        await until(pilot, lambda: "not a time" in app.view.replay.message)
        await pilot.press("f7", "plus")
        assert [n.message for n in app._notifications] == [
            "this is a recording: nothing is read that could be recorded",
            "the interval is that of the recording",
        ]
        await pilot.press("g", "escape")
        await until(pilot, lambda: app.screen is app.main)


async def test_after_a_jump_back_nothing_of_the_future_remains(recording):
    replay = ReplaySource(recording, clock=lambda: 100.0)
    app = Nvltop(replay, Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(3):
            await pilot.press("right")
        await pilot.pause()
        assert app.view.gpus[3].nvlink.links_up == 17
        for _ in range(3):
            await pilot.press("left")
        await pilot.press("full_stop", "full_stop", "full_stop")
        await pilot.pause()
        assert app.view.gpus[3].nvlink.links_up == 18


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_fault_has_its_time_after_a_jump_back(recording, monkeypatch, is_slow):
    monkeypatch.setattr("nvltop.tui.shell.feed.MAX_FOLD_S", PATIENCE_S)
    replay = ReplaySource(recording, clock=lambda: 100.0)
    app = Nvltop(replay, Settings())

    def faults() -> tuple[object, ...]:
        frame = app.feed.monitor.frame()
        began = [(finding.key, finding.began_s, finding.caused_by) for finding in frame.findings]
        return frame.timeline, began, frame.incidents, frame.tick.wall_s

    async with app.run_test(size=(120, 40)) as pilot:
        for seconds in range(21):
            replay.jump(replay.timeline.start_s + seconds)
            app.step()
        played = faults()
        assert all(played)
        # On a slow machine the items of a jump are not all folded when the user jumps back.
        if is_slow:
            # The items of a jump are not all folded when the user jumps back.
            monkeypatch.setattr("nvltop.tui.shell.feed.MAX_FOLD_S", -1.0)
            monkeypatch.setattr("nvltop.record.replay.BATCH", 10)
        replay.jump(replay.timeline.start_s + 40.0)
        app.step()
        assert replay.behind is is_slow
        replay.jump(replay.timeline.start_s + 20.0)
        app.step()
        assert app.feed.monitor.frame().tick.mono_s <= replay.reached_s <= replay.position_s
        await until(pilot, lambda: not replay.behind)
        app.step()
        assert faults() == played


def test_the_timeline_keeps_to_its_width():
    playing = ReplayState(30.0, 120.0, 4.0, False, (0.0, 60.0, 120.0), "xid 74")
    for width in range(0, 120):
        text = "".join(text for text, _ in timeline(playing, width))
        if width > 40:
            assert len(text) <= width
    assert "x4 0:30/2:00" in text
    assert text.count("!") == 3
    assert text.endswith("xid 74")


@pytest.mark.parametrize("key", ["f7", "r"])
async def test_a_key_records_and_stops(app, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    app = app()
    script = app.source
    async with app.run_test(size=(120, 40)) as pilot:
        app.step()
        await pilot.press(key)
        for _ in range(3):
            script.advance(1.0)
            app.step()
        assert "REC" in app.main.query_one("#tabs", RowsWidget).text()
        assert "F7Stop" in app.main.query_one("#keys", RowsWidget).text()
        await pilot.press(key)
        app.step()
        assert "REC" not in app.main.query_one("#tabs", RowsWidget).text()
    (file,) = tmp_path.glob("nvltop-*.gz")
    replay = ReplaySource(file)
    assert replay.timeline.end_s > replay.timeline.start_s
    replay.close()


async def test_a_long_jump_leaves_the_screen_to_its_keys_and_shows_how_far_it_is(recording, monkeypatch):
    monkeypatch.setattr("nvltop.tui.shell.feed.MAX_FOLD_S", -1.0)
    monkeypatch.setattr("nvltop.tui.shell.playback.PROGRESS_FROM_S", 1.0)
    monkeypatch.setattr("nvltop.record.replay.BATCH", 10)
    replay = ReplaySource(recording, clock=lambda: 100.0)
    app = Nvltop(replay, Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        replay.pause()
        replay.jump(replay.timeline.start_s + 35.0)
        app.step()
        assert app.view.replay.message.startswith("reading, ")
        assert app.view.replay.position_s == pytest.approx(35.0)
        while replay.behind:
            await pilot.pause()
        app.step()
        assert app.view.replay.message == ""
        assert {g.gpu.index: g.nvlink.links_up for g in app.view.gpus}[3] == 17
