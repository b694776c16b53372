"""The pictures in `screenshots/` are those of today's program.

To make them anew: delete them, run this test, look at them.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from nvltop.tui.tabs import TABS

FOLDER = Path(__file__).parents[2] / "screenshots"
SHOWN = {
    "Main": ("dgx-h100", "training"),
    "Links": ("dgx-h100", "link-down"),
    "Errors": ("dgx-h100", "errors"),
    "Health": ("dgx-h100", "errors"),
    "Processes": ("dgx-h100", "training"),
    "History": ("dgx1-v100", "training"),
}
SIZE = (120, 36)


def text_of(svg: str) -> list[str]:
    """Return the texts of a picture; how they are styled differs between Textual's versions."""
    return [html.unescape(t).replace("\xa0", " ") for t in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


@pytest.mark.parametrize("tab", [tab.TITLE for tab in TABS])
async def test_the_picture_of_each_tab_is_current(app, monkeypatch, tab):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    app = app(*SHOWN[tab])
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(240):
            app._source.advance(0.25)
            app._draw()
        await pilot.press(str([t.TITLE for t in TABS].index(tab) + 1))
        await pilot.pause()
        if tab == "History":
            await pilot.press("minus")
        app._draw()
        await pilot.pause()
        svg = app.export_screenshot(title="nvltop")
    path = FOLDER / f"{tab.lower()}.svg"
    if not path.exists():
        # Blanks at the beginning of a run are dropped by some viewers.
        FOLDER.mkdir(exist_ok=True)
        path.write_text(svg.replace("<text ", '<text xml:space="preserve" '))
        pytest.fail(f"{path.name} was written: look at it")
    assert text_of(path.read_text()) == text_of(svg)
