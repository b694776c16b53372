"""Every tab and page under the user's hands: keys, clicks, what they show."""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import replace

import pytest
from textual import events
from textual._compositor import Compositor, LayoutUpdate
from textual.widgets import Input

from nvltop.cli import man
from nvltop.cli.parser import parser
from nvltop.model import LinkErrors, Missing, Reading
from nvltop.model.error_kinds import LINK_ERROR_KINDS, PORT_ERROR_KINDS
from nvltop.tui import keys
from nvltop.tui.render.cells import to_text
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.main_screen import MainScreen
from nvltop.tui.shell.tabbed_screen import TabbedScreen
from nvltop.tui.tabs.errors.counters import NO_COUNT, CounterRow
from nvltop.tui.tabs.errors.widget import ErrorsTab
from nvltop.tui.tabs.main import matrix
from nvltop.tui.tabs.main.matrix import CONTENTS
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.help import help_text
from nvltop.tui.widgets.menu import Menu
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.searchable_tab import SearchableTab
from nvltop.tui.widgets.setup import SETTING_LINES, SetupScreen
from nvltop.tui.widgets.style_table import StyleTable
from nvltop.tui.widgets.tab import Tab

pytestmark = pytest.mark.usefixtures("exact_wait")

TITLES = [tab.title for tab in TABS]
NO_ROW = CounterRow("", 0, "0", 0, "", "", NO_COUNT, "", NO_COUNT.total)


def lines(app) -> str:
    return "\n".join(
        widget.text() for widget in app.main.query(RowsWidget) if widget.display and widget.region
    )


async def settle(app, pilot, seconds: float = 0.25):
    app.source.advance(seconds)
    app.step()
    await pilot.pause()
    await pilot.pause()


def watch(app, seconds: int):
    """Let the application read for some seconds, and draw a frame each second."""
    for _ in range(seconds):
        app.source.advance(1.0)
        app.step()


def test_the_order_of_the_tabs():
    assert TITLES[:2] == ["Main", "Links"]
    assert TITLES[-1] == "History"


