"""Compare with: a menu, a sign on the tab row, differences on Errors and the page of a link, and the end."""

from __future__ import annotations

import json

from textual.widgets import Input

from nvltop.comparison.source import side_of
from nvltop.record.redact import Redactor
from nvltop.tui.shell.redacted_screen import picture
from nvltop.tui.widgets.line_dialog import LineDialog
from nvltop.tui.widgets.menu import Menu


async def settle(app, pilot, seconds: float = 0.0) -> None:
    if seconds:
        app.source.advance(seconds)
    app.step()
    await pilot.pause()


async def choose(app, pilot, option: int) -> None:
    await pilot.press("b")
    assert isinstance(app.screen, Menu)
    await pilot.press(*["down"] * option, "enter")
    await pilot.pause()


async def read(app, pilot, path) -> None:
    """Enter a path, and wait for the thread that reads it."""
    await choose(app, pilot, 2)
    assert isinstance(app.screen, LineDialog)
    app.screen.query_one(Input).value = str(path)
    attempt = app._comparison._attempt
    await pilot.press("enter")
    for _ in range(500):
        await pilot.pause(0.01)
        if app._comparison._attempt > attempt + 1 or app._notifications:
            break


def errors(app) -> str:
    return app.main.tabs[2]._list.text()


def tab_row(app) -> str:
    return app.main._tabs.text()


async def test_since_now_since_the_start_and_a_file(app, tmp_path):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3")
        await settle(app, pilot)
        assert "bCompare" in app.main._keys.text()
        [at_start] = [i.error.since_start for i in app.main.tab._items if i.kind == "replay"]

        await choose(app, pilot, 0)
        await settle(app, pilot)
        assert "COMPARED" in tab_row(app)
        assert "Change since " in errors(app).splitlines()[0]
        items = {(i.owner, i.index, i.kind): i for i in app.main.tab._items}
        [replay] = [i for i in items.values() if i.kind == "replay"]
        assert (replay.change.increase, replay.change.before) == (0, replay.error.total)
        assert replay.error.since_start == at_start, "the counts since the start stay"
        await settle(app, pilot, 30.0)
        assert "START+" not in errors(app)
        await pilot.press("home")
        assert app.main.tab.selected.change.increase > 0, "what rose comes first"
        await pilot.press("enter")
        await settle(app, pilot)
        page = app.main.page._page.text()
        assert "GPU 3 > link 7" in page
        assert "BEFORE      NOW   CHANGE  PER HOUR" in page
        assert "state, speed and remote end are as they were" in page
        assert "bEndCmp" in app.main._keys.text()
        await pilot.press("escape")
        assert app.view.baseline, "Esc has closed the page"
        await pilot.press("escape")
        assert app.view.baseline is None
        await settle(app, pilot)
        assert "COMPARED" not in tab_row(app)
        assert "START+" in errors(app)

        await choose(app, pilot, 1)
        await settle(app, pilot)
        assert "the start at " in errors(app)
        assert app.main.tab.selected.change.increase == app.main.tab.selected.error.since_start
        await pilot.press("b")
        assert app.view.baseline is None

        # An unreadable file gives a message, and nothing is lost.
        await read(app, pilot, tmp_path / "none.json")
        [notice] = app._notifications
        assert "No such file" in notice.message
        assert (app.view.baseline, notice.severity) == (None, "error")
        app.clear_notifications()

        report = json.loads(json.dumps(side_of("", app.view.frame).report))
        report["gpus"][2]["links"][5]["state"] = "down"
        report["gpus"][3]["links"][7]["errors"]["replay"]["total"] += 1000
        report["time"] = "2026-09-20T00:00:00Z"
        (tmp_path / "asmith.json").write_text(json.dumps(report))
        await read(app, pilot, tmp_path / "asmith.json")
        await settle(app, pilot)
        text = errors(app)
        assert "Compared with asmith.json of 2026-09-20 " in text
        assert "the same node" in text
        first = app.main.tab._items[0]
        assert (first.words, first.fact.before, first.fact.now) == ("link state", "down", "up")
        assert "the counter was reset in between; " in text
        svg = picture(app.main, app.view, Redactor({}))
        assert "asmith" not in svg
        assert "a&#160;file" in svg
        await pilot.press("b")


async def test_a_narrow_screen_has_the_sign_as_well(app):
    app = app("hgx-a100-4", "training")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot, 10.0)
        await pilot.press("3")
        await choose(app, pilot, 0)
        await settle(app, pilot)
        row = tab_row(app)
        assert "COMPARED" in row or "CMP" in row
        assert "Main" in row
        assert "every link is as it was" in errors(app)
