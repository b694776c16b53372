"""An upgrade of the package while the screen is open."""

from __future__ import annotations

import sys

import pytest

from nvltop.tui.shell.lifecycle import FILES_REPLACED

LATER = (
    "nvltop.comparison.baseline", "nvltop.record.writer", "nvltop.snapshot.bundle", "nvltop.snapshot.picture",
    "nvltop.tui.dialogs.link_page", "nvltop.tui.dialogs.pair_page", "nvltop.tui.tabs.errors.widget",
    "nvltop.tui.widgets.help", "nvltop.tui.widgets.setup",
)  # fmt: skip
"""Modules that are imported by the first key that needs them."""


@pytest.fixture
def replaced(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in LATER:
        monkeypatch.setitem(sys.modules, name, None)  # the import fails
    yield
    assert not list(tmp_path.iterdir())


async def test_no_key_ends_the_screen(app, replaced):
    app = app("rtx3090-pair")
    async with app.run_test(size=(120, 40)) as pilot:
        app.step()
        for keys in (["3"], ["f1"], ["f2"], ["f7"], ["f8"], ["P"], ["enter", "enter"], ["b", "enter"]):
            app.clear_notifications()
            await pilot.press(*keys)
            await pilot.pause()
            assert [n.message for n in app._notifications] == [FILES_REPLACED], keys
            assert app.screen is app.main
            assert app.main.tab.TITLE == "Main"


async def test_a_double_click_does_not_end_the_screen(app, replaced):
    app = app("dgx1-v100")
    async with app.run_test(size=(200, 60)) as pilot:
        app.step()
        await pilot.pause()
        app.step()
        for panel, offset in (("#links", (5, 1)), ("#matrix", (8, 1))):
            app.clear_notifications()
            await pilot.click(panel, offset=offset, times=2)
            await pilot.pause()
            assert [n.message for n in app._notifications] == [FILES_REPLACED], panel