async def test_tab_goes_round_and_numbers_go_straight(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        for title in [*TITLES[1:], TITLES[0]]:
            await pilot.press("tab")
            await pilot.pause()
            assert title == app.main.tab.TITLE
        await pilot.press("shift+tab")
        await pilot.pause()
        assert TITLES[-1] == app.main.tab.TITLE
        for number, title in enumerate(TITLES, 1):
            await pilot.press(str(number))
            await pilot.pause()
            assert title == app.main.tab.TITLE


@pytest.mark.parametrize("number", range(1, len(TITLES) + 1))
async def test_a_tab_that_was_seen_before_comes_back_whole_and_is_sent_once(app, monkeypatch, number):
    app, sent = app(), []
    other = str(number % len(TITLES) + 1)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        for key in (str(number), other):
            await pilot.press(key)
            await settle(app, pilot)
        its = app.main.tabs[number - 1].query(RowsWidget)
        assert app.main.tabs[number - 1].outer_size == app.main.tab.outer_size != (0, 0), "not only expected"
        render = Compositor.render_update

        def rendered(compositor, **how):
            update = render(compositor, **how)
            drawn = update.render_segments(app.console) if update else ""
            sent.append((type(update), [widget.text() for widget in its], drawn))
            return update

        monkeypatch.setattr(Compositor, "render_update", rendered)
        await pilot.press(str(number))
        await pilot.pause()
        kinds, texts, drawn = zip(*sent, strict=True)
        assert LayoutUpdate not in kinds, "nothing has to be sent twice"
        assert texts[0] == [widget.text() for widget in its] != [""] * len(its)
        assert re.search(r"Main\b.*F1", drawn[0], re.S), "together with the tab row and the function bar"
        assert not re.search(r"Main\b|F1", "".join(drawn[1:]))


async def test_tabs_and_function_keys_can_be_clicked(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        row = app.main._tabs.text()
        for title in TITLES:
            await pilot.click(offset=(row.index(f" {title} ") + 1, 4))
            await pilot.pause()
            assert title == app.main.tab.TITLE
        await pilot.click(offset=(app.main._keys.text().index("F2") + 3, 39))
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen)


async def test_every_place_of_the_function_bar_is_an_action_with_a_key(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(200, 60)) as pilot:
        await settle(app, pilot, 10.0)
        for number, title in enumerate(TITLES, 1):
            await pilot.press(str(number))
            await settle(app, pilot)
            for key in (
                keys.HELP.on_bar(),
                keys.SETUP.on_bar(),
                *app.main.visible_tab.keys(),
                keys.RECORD.on_bar(),
                keys.QUIT.on_bar(),
            ):
                assert key.name in app.main._keys.text(), title
                pressed = TEXTUAL_KEYS.get(key.name, key.name.lower())
                bindings = {
                    b.action
                    for its in (app.main.visible_tab._bindings, app.main._bindings)
                    for bound in its.key_to_bindings.values()
                    for b in bound
                    if b.key == pressed
                }
                assert key.action in bindings, f"{title}: {key.name} does not do {key.action}"


TEXTUAL_KEYS = {
    "?": "question_mark", "/": "slash", "\\": "backslash", ">": "greater_than_sign", ".": "full_stop",
    "<": "less_than_sign", "+": "plus", "-": "minus", "Esc": "escape", "Enter": "enter", "Space": "space",
    "PgUp": "pageup", "PgDn": "pagedown", "Shift-Tab": "shift+tab", "Tab": "tab", "Up": "up", "Down": "down",
    "Left": "left", "Right": "right", "Home": "home", "End": "end", "]": "right_square_bracket",
    "[": "left_square_bracket", "Ctrl-L": "ctrl+l", "Ctrl-Z": "ctrl+z", "Ctrl-P": "ctrl+p",
}  # fmt: skip
"""Textual's names of keys, by the names in the table of keys."""


def named(entries) -> set[str]:
    names = {name for entry in entries for name in entry.keys.split()}
    return {TEXTUAL_KEYS.get(name, name if len(name) == 1 else name.lower()) for name in names}


def bound(cls) -> set[str]:
    return {key for binding in cls.BINDINGS for key in binding.key.split(",")}


def test_the_table_of_keys_has_every_key_of_every_tab_and_no_other():
    everywhere = named(keys.KEYS[""]) | {str(digit) for digit in range(1, len(TABS) + 1)}
    assert bound(MainScreen) - {"equals_sign"} <= everywhere | named(keys.REPLAY_KEYS)
    common = (
        bound(Tab)
        | bound(SearchableTab)
        | bound(MainScreen)
        | bound(TabbedScreen)
        | bound(Nvltop)
        | {"enter"}
    )
    assert everywhere - {"1-9"} <= common | {"ctrl+p"}
    for entry in TABS:
        cls = entry.load()
        assert entry.title == cls.TITLE
        its = named(keys.KEYS.get(cls.TITLE, ()))
        assert bound(cls) <= its | everywhere, cls.TITLE
        assert its <= bound(cls) | common, cls.TITLE
    assert named(keys.REPLAY_KEYS) <= bound(MainScreen)


def test_help_and_manual_page_are_made_from_the_table_of_keys():
    page = man.page(parser())
    for entries in keys.KEYS.values():
        for entry in entries:
            assert f"  {entry.keys}" in help_text()
            assert man._text(entry.keys) in page
            assert man._text(entry.text) in page
    assert all(len(line) <= 80 for line in help_text().splitlines())


# ---- Links


@pytest.mark.parametrize(
    ("node", "size"), [("dgx-h100", (80, 24)), ("dgx2", (200, 60)), ("rubin", (200, 60))]
)
async def test_all_links_are_on_one_screen(app, node, size):
    app = app(node)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("2")
        await settle(app, pilot)
        heat = app.main.query_one("#heat").text().splitlines()
        gpus = len(app.view.gpus)
        assert sum(" TX " in row for row in heat[1:-1]) == gpus
        assert sum(" RX " in row for row in heat[1:-1]) == gpus
        links = len(app.view.gpus[0].links)
        numbers = re.findall(r"\d+", heat[0].removeprefix("GPU 10%").partition("SUM")[0])
        assert numbers == [str(k) for k in range(0, links, 5 if size[0] == 80 else 1)]
        first = next(row for row in heat[1:] if " TX " in row)
        assert len(first.split()) >= 2 + links + 3


async def test_cells_say_state_by_words_and_errors_by_a_mark(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("2")
        await settle(app, pilot)
        rows = app.main.query_one("#heat").text().splitlines()
        assert re.search(r"\d!", rows[1 + 3 * 3][8:])


async def test_arrows_go_from_cell_to_cell_and_enter_opens_the_link(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("2", "down", "down", "right", "right", "right")
        await settle(app, pilot)
        assert (app.view.gpu, app.view.link) == (2, 3)
        assert "GPU 2 link 3 to NVSwitch" in app.main.query_one("#heat").text()
        await pilot.press("enter")
        await settle(app, pilot)
        text = app.main.query_one("#link-page").text()
        assert text.startswith("GPU 2 > link 3")
        for word in ("NVSwitch", "speed 26.56 GB/s", "TX ", "RX ", "replays", "since the driver loaded"):
            assert word in text
        await pilot.press("right")
        await settle(app, pilot)
        assert app.main.query_one("#link-page").text().startswith("GPU 2 > link 4")
        await pilot.press("escape")
        await settle(app, pilot)
        assert app.main.page is None


async def test_a_click_selects_a_cell(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("2")
        await settle(app, pilot)
        await pilot.click(offset=(8 + 4 * 5 + 1, 5 + 1 + 3 * 4))
        await settle(app, pilot)
        assert (app.view.gpu, app.view.link) == (4, 5)


async def test_a_node_without_links_says_so(app):
    app = app("l40s")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("2")
        await settle(app, pilot)
        assert "no NVLink" in app.main.query_one("#heat").text()
        await pilot.press("3")
        await settle(app, pilot)
        assert "no NVLink, so no link errors" in lines(app)


# ---- Errors


@pytest.mark.parametrize(
    ("node", "scenario", "words"),
    [
        (
            "hgx-a100-4",
            "gpu-lost",
            "all 4 kinds of error counters of 36 links are 0; counters of GPU 3 unknown (GPU is lost)",
        ),
        ("h100-mig", "training", "counters of GPUs 0-7 unknown (MIG is on)"),
    ],
)
async def test_counters_that_could_not_be_read_are_not_called_0(app, node, scenario, words):
    app = app(node, scenario)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 18.0)
        await pilot.press("3")
        await settle(app, pilot)
        assert words in lines(app)


async def test_counts_that_cannot_be_read_any_more_stay_listed_whether_they_rose_or_not(app):
    app = app("hgx-a100-4")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("3")
        monitor, uuid = app.feed.monitor, app.view.frame.gpus[2].gpu.uuid
        now_s, wall_s = app.view.frame.tick.mono_s, app.view.frame.tick.wall_s
        for counts in ((7, 7, 0), (7, 9, 0)):
            monitor.update(Reading(uuid, now_s, now_s, wall_s, LinkErrors({"crc": counts})))
            now_s += 0.1
        lost = LinkErrors({"crc": (Missing("GPU is lost"),) * 3})
        monitor.update(Reading(uuid, now_s, now_s, wall_s, lost))
        await settle(app, pilot)
        rows = [row.split()[:6] for row in lines(app).splitlines() if " CRC " in row]
        assert rows == [["2", link, "CRC", "errors", "?", "?"] for link in "01"]
        await pilot.press("home")
        await settle(app, pilot)
        assert "GPU is lost; it was 7 when last read, 0." in app.main._keys.text()


async def test_every_counter_that_moved_is_listed_and_sorted(app):
    app = app("dgx-h100", "errors")

    def of_links():
        return [row for row in app.main.tab._list.text().splitlines()[1:] if row.startswith("   3 ")]

    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3")
        await settle(app, pilot)
        rows = app.main.tab._list.text().splitlines()
        assert [row.split()[0] for row in rows[1:4]] == ["3", "3", "3"]
        assert "CRC errors" in rows[1]
        assert "START+▽" in rows[0]
        await pilot.press("f6")
        await pilot.pause()
        assert isinstance(app.screen, Menu)
        await pilot.press("home", "down", "down", "enter")
        await settle(app, pilot)
        kinds = [row[10:30].strip() for row in of_links()]
        keys = {"CRC errors": "crc", "recoveries": "recovery", "replays": "replay"}
        assert [keys[kind] for kind in kinds] == sorted(keys[kind] for kind in kinds)
        await pilot.press("I")
        await settle(app, pilot)
        assert [row[10:30].strip() for row in of_links()] == kinds[::-1]


async def test_counters_of_nics_stand_among_them(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3")
        await settle(app, pilot)
        rows = app.main.tab._list.text().splitlines()
        (waits,) = [row for row in rows if row.endswith("NIC mlx5_3") or " NIC mlx5_3 " in row]
        assert waits.split()[:2] == ["N3", "1"]
        assert "waits for credit" in waits
        assert rows.index(waits) > 3, "below what means trouble"
        await pilot.press("end", "enter")
        await settle(app, pilot)
        assert app.main.query_one("#nic-page").text().startswith("NIC mlx5_")
        await pilot.press("escape", "f4", *"mlx5_3", "enter")
        await settle(app, pilot)
        assert [i.owner for i in app.main.tab._items] == ["mlx5_3"]


async def test_keys_that_arrive_together_with_the_key_of_a_prompt_are_its_text(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        for name, text in (("slash", "quit 1"), ("backslash", "kI+2")):
            for key in (events.Key(name, None), *(events.Key(c, c) for c in text)):
                app.post_message(key)
            await settle(app, pilot)
            assert app.main._prompt._input.value == text
            assert app.main.tab.TITLE == "Main"
            await pilot.press("escape")
            await settle(app, pilot)
            assert not app.main.is_prompting
        assert not app.view.descending


async def test_the_widgets_of_the_prompt_are_mounted_when_it_is_first_asked(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        assert not app.main.query(Input)
        for name in ("slash", *"gpu"):
            app.post_message(events.Key(name, None if name == "slash" else name))
        await settle(app, pilot)
        assert app.main.query_one(Input).value == "gpu"
        await pilot.press("escape", "slash", "x")
        await settle(app, pilot)
        assert [line.value for line in app.main.query(Input)] == ["x"]


async def test_search_and_filter_while_typing(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3")
        await settle(app, pilot)
        await pilot.press("slash", *"resen")
        await settle(app, pilot)
        assert app.main.tab.selected.kind == "replay"
        await pilot.press("enter", "backslash", *"crc")
        await settle(app, pilot)
        assert {i.kind for i in app.main.tab._items} == {"crc"}
        assert "filter: crc (hides " in app.main.tab._list.text()
        await pilot.press("enter", "escape")
        await settle(app, pilot)
        assert len([i for i in app.main.tab._items if i.link]) == 3, "Esc clears the filter"
        await pilot.press("slash", *"zzz")
        await settle(app, pilot)
        assert app.main._prompt.has_class("no-match")
        await pilot.press("escape")
        await settle(app, pilot)
        assert not app.main.is_prompting


@pytest.mark.parametrize(("width", "shown"), [(80, "IN"), (120, "IN PER DAY"), (140, "IN PER DAY HOUR+")])
async def test_the_rate_of_an_error_counter_over_its_lifetime_is_shown_where_there_is_room(app, width, shown):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(width, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3")
        await settle(app, pilot)
        title = " ".join(app.main.tab._list.text().splitlines()[0].split())
        assert f"LIFETIME {shown} START+" in title
        assert ("REMOTE END OR NIC" in title) == (width > 80)


async def test_the_last_line_says_why_the_time_of_a_count_is_unknown(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(200, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3", "end")
        await settle(app, pilot)
        tab = app.main.tab
        assert not tab.selected.link
        assert [tab.cell(tab.selected, c)[0] for c in tab.columns if c.key in ("over", "per_day")] == [
            "?",
            "?",
        ]
        assert tab.status() == f"{tab.selected.label} ? IN, PER DAY: not reported"


def test_a_kind_of_errors_is_not_cut_without_a_mark(view):
    column = next(c for c in ErrorsTab.COLUMNS if c.key == "kind")
    tab = ErrorsTab(view(), DirectOutput(StyleTable()))
    for kind in (*LINK_ERROR_KINDS, *PORT_ERROR_KINDS):
        row = replace(NO_ROW, kind=kind.id, words=kind.plural)
        text = to_text(tab.cell(row, column)[0])
        assert text == kind.plural or (len(text) == column.width and text.endswith("…"))


async def test_enter_on_a_counter_opens_its_link(app):
    app = app("dgx-h100", "errors")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(app, pilot, 20.0)
        await pilot.press("3", "enter")
        await settle(app, pilot)
        assert app.main.query_one("#link-page").text().startswith("GPU 3 > link 7")


@pytest.mark.parametrize("size", [(20, 5), (40, 7), (40, 10), (80, 12)])
async def test_a_low_screen_shows_the_tab_and_nothing_over_another_part(app, size):
    app = app("dgx-h100", "link-down", 14.0)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        for number, title in enumerate(TITLES, 1):
            await pilot.press(str(number))
            await settle(app, pilot)
            assert title == app.main.tab.TITLE
            parts = [app.main._header, app.main._tabs, app.main.tab, app.main._keys]
            assert [part.region.height for part in parts][1:] >= [1, 3, 1]
            assert sum(part.region.height for part in parts) == size[1], "no part lies over another one"
            assert app.main._header.region.height == min(4, size[1] - 5)
            if app.main._header.region:
                last = "1 critical" if app.view.frame.findings else "no link error"
                assert last in app.main._header.text().splitlines()[-1]
            texts = [widget.text().strip() for widget in app.main.tab.query(RowsWidget) if widget.region]
            assert any(texts), f"{title} is blank"
            row = app.main._tabs.text().rstrip()
            assert row.endswith(("+", title)) or re.search(r" \d\d:\d\d:\d\d$", row), "no cut clock"
            if title == "Main":
                await pilot.press("slash", *"gpu 3")
                assert app.main._prompt._input.region.width >= len("gpu 3"), "what is typed can be seen"
                await pilot.press("enter")
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            assert app.main._header.region.height == 4
            await pilot.resize_terminal(*size)


# ---- Main


async def test_no_two_lines_contradict_each_other_while_a_hang_is_pending(app):
    app = app("hgx-b200", "hang")
    async with app.run_test(size=(80, 24)) as pilot:
        watch(app, 44)
        await settle(app, pilot, 1.0)
        assert any(check.outcome == "pending" for check in app.view.frame.checks)
        title, job, *_ = app.main.query_one("#notes", RowsWidget).text().splitlines()
        assert title.strip() == "1 JOB, NO FAULT FOUND YET: SEE HEALTH"
        *_, verdict, last = app.main._header.text().splitlines()
        (silence,) = re.findall(r"o NVLink traffic for .*\)", verdict)
        assert silence in job
        assert "o NVLink traffic" not in last, "the line above says it"


@pytest.mark.parametrize("title", ["Health", "Events"])
async def test_no_text_below_a_list_is_cut_without_a_mark_and_a_key_for_the_rest(app, title):
    app = app("h100-two", "link-down", seconds=9.0)
    async with app.run_test(size=(50, 24)) as pilot:
        for _ in range(6):
            await settle(app, pilot, 1.0)
        await pilot.press(str(TITLES.index(title) + 1))
        await settle(app, pilot)
        details = app.main.tab._details
        text, (head, *shown) = details._lines, details.text().split("\n")
        wanted = [to_text("".join(run for run, _ in line)) for line in text]
        assert f"lines 1-{len(shown)} of {len(wanted)}, more: ] [" in head
        for _ in wanted[len(shown) :: len(shown)]:
            await pilot.press("right_square_bracket")
            await settle(app, pilot)
            shown += details.text().split("\n")[1:]
        assert {line.strip() for line in wanted} == {line.strip() for line in shown}
        at = details.region
        await pilot._post_mouse_events([events.MouseScrollUp], offset=(at.x + 1, at.y + 1))
        await settle(app, pilot)
        assert f"-{len(wanted) - 1} of {len(wanted)}" in details.text().split("\n")[0], "the wheel moves it"
        await pilot.press("down")
        await settle(app, pilot)
        assert details._top == 0, "those of another row begin at the first line"


async def test_the_matrix_cell_by_cell(app):
    app = app("dgx1-v100")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("m", "right", "right", "enter")
        await settle(app, pilot)
        text = app.main.query_one("#pair-page").text()
        assert text.startswith("GPU 0 > GPU 3")
        assert "NV2: joined directly by 2 links" in text
        assert text.count("GPU 3 link") == 2
        await pilot.press("escape", "escape")
        await settle(app, pilot)
        assert app.view.column is None


@pytest.mark.parametrize("gpu", [0, 1])
async def test_the_matrix_begins_at_a_pair_and_its_diagonal_opens_the_gpu(app, gpu):
    app = app("h100-two", seconds=0.5)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.press(*["down"] * gpu, "m", "enter")
        await settle(app, pilot)
        assert app.main.query_one("#pair-page").text().startswith(f"GPU {gpu} > GPU {1 - gpu}")
        await pilot.press("escape", "right" if gpu else "left", "enter")
        await settle(app, pilot)
        assert app.main.query_one("#gpu-page").text().startswith(f"GPU {gpu} · ")


@pytest.mark.parametrize("filtered", ["", "gpu 1"])
async def test_a_double_click_opens_the_pair_that_was_clicked(app, filtered):
    """Also at the edge of a panel that does not show all rows, and if the filter hides the GPU of the row."""
    app = app("dgx2")
    sizes, corners = [(80, 24), (100, 19), (120, 24), (200, 60)], [(0, 0), (0, 1), (1, 0), (1, 1)]
    async with app.run_test(size=sizes[0]) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("backslash", *filtered, "enter", "m", "down", "down")
        panel = app.main.query_one("#matrix")
        for size, corner in itertools.product(sizes, corners):
            await pilot.resize_terminal(*size)
            await settle(app, pilot)
            head, *rows = panel.text().split("\n")
            columns = [int(name) for name in head.split() if name.isdecimal()]
            row, column = len(rows) * corner[0] - corner[0], len(columns) * corner[1] - corner[1]
            pair = re.findall(r"\d+", rows[row])[0], columns[column]
            at = 3 + matrix.cell_width(app.view) * column + 2, 1 + row
            await pilot.click(panel, offset=at, times=2)
            await settle(app, pilot)
            page, title = "#pair-page", f"GPU {pair[0]} > GPU {pair[1]}"
            if int(pair[0]) == pair[1]:
                page, title = "#gpu-page", f"GPU {pair[0]} · "
            assert app.main.query_one(page).text().startswith(title)
            await pilot.press("escape")


async def test_a_double_click_opens_the_nic_that_was_clicked(app):
    app = app("dgx-h100")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("i", *["down"] * 6)
        panel = app.main.query_one("#nics")
        for row in (1, -1):
            await settle(app, pilot)
            lines = [line for line in panel.text().split("\n") if "mlx5_" in line]
            place = row % len(lines)
            name = lines[place].split()[1]
            await pilot.click(panel, offset=(5, 1 + place), times=2)
            await settle(app, pilot)
            assert f"NIC {name} " in app.main.query_one("#nic-page").text()
            await pilot.press("escape")


async def test_columns_of_the_matrix_and_nics_that_do_not_fit_are_reached(app):
    app = app("dgx-h100")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot, 3.0)
        matrix = app.main.query_one("#matrix")
        await pilot.press("m")
        await settle(app, pilot)
        assert matrix.text().split("\n")[0].split()[-2:] == ["N5", "+6"]
        await pilot.press(*["right"] * 30)
        await settle(app, pilot)
        assert matrix.text().split("\n")[0].split()[-2:] == ["N11", "+6"]
        await pilot.press("enter")
        await settle(app, pilot)
        assert not app.main.query("#pair-page"), "NVLink does not lead to a NIC"
        await pilot.press("escape", "f5", "f5", "f5")
        await settle(app, pilot)
        nics = app.main.query_one("#nics")
        pages = [nics.text().split("\n")[0].rpartition(" ")[2]]
        for _ in range(3):
            await pilot.press("right_square_bracket")
            await settle(app, pilot)
            pages.append(nics.text().split("\n")[0].rpartition(" ")[2])
        assert (pages[0], pages[-1]) == ("1-5/12", "8-12")


async def test_a_nic_is_selected_and_opened(app):
    app = app("dgx-h100", "nic-down")
    async with app.run_test(size=(120, 40)) as pilot:
        watch(app, 15)
        await settle(app, pilot, 1.0)
        await pilot.press("i", *["down"] * 5)
        await settle(app, pilot)
        assert (app.view.focus, app.view.nic, app.view.gpu) == ("nics", 5, 0)
        await pilot.press("enter")
        await settle(app, pilot)
        text = app.main.query_one("#nic-page").text()
        assert text.startswith("NIC mlx5_5")
        for word in ("down", "COUNTERS", "critical since", "NIC mlx5_5 went down"):
            assert word in text
        await pilot.press("escape", "escape")
        await settle(app, pilot)
        assert app.view.focus == "gpus"
        await pilot.click("#nics", offset=(5, 3))
        assert (app.view.focus, app.view.nic) == ("nics", 2)


async def test_the_matrix_shows_each_kind_of_value_and_only_one_list_has_the_focus(app):
    app = app("dgx1-v100", "link-down", seconds=15.0)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        matrix = app.main.query_one("#matrix")
        heads = []
        for _ in CONTENTS:
            await settle(app, pilot)
            heads.append(matrix.text().split("\n")[0])
            await pilot.press("x")
        for head, name in zip(heads[1:], ("sent", "% of NCCL max", "P2P", "errors"), strict=True):
            assert name in head
        assert app.view.matrix_content == "links"
        for key, focus in (("m", "matrix"), ("i", "nics"), ("escape", "gpus"), ("enter", "links")):
            await pilot.press(key)
            await settle(app, pilot)
            assert app.view.focus == focus
            marked = [
                widget.id
                for widget in app.main.query(RowsWidget)
                if widget.display and any(role == "selected" for row in widget._rows for _, role in row)
            ]
            assert marked == [focus]


async def test_the_matrix_estimates_and_no_longer(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 6.0)
        matrix = app.main.query_one("#matrix")
        assert not matrix.display, "one line says it"
        await pilot.press("e")
        await settle(app, pilot)
        assert "≈" in matrix.text()
        await pilot.press("e")
        await settle(app, pilot)
        assert not matrix.display


async def test_gpus_can_be_sorted_filtered_and_found(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        app.view.gpu = 5
        await pilot.click(offset=(33, 5))
        await settle(app, pilot)
        assert app.view.sort == "tx"
        rates = [g.nvlink.tx_bytes_per_s for g in app.view.gpus]
        assert rates == sorted(rates, reverse=True)
        assert app.view.selected.gpu.index == 5, "the selection stays on its GPU"
        await pilot.press("f4", *"gpu 3", "enter")
        await settle(app, pilot)
        assert [g.gpu.index for g in app.view.gpus] == [3]
        assert 'filter "gpu 3" hides 7 GPUs, 12 NICs' in lines(app)
        await pilot.press("f4", "escape", "f4", *"mlx5_1", "enter")
        await settle(app, pilot)
        assert "no GPU matches the filter" in lines(app)
        assert "TX GB/s RX GB/s %SPD" in lines(app), "the columns are those of NVLink"
        assert 'filter "mlx5_1" hides 8 GPUs, 9 NICs' in lines(app)
        await pilot.press("escape")
        await settle(app, pilot)
        assert len(app.view.gpus) == 8
        await pilot.press("slash", *"gpu 6", "enter")
        await settle(app, pilot)
        assert app.view.selected.gpu.index == 6


async def test_a_search_goes_from_match_to_match_as_in_htop(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 1.0)
        found = []
        await pilot.press("f3", *"h100")
        for key in ("f3", "f3", "enter", "n", "n", "N"):
            await pilot.press(key)
            await pilot.pause()
            found.append(app.view.gpu)
        assert found == [1, 2, 2, 3, 4, 3]
        await pilot.press("j", "j", "k")
        assert app.view.gpu == 4
        await pilot.press("slash", *"zzz", "enter", "n")
        await settle(app, pilot)
        assert app.view.gpu == 4


async def test_plus_and_minus_change_the_interval_at_once(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        assert "- 0.25 s +" in app.main._tabs.text()
        await pilot.press("plus")
        await pilot.pause()
        assert app.source.interval_s == app.settings.interval_s == 0.5
        await pilot.press("minus", "minus", "minus")
        await pilot.pause()
        assert app.source.interval_s == 0.1
        await pilot.click(offset=(app.main._tabs.text().index("+"), 4))
        await pilot.pause()
        assert app.source.interval_s == 0.25


async def test_the_menu_of_columns_begins_at_the_current_one_and_follows_what_is_typed(app):
    app = app()
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        app.view.sort = "tx"
        await pilot.press("f6")
        await pilot.pause()
        options = app.screen._list
        assert options.get_option_at_index(options.highlighted).id == "tx"
        await pilot.press(*"te")
        assert options.get_option_at_index(options.highlighted).id == "temp"
        await pilot.press("enter")
        await settle(app, pilot)
        assert app.view.sort == "temp"


async def test_pages_of_links_from_main(app):
    app = app("rtx3090-pair")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press("enter", "down", "enter")
        await settle(app, pilot)
        assert app.main.query_one("#link-page").text().startswith("GPU 0 > link 1")
        assert "RAW bytes" in app.main.query_one("#link-page").text()


# ---- History


async def test_history_spans_targets_and_cursor(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        watch(app, 10)
        await pilot.press(str(TITLES.index("History") + 1))
        await settle(app, pilot)
        chart = app.main.query_one("#chart")
        assert "NVLink of all GPUs · TX above RX · last 5 min, known for 1" in chart.text()
        await pilot.press("left_square_bracket", "down", "left", "left")
        await settle(app, pilot, 1.0)
        text = chart.text()
        assert "NVLink of GPU 0 · TX above RX · last 1 min, known for 1" in text
        assert re.search(r"TX [\d.]+( \(.*?\))?  RX [\d.]+( \(.*?\))? GB/s · mean of 0\.25 s", text)
        assert re.search(r"NCCL max 37\d\.\d GB/s", text), re.findall("NCCL.*", text)
        assert "NVLink of GPU 0 link 4" in text
        assert any(0x2800 < ord(c) < 0x2900 for c in text), "braille dots of the curve"
        await pilot.press("p")
        await settle(app, pilot, 1.0)
        assert "PCIe of GPU 0" in chart.text()
        await pilot.press("p", "l")
        await settle(app, pilot, 1.0)
        assert "NVLink of GPU 0 link 0 · TX" in chart.text()
        for _ in range(6):
            await pilot.press("right_square_bracket")
        await settle(app, pilot, 1.0)
        assert "last 24 h, known for" in chart.text()
        await pilot.press("v")
        await settle(app, pilot, 1.0)
        assert "filled" not in chart.text()
        assert "F1Help" in app.main._keys.text()
        assert "vFilled" in app.main._keys.text()


async def test_history_of_nics(app):
    app = app("dgx-h100")
    async with app.run_test(size=(120, 40)) as pilot:
        watch(app, 5)
        await pilot.press(str(TITLES.index("History") + 1), *["down"] * 9)
        await settle(app, pilot)
        chart = app.main.query_one("#chart")
        assert chart.text().startswith("all NICs · TX above RX · last 5 min")
        match = re.search(r"TX ([\d.]+)  RX", chart.text())
        assert match, chart.text()
        each = [app.feed.history.readings((f"mlx5_{i}", 1, "tx")).bytes_per_s[-1] for i in range(12)]
        assert float(match[1]) == pytest.approx(sum(each) / 1e9, rel=0.01)
        await pilot.press("down")
        await settle(app, pilot, 1.0)
        assert "NIC mlx5_0 · TX above" in chart.text()
        await pilot.press(*["down"] * 40)
        await settle(app, pilot, 1.0)
        assert "NIC mlx5_11 · TX above" in chart.text()


# ---- keys without an effect


async def test_keys_say_why_they_have_no_effect_before_the_first_reading(app):
    app = app("h100-two", seconds=0.5)
    app.source.items.clear()
    async with app.run_test(size=(100, 30)) as pilot:
        app.step()
        await pilot.pause()
        assert "no GPU read yet" in app.main.query_one("#gpus").text()
        wanted = [("enter", "no GPU read yet"), ("m", "no GPU read yet"), ("i", "NICs: not read yet"),
                  ("2 enter", "no GPU read yet"), ("3 enter", "no counter is selected"),
                  ("4 enter", "this line is not about one GPU, link or NIC"),
                  ("5 enter", "no event is selected"), ("6 space", "no process is selected"),
                  ("7 l", "no GPU read yet")]  # fmt: skip
        for typed, _ in wanted:
            await pilot.press(*typed.split())
            await pilot.pause()
        assert [n.message for n in app._notifications] == [reason for _, reason in wanted]


# ---- Setup


async def test_setup_changes_at_once_and_writes_on_leaving(app, tmp_path):
    path = tmp_path / "nvltop" / "config.toml"
    app = app("dgx-h100", config=path)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.press("f2", "right")
        await settle(app, pilot)
        assert app.settings.theme == "light"
        await pilot.press("down", "down", "right")
        await settle(app, pilot)
        assert "TX Gb/s" in lines(app)
        assert not path.exists()
        await pilot.press("escape")
        await settle(app, pilot)
    assert path.read_text().splitlines()[1:] == ['theme = "light"', 'units = "Gb/s"']
    assert path.stat().st_mode & 0o777 == 0o600


async def test_setup_shows_each_value_on_a_narrow_screen(app):
    app = app("h100-two", seconds=0.5)
    async with app.run_test(size=(20, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press("f2", "right")
        await settle(app, pilot)
        for width, shown in ((20, "light Theme"), (80, "Theme                light")):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            texts = [app.screen._list.render_line(y).text for y in range(app.screen._list.size.height)]
            assert texts[0].strip() == shown
            assert any(text.lstrip().startswith("[x]") for text in texts) == (width == 20)


async def test_every_line_of_setup_can_be_turned_both_ways(app):
    app = app("rtx3090-pair")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        await pilot.press("f2")
        await pilot.pause()
        for line in SETTING_LINES:
            before = line.get(app.settings)
            await pilot.press("right")
            assert line.get(app.settings) != before, line.label
            await pilot.press("left")
            assert line.get(app.settings) == before, line.label
            await pilot.press("down")
        await pilot.press("escape")
        await settle(app, pilot)


@pytest.mark.parametrize("tab", ["Main", "History"])
async def test_a_picture_that_stands_still_follows_the_settings(app, tab):
    app = app("dgx-h100")
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(app, pilot, 3.0)
        await pilot.press(str(TITLES.index(tab) + 1), "Z")
        await settle(app, pilot)
        assert not lines(app).isascii()
        app.change_settings(replace(app.settings, unicode=False))
        assert re.findall(r"[^\x00-\x7f]", lines(app)) == []
        app.change_settings(replace(app.settings, units="Gb/s"))
        text = lines(app)
        assert "Gb/s" in text
        assert "GB/s" not in text


async def test_columns_that_are_off_at_first_and_their_names_in_setup(app):
    extra = ("pcie", "c2c", "clock", "limit", "throttling")
    app = app("dgx-h100", "throttled", extra_columns=extra)
    async with app.run_test(size=(200, 50)) as pilot:
        await settle(app, pilot, 40.0)
        title, *rows = app.main.tab._widgets["gpus"].text().splitlines()
        assert re.search(r"PCIe TX PCIe RX  C2C TX  C2C RX SM MHz PWR MAX THROTTLED", title)
        row = next(row for row in rows if row.strip().startswith("3"))
        assert re.search(r" - +- +\d{3,4} +700W heat ", row), row
        assert re.search(r" 700W no ", rows[0]), rows[0]
        await pilot.press("f2")
        await pilot.pause()
        labels = [line.label for line in SETTING_LINES]
        assert {"Column %SPD", "Column BUS ID", "Column THROTTLED"} <= set(labels)


async def test_hidden_columns_and_other_meters(app):
    app = app("dgx-h100", hidden_columns=("mem", "power"), meters=("power", "pcie-tx"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot, 3.0)
        text = lines(app)
        assert "PWR" not in text
        assert "MEM" not in text
        assert "UTIL%" in text
        assert "kW" in text
        assert "PCIe" in text


# ---- sizes


async def test_resizing_while_it_runs_never_fails(app):
    app = app("dgx2", "errors")
    rng = random.Random(7)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot, 3.0)
        for width, height in [(1, 1), (40, 10), (300, 80), (2, 60), (200, 1), (20, 3)]:
            await pilot.resize_terminal(width, height)
            for index in range(len(TABS)):
                await pilot.press(str(index + 1))
                await settle(app, pilot)
        for _ in range(10):
            await pilot.resize_terminal(rng.randint(1, 300), rng.randint(1, 80))
            await pilot.press(rng.choice(["tab", "down", "enter", "escape", "right", "m", "f5"]))
            await settle(app, pilot)
        await pilot.resize_terminal(80, 24)
        await pilot.press("escape", "escape", "1")
        await settle(app, pilot)
        assert "TX GB/s" in lines(app)
