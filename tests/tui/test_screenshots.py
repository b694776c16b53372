"""The pictures in `screenshots/` are those of today's program.

To make them again: delete them, run this test, look at them.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from nvltop.record.redact import Redactor
from nvltop.tui.shell.redacted_screen import picture
from nvltop.tui.tabs.registry import TABS

FOLDER = Path(__file__).parents[2] / "screenshots"
SHOWN = {
    ("dgx-h100", "training"): ("Main", "Processes"),
    ("dgx-h100", "link-down"): ("Links", "Events"),
    ("dgx-h100", "errors"): ("Errors", "Health"),
    ("dgx1-v100", "training"): ("History",),
}
"""Node of each picture."""
SIZE = (120, 36)


CELL_WIDTH = 12.2
"""Width of a cell in a picture of Rich, SVG units."""


def cells_of(svg: str) -> dict[tuple[float, int], str]:
    """Return the characters of a picture by line and column; how they are styled differs between versions."""
    found = {}
    for x, y, text in re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        for i, character in enumerate(html.unescape(text).replace("\xa0", " ")):
            if character != " ":
                found[float(y), round(float(x) / CELL_WIDTH) + i] = character
    return found


def test_each_tab_has_a_picture():
    assert sorted(tab for tabs in SHOWN.values() for tab in tabs) == sorted(tab.title for tab in TABS)


@pytest.mark.parametrize("shown", SHOWN, ids=" ".join)
async def test_the_picture_of_each_tab_is_current(app, utc, monkeypatch, shown):
    app = app(*shown, seconds=3.0)
    written = []
    async with app.run_test(size=SIZE) as pilot:
        # Only what is drawn at the end is compared.
        with monkeypatch.context() as patched:
            patched.setattr(app.main, "draw_frame", lambda: None)
            for _ in range(59):
                app.source.advance(1.0)
                app.step()
        for _ in range(4):
            app.source.advance(0.25)
            app.step()
        for tab in SHOWN[shown]:
            await pilot.press(str([t.title for t in TABS].index(tab) + 1))
            await pilot.pause()
            if tab == "History":
                await pilot.press("left_square_bracket")
            app.step()
            await pilot.pause()
            svg = picture(app.main, app.view, Redactor({}))
            path = FOLDER / f"{tab.lower()}.svg"
            if not path.exists():
                FOLDER.mkdir(exist_ok=True)
                path.write_text(svg)
                written.append(path.name)
            assert cells_of(path.read_text()) == cells_of(svg) != {}, path.name
    assert not written, "look at what was written"
