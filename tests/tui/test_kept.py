"""What is kept from picture to picture is what would be drawn afresh, whatever has changed in between."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from nvltop import formatting
from nvltop.tui.render import row
from nvltop.tui.render.view_state import DrawCache
from nvltop.tui.tabs.main import gpus, links
from nvltop.tui.widgets.rows_widget import RowsWidget

pytestmark = pytest.mark.usefixtures("exact_wait")

STEPS = 40
KEYS = (
    "1", "1", "1", "2", "3", "4", "6", "up", "down", "left", "right", "enter", "escape", "m", "e", "e", "l",
    "p", "plus", "u", "I", "Z", "end", "home", "E",
)  # fmt: skip
CHANGES = (
    {"units": "Gb/s"}, {"units": "GB/s"}, {"unicode": False}, {"unicode": True},
    {"hidden_columns": ("mem", "name")}, {"hidden_columns": ()},
    {"extra_columns": ("pcie", "throttling", "clock")}, {"meters": ("power", "rx")},
)  # fmt: skip


def shown(app) -> dict[str, list[row.Row]]:
    return {lines.id: list(lines._rows) for lines in app.main.query(RowsWidget) if lines.is_on_screen}


def drawn_afresh(app) -> dict[str, list[row.Row]]:
    app.view.cache = DrawCache()
    for cached in (
        gpus._choose_layout, links._choose_layout, row.fit_text, formatting.count,
    ):  # fmt: skip
        cached.cache_clear()
    tab = app.main.visible_tab
    if "_memo" in vars(tab):
        tab._memo = type(tab._memo)()
    app.main.draw()
    return shown(app)


@pytest.mark.parametrize(("node", "scenario"), [("gb200-tray", "gpu-lost"), ("mixed", "link-down")])
async def test_what_stood_still_is_what_is_drawn_afresh(app, node, scenario):
    app, rng = app(node, scenario), random.Random(node)
    async with app.run_test(size=(150, 40)) as pilot:
        done: list[object] = []
        for _ in range(STEPS):
            if rng.random() < 0.2:
                change = rng.choice(CHANGES)
                done.append(change)
                app.change_settings(replace(app.settings, **change))
            else:
                key = rng.choice(KEYS)
                done.append(key)
                await pilot.press(key)
            app.source.advance(rng.choice((0.25, 1.0, 1.0)))
            app.step()
            await pilot.pause()
            before = shown(app)
            # A widget that gets another size is drawn a moment later.
            while await pilot.pause() or before != shown(app):
                before = shown(app)
            assert before == drawn_afresh(app), done
