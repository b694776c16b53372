"""Keys that are typed before what they are for is on the screen, as over a slow line."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input, OptionList

from nvltop.config.settings import Settings
from nvltop.fleet.simulated import SimulatedSource
from nvltop.tui.fleet.app import FleetApp
from nvltop.tui.fleet.detail_page import GpusPage, LinksPage
from nvltop.tui.fleet.nodes_tab import NodesTab
from nvltop.tui.shell.comparison_control import MAX_PATH_CHARS
from nvltop.tui.shell.keyboard import KeyboardInput
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.choices import TextLine
from nvltop.tui.widgets.rows_widget import RowsWidget

pytestmark = pytest.mark.usefixtures("exact_wait")

MOVES = ("down", "pagedown", "end")
TABS_AND_MOVES = [[f"{number} {key} {key}" for number in range(1, len(TABS) + 1)] for key in MOVES]
"""For each move the keys of all tabs, which are so visited for the first time."""
PAGES = [
    "enter down enter pagedown", "enter down enter escape escape down", "m enter down", "i enter right",
    "2 enter pagedown", "2 enter right", "2 enter escape down", "2 enter 3 down", "2 down enter b enter",
    "3 enter pagedown", "3 down enter escape down", "4 enter right", "4 enter escape down",
    "5 enter right", "5 enter escape down", "6 down R R escape", "4 tab enter backspace down",
]  # fmt: skip
PROMPTS = [
    "slash g p u space 5 enter down", "slash 6 escape down", "3 backslash c r c backspace enter down",
    "3 backslash 5 enter escape down", "backslash 4 enter 2 enter right", "slash 1 left 2 enter n q enter",
]  # fmt: skip
DIALOGS = [
    "3 f6 down enter down", "f6 end enter pagedown", "3 f6 escape down", "3 f6 l i enter down",
    "f2 down right escape down", "f2 down enter down enter escape 2", "f1 escape down", "f1 down f10 2",
    "b enter 3 down", "b end enter x escape 3", "6 f9 down enter enter down", "6 f9 k enter escape down",
    "6 u down enter down", "I down", "f6 enter down", "f1 pagedown", "f1 end",
]  # fmt: skip


async def states(app, sequences, ahead):
    """Return what is on the screen after each sequence of keys, typed one by one or all at once."""
    app, seen = app("dgx-h100", "link-down", 14.0), []
    async with app.run_test(size=(120, 40)) as pilot:
        app.step()
        await pilot.pause()
        for typed in sequences:
            if ahead:
                type_ahead(app, typed)
            else:
                await pilot.press(*typed.split())
            await pilot.pause()
            await pilot.pause()
            app.step()
            await pilot.pause()
            seen.append((typed, state(app)))
    return seen


def state(app):
    main, screen = app.main, app.screen
    return (
        type(screen),
        type(main.visible_tab),
        app.view.gpu,
        main._prompt._input.value if main.is_prompting else main._keys.text(),
        [widget.text() for widget in main.visible_tab.query(RowsWidget)],
        [(box.highlighted, box.option_count) for box in screen.query(OptionList)],
        [line.value for line in screen.query(Input)],
        [child.scroll_offset for child in screen.children],
    )


def type_ahead(app, typed):
    for name in typed.split():
        app.post_message(events.Key(name, name if len(name) == 1 else {"space": " "}.get(name)))


@pytest.mark.parametrize(
    "sequences", [*TABS_AND_MOVES, *([typed] for typed in PAGES + PROMPTS + DIALOGS)], ids=", ".join
)
async def test_keys_typed_ahead_do_what_they_do_one_by_one(app, node_clock, sequences):
    begin_s = node_clock.now
    one_by_one = await states(app, sequences, False)
    node_clock.now = begin_s  # the same run, which the node reads once
    assert await states(app, sequences, True) == one_by_one


async def test_a_paste_and_the_keys_around_it_keep_their_order(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(120, 40)) as pilot:
        type_ahead(app, "3 backslash c")
        app.post_message(events.Paste("rc\nsecond line"))
        type_ahead(app, "x backspace enter 2")
        await pilot.pause()
        assert app.main.tabs[2].filter_text == "crc"
        assert app.main.tab.TITLE == "Links"
        assert not app.main.is_prompting


async def test_a_text_that_does_not_fit_into_a_prompt_says_so(app):
    app = app("h100-two", seconds=0.5)
    async with app.run_test(size=(120, 40)) as pilot:
        type_ahead(app, "3 backslash c")
        for text in ("x" * 200, "y" * 200, "rc\nsecond line"):
            app.post_message(events.Paste(text))
        await pilot.pause()
        assert app.main.tabs[2].filter_text == "crc"
        assert [n.message for n in app._notifications] == [
            "not inserted: the line would have more than 200 characters",
            "only the first line was inserted",
        ]


@pytest.mark.parametrize("chars", [MAX_PATH_CHARS, MAX_PATH_CHARS + 1, 3 * MAX_PATH_CHARS])
async def test_a_paste_that_is_longer_than_any_line_is_not_inserted_in_part(app, chars):
    app = app("h100-two", seconds=0.5)
    async with app.run_test(size=(120, 40)) as pilot:
        line = TextLine("", lambda text: None, max_chars=MAX_PATH_CHARS)
        await app.main.mount(line)
        await pilot.pause()
        (paste,) = [
            event
            for event in KeyboardInput().feed(b"\x1b[200~" + b"x" * chars + b"\x1b[201~")
            if isinstance(event, events.Paste)
        ]
        assert line.take(paste)
        fits = chars <= MAX_PATH_CHARS
        assert line.value == "x" * chars * fits
        await pilot.pause()
        assert bool(list(app._notifications)) is not fits


async def test_keys_typed_ahead_on_the_screen_of_many_nodes():
    app = FleetApp(SimulatedSource("xid"), Settings(), 5.0)
    async with app.run_test(size=(120, 40)) as pilot:
        while not app.view.fleet.nodes:
            await pilot.pause(0.01)
        type_ahead(app, "f3 t r a y 0 4 enter enter")
        await pilot.pause()
        assert isinstance(app.main.page, GpusPage)
        assert isinstance(app.main.tab, NodesTab)
        assert app.main.tab.selected.name == "tray04"
        assert app.poller._watched == (app.main.page.node, "") == (app.main.tab.selected.key, "")
        type_ahead(app, "escape down enter 2 down f6 down escape")
        await pilot.pause()
        assert app.main.tab.TITLE == "Links"
        assert app.main.page is None
        assert app.screen is app.main
        assert app.poller._watched is None, "a page that is left for a tab is read no more"


async def test_a_page_that_replaces_itself_by_a_double_click_is_not_waited_for():
    app = FleetApp(SimulatedSource("xid"), Settings(), 5.0)
    async with app.run_test(size=(120, 40)) as pilot:
        while not app.view.fleet.nodes:
            await pilot.pause(0.01)
        await pilot.press("enter")
        while not (app.view.detail and app.view.detail.gpus):
            await pilot.pause(0.01)
        await pilot.click(app.main.page._list, offset=(5, 2), times=2)
        assert isinstance(app.main.page, LinksPage)
        await pilot.press("escape", "escape")
        assert app.main.page is None
        assert not app.main.query(GpusPage)
