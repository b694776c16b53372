"""The screen of many nodes on the simulated rack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nvltop.analysis.health import RULE_GROUPS
from nvltop.config.settings import Settings
from nvltop.fleet import phrases
from nvltop.fleet.model import FleetFinding, Node
from nvltop.fleet.simulated import SimulatedSource
from nvltop.fleet.source import Answer, FleetError, Query
from nvltop.model import Severity
from nvltop.tui.fleet.app import FleetApp
from nvltop.tui.fleet.detail_page import GpusPage, LinksPage
from nvltop.tui.fleet.node_rows import MIN_WORST, worst
from nvltop.tui.fleet.nodes_tab import NodesTab
from nvltop.tui.render.screen_svg import svg
from nvltop.tui.shell.redacted_screen import areas
from nvltop.tui.widgets.help import HelpScreen
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.setup import SetupScreen
from tests.tui.test_screenshots import cells_of

NOW_S = 1_790_000_000.0
PICTURE = Path(__file__).parents[2] / "screenshots" / "rack.svg"


class Breakable(SimulatedSource):
    """A simulated rack whose server can fail."""

    problem = ""

    def instant(self, query: Query) -> Answer:
        if self.problem:
            raise FleetError(self.problem)
        return super().instant(query)


def started(scenario: str) -> FleetApp:
    return FleetApp(Breakable(scenario, lambda: NOW_S), Settings(), 5.0)


def source_of(app: FleetApp) -> Breakable:
    source = app.poller._engine.source
    assert isinstance(source, Breakable)
    return source


async def until(pilot, done: Callable[[], object]) -> None:
    for _ in range(400):
        if done():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError(shown(pilot.app))


def shown(app: FleetApp) -> str:
    """Return the text of the visible rows, from top to bottom."""
    found = [w for w in app.main.query(RowsWidget) if w.display and w.is_on_screen and w.size.height]
    found.sort(key=lambda w: w.region.y)
    return "\n".join(w.text() for w in found)


def fits(app: FleetApp) -> None:
    """Check that no row is wider or narrower than the screen."""
    width = app.main.size.width
    for widget in app.main.query(RowsWidget):
        if widget.display and widget.is_on_screen and widget.size.height:
            assert {sum(len(text) for text, _ in row) for row in widget._rows} <= {width}, widget.id


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_silent_tray_from_node_to_link(size):
    app = started("tray-silent")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.view.fleet.nodes and "tray07" in shown(app))
        text = shown(app)
        fits(app)
        assert "18 nodes, 1 silent · 68 + 1 unknown GPUs" in text
        assert "NVLink domain 5e1f3a90 clique 1 · 18 nodes, 1 silent · TX" in text
        assert "TB/s + 1 unknown" in text
        assert "tray07 silent since" in text
        (row,) = (line for line in text.splitlines() if line.startswith("tray07  "))
        assert "silent since" in row
        assert set(row.removeprefix("tray07").partition("silent")[0]) <= set(" ?4")
        assert "rates over 1m, errors over 1h" in text
        assert ("TX (column: 1m)" in text) == (size[0] == 200)

        await pilot.press("enter")
        await until(pilot, lambda: app.view.detail and app.view.detail.gpus)
        assert isinstance(app.main.page, GpusPage)
        await until(pilot, lambda: "18/18" in shown(app))
        fits(app)
        text = shown(app)
        assert "tray01: carries traffic" in text
        assert "TX tray01 GPU 0 · last 1h, full is 900.0 GB/s" in text
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.view.detail and app.view.detail.links)
        assert isinstance(app.main.page, LinksPage)
        await until(pilot, lambda: "active" in shown(app))
        fits(app)
        text = shown(app)
        assert "tray01 GPU 1: its links" in text
        assert text.count("active") >= 4
        await pilot.press("escape")
        assert isinstance(app.main.page, GpusPage)
        await pilot.press("escape")
        assert app.main.page is None

        # The silent tray is removed by a key; one that answers is not.
        await pilot.press("D")
        await pilot.press("f3", *"tray07", "enter", "D")
        await until(pilot, lambda: len(app.view.fleet.nodes) == 17)
        assert "18 nodes" not in shown(app)
        assert "unknown" not in shown(app)


FINDINGS = [(str(rule), 3) for group in RULE_GROUPS for rule in group.rules]


@pytest.mark.parametrize("role", ["", "follows"])
@pytest.mark.parametrize(("rule", "others"), [*FINDINGS, ("xid-149", 0), ("xid-145", 12)])
def test_the_worst_finding_is_not_cut_where_the_column_is_narrow(rule, others, role):
    kind = "xid" if rule.startswith("xid-1") else "finding"
    finding = FleetFinding("n", kind, rule, Severity.WARNING, "2", "15", role=role)
    rest = [replace(finding, severity=Severity.NOTICE, gpu=str(i), role="") for i in range(others)]
    node = Node("n", "tray01", {}, findings=(finding, *rest))
    whole, _ = worst(node)
    assert whole.removeprefix("echo: ").startswith(phrases.described(finding))
    assert "GPU 2 link 15" in whole
    for width in range(MIN_WORST, 60):
        text, _ = worst(node, width)
        assert len(text) <= width
        assert rule.removeprefix("xid-") in text, "the id is whole"
        assert f"+{others}" in text or not others or width < len(f"echo: {rule} +{others}")


async def test_what_began_sorting_and_dialogs():
    app = started("xid")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.view.fleet.nodes and "tray18" in shown(app))
        text = shown(app)
        fits(app)
        assert "1 critical: Xid 149 NVLink NETIR · tray04 GPU 1 link 9" in text
        assert "began   tray04 GPU 1 link 9" in text
        assert "71 × Xid 145 NVLink RLW, link-down within 2.8s" in text
        assert text.index("began   tray04") < text.index("follows 18 nodes")
        assert "WORST LINKS" in text
        tab = app.main.tab
        assert isinstance(tab, NodesTab)
        tab.sort_by("worst")
        await pilot.pause()
        rows = shown(app).splitlines()
        first = next(i for i, line in enumerate(rows) if line.startswith("NODE")) + 1
        assert rows[first].startswith("tray04")
        tab.sort_by("links")
        await pilot.pause()
        assert "NVLink domain" not in shown(app)
        await pilot.press("f5")
        await pilot.pause()
        assert "NVLink domain" in shown(app)
        await pilot.press("2")
        await until(pilot, lambda: "Xid 149" in shown(app) and "LINK" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.view.detail and app.view.detail.links and "down" in shown(app))
        assert "TX tray04 GPU 1 link 9 ·" in shown(app)
        await pilot.press("escape", "escape", "3")
        await until(pilot, lambda: "BEGAN" in shown(app))
        fits(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.view.detail and app.view.detail.gpus)
        assert app.main.page
        await pilot.press("escape", "f1")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "f2")
        assert isinstance(app.screen, SetupScreen)
        await pilot.press("right", "escape")
        await until(pilot, lambda: app.screen is app.main)
        assert app.settings.theme != Settings().theme


async def test_a_server_that_fails_is_reported_and_the_values_grow_old():
    app = started("training")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.view.fleet.nodes)
        source = source_of(app)
        source.problem = "http://prom: no answer within 20 s"
        app.poller.retire("")
        await until(pilot, lambda: app.view.problem)
        app.view.received_s -= 60
        app.step()
        await pilot.pause()
        text = shown(app)
        assert "http://prom: no answer within 20 s" in text
        assert "data 60s old" in text
        assert "tray01" in text
        source.problem = ""
        app.poller.retire("")
        await until(pilot, lambda: not app.view.problem)
        assert "no answer" not in shown(app)
        assert "old  " not in shown(app)


async def test_a_server_that_never_answered_is_named():
    app = FleetApp(Breakable("training", lambda: NOW_S), Settings(), 5.0)
    source_of(app).problem = "http://prom: Connection refused"
    async with app.run_test(size=(80, 24)) as pilot:
        await until(
            pilot, lambda: "the server could not be asked: http://prom: Connection refused" in shown(app)
        )


async def test_the_picture_of_a_rack_is_current(utc):
    app = started("tray-silent")
    async with app.run_test(size=(120, 32)) as pilot:
        await until(pilot, lambda: app.view.fleet.nodes and "tray18" in shown(app))
        app.view.effective_s = 5.0  # a busy machine takes longer
        app.step()
        drawn = svg(*app.main.size, areas(app.main), app.current_theme.dark)
        if not PICTURE.exists():
            PICTURE.write_text(drawn)
            raise AssertionError("look at what was written")
        assert cells_of(PICTURE.read_text()) == cells_of(drawn)


async def test_keys_and_empty_lists_say_that_the_server_has_not_answered():
    app = started("training")
    source_of(app).problem = "connection refused"
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "could not be asked" in shown(app))
        for number in ("1", "2", "3"):
            await pilot.press(number, "enter")
            await pilot.pause()
            assert "the server could not be asked: connection refused" in shown(app)
        assert {n.message for n in app._notifications} == {
            "the server could not be asked: connection refused"
        }
        assert len(app._notifications) == 3
        app.view.problem = ""
        assert app.view.why_empty == f"waiting for {app.view.source}"


async def test_keys_without_an_effect_say_why():
    app = started("training")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.view.fleet.nodes)
        await pilot.press("up", "enter", "down", "D")
        await pilot.pause()
        assert [n.message for n in app._notifications] == [
            "this is a domain: select one of its nodes",
            "only a silent node can be removed",
        ]
