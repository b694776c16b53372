"""Keys, mouse and sizes, through Textual's Pilot."""

from __future__ import annotations

import pytest
from textual.events import Key, MouseScrollDown, MouseScrollUp
from textual.widgets import Static

from nvltop.config.settings import Settings
from nvltop.model import Call, Tick
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.main_screen import MainScreen
from nvltop.tui.widgets.help import HelpScreen
from nvltop.tui.widgets.rows_widget import RowsWidget

pytestmark = pytest.mark.usefixtures("exact_wait")

SIZES = [(80, 24), (120, 40), (200, 60)]


def shown(app, name: str) -> RowsWidget:
    return app.main.query_one(f"#{name}", RowsWidget)


def screen(app) -> str:
    return "\n".join(lines.text() for lines in app.main.query(RowsWidget))


async def settle(app, pilot):
    app.step()
    await pilot.pause()
    app.step()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_everything_is_there_at_each_size(app, size):
    app = app()
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        text = screen(app)
        for word in ("CPU[", "144/144", "Main", "%SPD", "NV18", "torchrun", "F1Help", "F10Quit"):
            assert word in text
        assert [g.gpu.index for g in app.view.gpus] == list(range(8))
        assert shown(app, "gpus").size.height == 9
        assert "all 8 GPUs joined through 4 NVSwitches, NV18 each" in shown(app, "topology").text()
        assert not shown(app, "matrix").display
        assert shown(app, "links").display == (size[0] >= 100)
        assert shown(app, "node-chart").display == (size != (120, 40))


@pytest.mark.parametrize("size", [*SIZES, (80, 7), (40, 5)])
async def test_the_first_picture_shows_what_was_read(script, size, monkeypatch):
    """It is drawn before Textual has given the widgets any size."""
    pictures, draw = [], MainScreen.draw

    def drawn(main: MainScreen) -> None:
        draw(main)
        pictures.append((screen(app), main.tab.outer_size, main.tab.size))

    monkeypatch.setattr(MainScreen, "draw", drawn)
    source = script()
    app = Nvltop(source, Settings(), first_items=source.drain())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        first, laid_out, expected = pictures[0]
        assert not laid_out
        assert expected == app.main.tab.outer_size
        assert first == screen(app)
        assert ("NV18" in first) == (size[1] > 7)


async def test_the_last_of_n_frames_is_drawn_before_the_end(script, monkeypatch):
    texts, draw = [], MainScreen.draw

    def drawn(main: MainScreen) -> None:
        draw(main)
        texts.append(screen(app))

    monkeypatch.setattr(MainScreen, "draw", drawn)
    source = script()
    app = Nvltop(source, Settings(max_refreshes=1), first_items=source.drain())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
    assert not app.is_running
    assert "NV18" in texts[-1]


@pytest.mark.parametrize("keys", ["q", "f10"])
async def test_quit(app, keys):
    app = app()
    async with app.run_test() as pilot:
        await pilot.press(keys)
    assert app.exit_status.code == 0
    assert not app.is_running


@pytest.mark.parametrize("key", ["f1", "h", "question_mark"])
async def test_help_opens_and_closes(app, key):
    app = app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press(key)
        assert isinstance(app.screen, HelpScreen)
        for part in app.screen.query(Static):
            assert part.size.height == len(str(part.render()).split("\n")), "no line of it is broken"
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize("key", ["f1", "f2", "f6", "ctrl+p"])
async def test_a_screen_that_was_dismissed_ignores_a_second_key(app, key):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.press(key)
        above = app.screen
        assert above is not app.main
        # Keys that were typed faster than Textual handles them.
        for key in ("enter", "escape", "enter", "escape"):
            app.post_message(Key(key, None))
        await settle(app, pilot)
        assert app.screen is app.main


async def test_arrows_and_ends_select_a_gpu(app):
    app = app()
    async with app.run_test() as pilot:
        await settle(app, pilot)
        for key, gpu in (
            ("down", 1),
            ("down", 2),
            ("up", 1),
            ("end", 7),
            ("home", 0),
            ("pagedown", 7),
            ("pageup", 0),
        ):
            await pilot.press(key)
            assert app.view.gpu == gpu


async def test_enter_goes_into_the_links_and_back(app):
    app = app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press("down", "enter")
        await settle(app, pilot)
        assert shown(app, "links").display
        assert not shown(app, "node-chart").display
        await pilot.press("down", "down", "end")
        assert app.view.link == 17
        assert " 17 up" in shown(app, "links").text()
        assert "GPU 1 > link 17" in shown(app, "links").text()
        await pilot.press("escape")
        await settle(app, pilot)
        assert shown(app, "node-chart").display
        assert app.view.gpu == 1


@pytest.mark.parametrize("key", ["f5", "t"])
async def test_f5_shows_each_hidden_pane_in_turn(app, key):
    app = app(seconds=3.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        for label, pane in (("F5Matrix", "matrix"), ("F5Links", "links"), ("F5NICs", "nics")):
            assert label in shown(app, "keys").text()
            await pilot.press(key)
            await settle(app, pilot)
            assert shown(app, pane).display
        assert "mlx5_0" in shown(app, "nics").text()
        assert "F5Auto" in shown(app, "keys").text()
        await pilot.press(key)
        await settle(app, pilot)
        assert shown(app, "node-chart").display


async def test_pause_freezes_the_picture_but_not_the_sampling(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.press("Z")
        before, bucket = shown(app, "gpus").text(), app.feed.history.bucket
        app.source.advance(1.0)
        await settle(app, pilot)
        assert shown(app, "gpus").text() == before
        assert "PAUSED" in shown(app, "tabs").text()
        assert app.feed.history.bucket > bucket
        await pilot.press("Z")
        await settle(app, pilot)
        assert shown(app, "gpus").text() != before


async def test_mouse_selects_gpus_links_and_presses_the_bar(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.click("#gpus", offset=(5, 4))
        assert app.view.gpu == 3
        await pilot.click("#links", offset=(5, 6))
        assert (app.view.links_focused, app.view.link) == (True, 5)
        await pilot.click("#keys", offset=(1, 0))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_a_double_click_goes_into_the_links_and_escape_back(app):
    app = app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.click("#gpus", offset=(5, 3), times=2)
        await settle(app, pilot)
        assert (app.view.gpu, app.view.links_focused, shown(app, "links").display) == (2, True, True)
        await pilot.press("escape")
        assert (app.view.focus, app.view.pane) == ("gpus", "")


async def test_a_click_below_the_last_row_selects_nothing(app):
    app = app("hgx-a100-4")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.click("#links", offset=(5, 20))
        await pilot.click("#gpus", offset=(5, 0))
        assert (app.view.gpu, app.view.link, app.view.links_focused) == (0, 0, False)


async def test_the_wheel_moves_the_list_under_the_mouse(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        for lines, wheel in (
            (shown(app, "gpus"), MouseScrollDown),
            (shown(app, "links"), MouseScrollDown),
            (shown(app, "links"), MouseScrollDown),
            (shown(app, "links"), MouseScrollUp),
        ):
            x, y = lines.region.offset
            app.post_message(wheel(None, x, y, 0, 0, 0, False, False, False, x, y))
            await pilot.pause()
        assert (app.view.gpu, app.view.link) == (1, 1)


async def test_no_links_cannot_have_the_focus(app):
    app = app("rtx4090-pair")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press("enter", "down")
        await settle(app, pilot)
        assert (app.view.gpu, app.view.links_focused) == (1, False)
        assert "no NVLink between the 2 GPUs" in shown(app, "topology").text()


async def test_the_palette_knows_every_action(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        commands = {c.title: c.callback for c in app.get_system_commands(app.screen)}
        described = {active.binding.description for active in app.screen.active_bindings.values()} - {""}
        assert commands.keys() == described
        assert commands.keys() >= {
            "Help",
            "Pause",
            "Record, or stop",
            "Next tab",
            "Matrix, chart, links or NICs",
            "Quit",
        }
        assert not any("Replay" in title for title in commands)
        await commands["Pause"]()
        await pilot.pause()
        assert app.view.paused


async def test_ctrl_c_quits_even_from_the_help(app):
    app = app()
    async with app.run_test() as pilot:
        await pilot.press("f1", "ctrl+c")
    assert not app.is_running


async def test_before_the_driver_answers_the_screen_says_so(app):
    app = app()
    app.source.items.clear()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        assert "waiting for the NVIDIA driver" in shown(app, "header").text()
        assert "F10Quit" in shown(app, "keys").text()


async def test_a_slow_start_says_which_call_and_q_leaves(app):
    app = app()
    source = app.source
    source.items.clear()
    first = source.tick()
    call = Call("inventory", "nvmlDeviceGetNvLinkRemotePciInfo", 1, first.mono_s + 40)
    later = Tick(first.mono_s + 42, first.wall_s + 42, 0.25, "starting", (call,))
    async with app.run_test(size=(140, 24)) as pilot:
        await settle(app, pilot)
        source.tick = lambda: later
        await settle(app, pilot)
        shown_text = shown(app, "header").text()
        assert "Reading the GPUs for the first time" in shown_text
        assert "GPU 1: nvmlDeviceGetNvLinkRemotePciInfo for 2.0s, 42s in all" in shown_text
        await pilot.press("q")
    assert not app.is_running


async def test_items_that_waited_for_the_screen_are_not_a_silence_of_the_driver(app, monkeypatch):
    monkeypatch.setattr("nvltop.tui.shell.feed.MAX_FOLD_S", -1.0)
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        app.step()
        app.source.advance(10.0)
        app.step()
        await pilot.pause()
        assert "no link error counted" in shown(app, "header").text()


async def test_f7_is_seen_at_once(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        frame = app.view.frame
        await pilot.press("f7")
        assert "REC" in shown(app, "tabs").text()
        assert "F7Stop" in shown(app, "keys").text()
        await pilot.press("f7")
        assert "REC" not in shown(app, "tabs").text()
        assert "F7Record" in shown(app, "keys").text()
        assert app.view.frame is frame, "without waiting for the next frame"


async def test_no_driver_ends_with_the_reason(app):
    app = app("no-driver")
    async with app.run_test() as pilot:
        await settle(app, pilot)
    assert app.exit_status.code == 3
    assert "not loaded" in app.exit_status.message


async def test_wrong_id_ends_with_the_reason(app):
    app = app(only=("77",))
    async with app.run_test() as pilot:
        await settle(app, pilot)
    assert app.exit_status.code == 2


async def test_only_some_gpus(app):
    app = app(only=("2", "5"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        assert [g.gpu.index for g in app.view.gpus] == [2, 5]


async def test_a_storm_of_sizes(app):
    app = app()
    async with app.run_test(size=(80, 24)) as pilot:
        for size in ((1, 1), (40, 10), (300, 100), (2, 50), (200, 2), (10, 10), (80, 24), (20, 5)):
            await pilot.resize_terminal(*size)
            await settle(app, pilot)
        await pilot.resize_terminal(80, 24)
        await settle(app, pilot)
        assert "NV18" in screen(app)


async def test_a_note_of_the_worker_is_shown(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        app.source.note = "nvmlDeviceGetFieldValues hung; reading goes on without that GPU"
        await settle(app, pilot)
        assert "hung" in shown(app, "header").text()


async def test_unknown_is_a_question_mark_on_screen(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        from nvltop.nvml.simulated import Fault

        app.source.bench.library.faults["nvmlDeviceGetFieldValues"] = Fault(4, gpu=0)
        app.source.advance(1.0)
        await settle(app, pilot)
        row = shown(app, "gpus").text().splitlines()[1]
        assert row.split()[5:7] == ["?", "?"]
        assert "no permission" in shown(app, "links").text()


async def test_no_colours_means_none(app):
    app = app(theme="monochrome")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        strips = [shown(app, "gpus").render_line(y) for y in range(5)]
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        assert all(style.color is None and style.bgcolor is None for style in styles)


async def test_who_is_given_frames_gets_them_even_while_the_picture_stands_still(script):
    shown = []
    app = Nvltop(script(), Settings(), lambda frame, only: shown.append((frame, only)))
    async with app.run_test(size=(120, 40)) as pilot:
        app.step()
        assert shown[-1] == (app.view.frame, None)
        await pilot.press("Z")
        stands, count = app.view.frame, len(shown)
        app.step()
        assert (app.view.frame, len(shown)) == (stands, count + 1)


async def test_nothing_is_drawn_once_it_has_ended(app):
    app = app()
    async with app.run_test() as pilot:
        await settle(app, pilot)
    app._frames.listen(0)
    assert app._frames._idle_timer.cancelled()
    assert app._frames._listening == -1


async def test_n_refreshes_and_out(app):
    app = app(max_refreshes=3)
    async with app.run_test() as pilot:
        for _ in range(3):
            assert app.is_running
            app.step()
        await pilot.pause()
    assert not app.is_running
    assert app.exit_status.code == 0
